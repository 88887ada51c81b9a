//! The one waiting line: those who wait for a slot of the priority queue and those who wait for a token of the rate
//! limiter stand in it.
//!
//! It knows who waits, in which order, and how each is told; it does not know for what. Its owner has that in atomics
//! of its own, and opens the line to hand something out, or to send somebody away:
//!
//! ```text
//! a call that must wait    open().enter(waiter) -> Ticket      it is in the line
//!                          look(&mut ticket, waker)            then and in each poll: Waiting, First, Granted, Dismissed
//!                          leave(ticket)                       it does not want any more, or has helped itself
//! whoever has something    open().first() -> Place
//!                          open().grant(place)                 out of the line with a grant; its task is woken
//!                          open().dismiss(place, kind)         out of the line with a refusal; its task is woken
//! ```
//!
//! # The order
//!
//! Waiters stand by class, the greater number first, and in a class in the order in which they came. An owner that
//! wants another order (the youngest first, the aged before others) looks at the ends of the classes
//! ([`oldest`](Line::oldest), [`youngest`](Line::youngest)) and takes whom it wants. The classes are doubly linked
//! lists through one slab, and one bit for each class says whether anybody stands in it: to enter, to leave and to find
//! the first or the last is O(1), whatever the number of waiters.
//!
//! # A grant is never lost and never doubled
//!
//! A [`Ticket`] is held by exactly one future, which gives it back when it is dropped. Whatever was decided about the
//! waiter, in a race with that, stands in its node until then: [`leave`](WaitLine::leave) returns [`Left::Granted`] to a
//! future that was granted what it did not live to see, and it is that future's duty to pass it on. A place carries the
//! stamp of its waiter, so what was meant for one that is gone does not reach another in the same node.
//!
//! # The lock
//!
//! It is not on the way of a call that need not wait: [`is_empty`](WaitLine::is_empty) is one load, and an owner that
//! has to have its own state and the line's in one look keeps a bit in its own word, which it sets and clears with the
//! line open. A call that does wait is about to be suspended, at the cost of at least one wake-up; beside that the three
//! short sections it goes through (enter, be granted, look) are small, and each is O(1). Nothing foreign runs in them
//! but the cloning of a waker: wakers are woken, *and dropped*, when the lock is free, since either may run a task's
//! destructor, and that may hold a ticket of this very line.
//!
//! # Memory
//!
//! A line in which nobody has ever waited is four words. Waiters stand in chunks, each as large as all before it, so that
//! growing moves nobody, takes no longer for a million than for ten, and is no more than one allocation for eight
//! waiters: 72 bytes each, 144 just after it has grown. When the last of a crowd has left, the chunks beyond the first
//! few are freed. (What a waiter keeps outside, its future with the timer in it, is its owner's.)

mod after;
#[cfg(all(test, loom))]
mod loom;
mod queue;
mod slab;
#[cfg(all(test, not(loom)))]
mod tests;

use std::{fmt, sync::PoisonError, task::Waker};

use self::{
    after::After,
    queue::{Classes, List, Queue},
    slab::{Chunk, NIL, Node, State},
};
use crate::{
    clock::Instant,
    error::RejectionKind,
    sync::{
        Mutex, MutexGuard,
        atomic::{
            AtomicUsize,
            Ordering::{Acquire, Release},
        },
    },
};

/// How many classes a line can have.
pub(crate) const MAX_CLASSES: u8 = 128;

/// Who waits, in which order. See the [module](self).
pub(crate) struct WaitLine {
    /// How many wait, written with the line open, so that others need not open it.
    waiting: AtomicUsize,
    classes: u8,
    heads: Heads,
    // Not on the way of a call that need not wait; see above.
    queue: Mutex<Option<Box<Queue>>>,
}

/// Whether the first in the line is woken when it becomes the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heads {
    /// It is: the first waits for something that nobody hands to it, such as the time.
    Told,
    /// It is not: whoever has something hands it out.
    Untold,
}

