use std::task::Waker;

/// What is to be done with wakers once the lock is free. A few fit in without an allocation: a call that leaves or is
/// granted something has one or two.
#[derive(Default)]
pub(super) struct After {
    few: [Option<Do>; 4],
    many: Vec<Do>,
}

enum Do {
    Wake(Waker),
    Drop(#[allow(dead_code)] Waker),
}

impl After {
    pub(super) fn wake(&mut self, waker: Option<Waker>) {
        self.push(waker.map(Do::Wake));
    }

    pub(super) fn drop(&mut self, waker: Option<Waker>) {
        self.push(waker.map(Do::Drop));
    }

    fn push(&mut self, thing: Option<Do>) {
        let Some(thing) = thing else { return };
        match self.few.iter_mut().find(|slot| slot.is_none()) {
            Some(slot) => *slot = Some(thing),
            None => self.many.push(thing),
        }
    }
}

impl Drop for After {
    fn drop(&mut self) {
        let few = self.few.iter_mut().filter_map(Option::take);
        for thing in few.chain(self.many.drain(..)) {
            match thing {
                Do::Wake(waker) => waker.wake(),
                Do::Drop(waker) => drop(waker),
            }
        }
    }
}
