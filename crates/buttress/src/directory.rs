//! Where what happens seldom in a call finds its policy.
//!
//! A future and a body must know whose they are, should there be something to tell: a panic, a time limit that
//! was hit. A clone of the policy's `Arc` in each would cost two atomic read-modify-writes a call, on one cache
//! line for all threads, for something that next to never happens: several times what the layer itself costs. So
//! they carry a number, and look it up in the [`Directory`] of their concern.
//!
//! A call can outlive its policy: `stack.oneshot(request)` drops the stack while the future runs. Nobody can
//! read the counters or hear the events of such a policy any more, but its error still has to bear its name;
//! hence the names of the policies that went last are kept.

use std::{
    collections::{BTreeMap, VecDeque},
    num::NonZeroU64,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

/// How many policies that are gone are remembered by name.
const REMEMBERED: usize = 64;

/// The policies of one concern by number; a `static` in it.
pub(crate) struct Directory<T> {
    // A lock is fine here: it is taken when a policy is made or dropped and when something has gone wrong with a
    // call, never on the way of one that goes well. Nothing of a user's runs under it.
    pages: Mutex<Pages<T>>,
}

struct Pages<T> {
    last: u64,
    alive: BTreeMap<Id, Weak<T>>,
    gone: VecDeque<(Id, Arc<str>)>,
}

/// The number of a policy, never given twice in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Id(NonZeroU64);

/// What a directory knows of a number.
pub(crate) enum Entry<T> {
    Alive(Arc<T>),
    Gone(Arc<str>),
    Forgotten,
}

impl<T> Directory<T> {
    pub(crate) const fn new() -> Self {
        Self {
            pages: Mutex::new(Pages {
                last: 0,
                alive: BTreeMap::new(),
                gone: VecDeque::new(),
            }),
        }
    }

    /// Enters the policy that `make` makes for a new number.
    pub(crate) fn enter(&self, make: impl FnOnce(Id) -> T) -> Arc<T> {
        let id = {
            let mut pages = self.pages();
            pages.last += 1;
            Id(NonZeroU64::new(pages.last).unwrap_or(NonZeroU64::MAX))
        };
        let policy = Arc::new(make(id));
        self.pages().alive.insert(id, Arc::downgrade(&policy));
        policy
    }

    pub(crate) fn find(&self, id: Id) -> Entry<T> {
        let pages = self.pages();
        match pages.alive.get(&id).and_then(Weak::upgrade) {
            Some(policy) => Entry::Alive(policy),
            None => match pages.gone.iter().find(|(gone, _)| *gone == id) {
                Some((_, name)) => Entry::Gone(name.clone()),
                None => Entry::Forgotten,
            },
        }
    }

    /// Strikes out a policy that is being dropped.
    pub(crate) fn leave(&self, id: Id, name: Option<Arc<str>>) {
        let mut pages = self.pages();
        pages.alive.remove(&id);
        if let Some(name) = name {
            if pages.gone.len() == REMEMBERED {
                pages.gone.pop_front();
            }
            pages.gone.push_back((id, name));
        }
    }

    fn pages(&self) -> MutexGuard<'_, Pages<T>> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