/// Somebody who wants to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Waiter {
    /// The greater, the earlier: less than the number of classes.
    pub(crate) class: u8,
    /// How much it waits for: permits, tokens.
    pub(crate) weight: u32,
    /// When it came.
    pub(crate) entered: Instant,
    /// Until when it waits. The line sends nobody away by itself.
    pub(crate) until: Option<Instant>,
}

/// The right to stand in the line, and to hear what became of that. It must be given back to
/// [`leave`](WaitLine::leave), or be taken by [`look`](WaitLine::look).
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a ticket that is lost is a waiter for ever"]
pub(crate) struct Ticket(Place);

/// Somebody's place in the line, as long as they stand there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    index: u32,
    stamp: u32,
}

/// How it stands with a waiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Others go first. It will be woken.
    Waiting,
    /// Nobody goes before it.
    First,
    /// It has been granted what it waited for, and has left.
    Granted(Waiter),
    /// It has been sent away.
    Dismissed(RejectionKind),
}

/// How it stood with a waiter that has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// It was waiting.
    Waiting,
    /// It had been granted what it waited for, which is now to be passed on.
    Granted(Waiter),
    /// It had been sent away.
    Dismissed(RejectionKind),
}

/// The line, open: nobody else enters or leaves meanwhile. Those to be woken are woken when it is dropped.
#[must_use = "an open line keeps all others out"]
pub(crate) struct Line<'a> {
    // First, for fields are dropped in this order: the lock, then what is to be done without it.
    queue: MutexGuard<'a, Option<Box<Queue>>>,
    after: After,
    garbage: Vec<Chunk>,
    line: &'a WaitLine,
}

// ===== impl WaitLine =====

#[allow(dead_code)] // it is there for more than one concern, and each may be left out
impl WaitLine {
    /// A line of so many classes, at least one and at most [`MAX_CLASSES`].
    pub(crate) fn new(classes: u8, heads: Heads) -> Self {
        debug_assert!((1..=MAX_CLASSES).contains(&classes));
        Self {
            waiting: AtomicUsize::new(0),
            classes: classes.clamp(1, MAX_CLASSES),
            heads,
            queue: Mutex::new(None),
        }
    }

    /// Does nobody wait? One load.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many wait. One load.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.waiting.load(Acquire)
    }

    /// Opens the line. Hold it for a moment, and run nothing foreign meanwhile.
    pub(crate) fn open(&self) -> Line<'_> {
        Line {
            // Nothing that can panic runs in between, so what a poisoned lock holds is whole.
            queue: self.queue.lock().unwrap_or_else(PoisonError::into_inner),
            after: After::default(),
            garbage: Vec::new(),
            line: self,
        }
    }

    /// How it stands with the holder of the ticket, to be asked in each of its polls.
    ///
    /// As long as it waits, `waker` is woken when that changes. Otherwise the ticket is taken: the waiter is out of the
    /// line. Without a ticket nobody waits, and nothing is granted.
    pub(crate) fn look(&self, ticket: &mut Option<Ticket>, waker: &Waker) -> Standing {
        self.open().look(ticket, waker)
    }

    /// Takes the holder of the ticket out of the line, wherever it stands.
    ///
    /// A [`Left::Granted`] has to be passed on.
    #[must_use = "what was granted has to be passed on"]
    pub(crate) fn leave(&self, ticket: Ticket) -> Left {
        self.open().leave(ticket)
    }
}

impl fmt::Debug for WaitLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitLine")
            .field("waiting", &self.len())
            .field("classes", &self.classes)
            .finish_non_exhaustive()
    }
}

// ===== impl Line =====

#[allow(dead_code)] // it is there for more than one concern, and each may be left out
impl Line<'_> {
    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.queue.as_ref().map_or(0, |q| q.waiting)
    }

    /// Does nobody wait?
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many wait in that class.
    pub(crate) fn len_of(&self, class: u8) -> usize {
        self.list(class).map_or(0, |list| list.len as usize)
    }

    /// The weights of all who wait, together.
    pub(crate) fn weight(&self) -> u64 {
        self.queue.as_ref().map_or(0, |q| q.weight)
    }

    /// The classes in which somebody waits, from the most important on, as they are now.
    pub(crate) fn classes(&self) -> impl DoubleEndedIterator<Item = u8> + use<> {
        let occupied = self.queue.as_ref().map_or(0, |q| q.occupied);
        Classes(occupied)
    }

    /// The oldest of the most important class.
    pub(crate) fn first(&self) -> Option<Place> {
        self.oldest(self.classes().next()?)
    }

    /// The youngest of the least important class.
    pub(crate) fn last(&self) -> Option<Place> {
        self.youngest(self.classes().next_back()?)
    }

    /// Who came to that class before all others in it.
    pub(crate) fn oldest(&self, class: u8) -> Option<Place> {
        self.place(self.list(class)?.oldest)
    }

    /// Who came to that class after all others in it.
    pub(crate) fn youngest(&self, class: u8) -> Option<Place> {
        self.place(self.list(class)?.youngest)
    }

    /// Has the first woken, though it knows that it is the first: what it waits for may have come nearer.
    pub(crate) fn tell_first_again(&mut self) {
        if let Some(queue) = self.queue.as_mut() {
            queue.told = None;
        }
    }

    /// Who stands there, if they still do.
    pub(crate) fn waiter(&self, place: Place) -> Option<Waiter> {
        self.waiting(place).map(|node| node.waiter)
    }

    /// Lets somebody in, behind all others of the class.
    ///
    /// [Look](Self::look) for it before the line is closed, unless it may be overlooked: it has left no waker yet. A
    /// class that the line does not have is taken for the most important.
    pub(crate) fn enter(&mut self, waiter: Waiter) -> Ticket {
        let classes = self.line.classes;
        let queue = self.queue.get_or_insert_with(|| Box::new(Queue::new(classes)));
        let class = waiter.class.min(classes - 1);
        let waiter = Waiter { class, ..waiter };
        queue.stamp = queue.stamp.wrapping_add(1).max(1);
        let stamp = queue.stamp;
        let index = queue.slab.insert(Node {
            waker: None,
            waiter,
            before: NIL,
            behind: NIL,
            stamp,
            state: State::Waiting,
        });
        queue.link(index, class);
        queue.waiting += 1;
        queue.weight += u64::from(waiter.weight);
        Ticket(Place { index, stamp })
    }

    /// See [`WaitLine::look`].
    pub(crate) fn look(&mut self, ticket: &mut Option<Ticket>, waker: &Waker) -> Standing {
        let first = self.first();
        let found = ticket.as_ref().map(|t| t.0);
        let node = found.and_then(|place| self.queue.as_mut()?.slab.get_mut(place));
        let (Some(place), Some(node)) = (found, node) else {
            debug_assert!(false, "looked without a ticket");
            return Standing::Dismissed(RejectionKind::Shed);
        };
        let standing = match node.state {
            State::Waiting => {
                if !node.waker.as_ref().is_some_and(|old| old.will_wake(waker)) {
                    self.after.drop(node.waker.replace(waker.clone()));
                }
                if first != Some(place) {
                    return Standing::Waiting;
                }
                if let Some(queue) = self.queue.as_mut() {
                    queue.told = first;
                }
                return Standing::First;
            }
            State::Granted => Standing::Granted(node.waiter),
            State::Dismissed(kind) => Standing::Dismissed(kind),
        };
        *ticket = None;
        self.vacate(place);
        standing
    }

    /// See [`WaitLine::leave`].
    #[must_use = "what was granted has to be passed on"]
    pub(crate) fn leave(&mut self, ticket: Ticket) -> Left {
        let Ticket(place) = ticket;
        let node = self.queue.as_ref().and_then(|queue| queue.slab.get(place));
        let left = match node.map(|node| (node.state, node.waiter)) {
            Some((State::Granted, waiter)) => Left::Granted(waiter),
            Some((State::Dismissed(kind), _)) => Left::Dismissed(kind),
            Some((State::Waiting, _)) => {
                let waker = self.part(place, State::Granted);
                self.after.drop(waker);
                Left::Waiting
            }
            None => Left::Dismissed(RejectionKind::Shed),
        };
        self.vacate(place);
        left
    }

    /// Grants the waiter what it waits for: it leaves the line and is woken. `None` if it is not there any more.
    pub(crate) fn grant(&mut self, place: Place) -> Option<Waiter> {
        self.send_off(place, State::Granted)
    }

    /// Sends the waiter away: it leaves the line and is woken. `None` if it is not there any more.
    pub(crate) fn dismiss(&mut self, place: Place, kind: RejectionKind) -> Option<Waiter> {
        self.send_off(place, State::Dismissed(kind))
    }

    /// Sends everybody below that class away, and says how many they were.
    pub(crate) fn dismiss_below(&mut self, class: u8, kind: RejectionKind) -> usize {
        let mut count = 0;
        while let Some(place) = self.last() {
            if self.waiter(place).is_none_or(|waiter| waiter.class >= class) {
                break;
            }
            self.dismiss(place, kind);
            count += 1;
        }
        count
    }

    /// Moves the waiter to another class, behind all others there.
    pub(crate) fn reclassify(&mut self, place: Place, class: u8) {
        let class = class.min(self.line.classes - 1);
        if self.waiting(place).is_none() {
            return;
        }
        if let Some(queue) = self.queue.as_mut() {
            queue.unlink(place.index);
            queue.link(place.index, class);
        }
    }

    fn list(&self, class: u8) -> Option<List> {
        self.queue.as_ref()?.lists.get(usize::from(class)).copied()
    }

    fn place(&self, index: u32) -> Option<Place> {
        let stamp = self.queue.as_ref()?.slab.at(index)?.stamp;
        Some(Place { index, stamp })
    }

    fn waiting(&self, place: Place) -> Option<&Node> {
        let node = self.queue.as_ref()?.slab.get(place)?;
        (node.state == State::Waiting).then_some(node)
    }

    fn send_off(&mut self, place: Place, state: State) -> Option<Waiter> {
        let waiter = self.waiter(place)?;
        let waker = self.part(place, state);
        self.after.wake(waker);
        Some(waiter)
    }

    /// Takes a waiter out of its class; its node stays, in that state, for whoever has the ticket. The waker must not be
    /// dropped before the line is closed.
    #[must_use = "it must outlive the lock"]
    fn part(&mut self, place: Place, state: State) -> Option<Waker> {
        let queue = self.queue.as_mut()?;
        queue.unlink(place.index);
        let node = queue.slab.get_mut(place)?;
        node.state = state;
        queue.waiting -= 1;
        queue.weight -= u64::from(node.waiter.weight);
        node.waker.take()
    }

    /// Frees the node of somebody who is out of the line.
    fn vacate(&mut self, place: Place) {
        if let Some(queue) = self.queue.as_mut() {
            if let Some(node) = queue.slab.get_mut(place) {
                self.after.drop(node.waker.take());
                queue.slab.remove(place.index);
                queue.slab.trim(&mut self.garbage);
            }
        }
    }

    /// Has the first in the line woken, if it does not know yet that it is the first.
    fn tell_first(&mut self) {
        let first = self.first();
        if let Some(queue) = self.queue.as_mut() {
            if queue.told != first {
                queue.told = first;
                if let Some(node) = first.and_then(|place| queue.slab.get_mut(place)) {
                    self.after.wake(node.waker.take());
                }
            }
        }
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        if self.line.heads == Heads::Told {
            self.tell_first();
        }
        self.line.waiting.store(self.len(), Release);
    }
}

impl fmt::Debug for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line")
            .field("waiting", &self.len())
            .finish_non_exhaustive()
    }
}
