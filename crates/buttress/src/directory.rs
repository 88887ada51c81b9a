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
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use arc_swap::ArcSwapOption;

/// How many policies that are gone are remembered by name.
const REMEMBERED: usize = 64;

/// The policies of one concern by number; a `static` in it.
pub(crate) struct Directory<T> {
    last: AtomicU64,
    /// Read without a lock: during an outage every call may come here.
    alive: ArcSwapOption<BTreeMap<Id, Weak<T>>>,
    // A lock is fine here: it is taken when a policy is dropped, and for calls that outlive theirs.
    gone: Mutex<VecDeque<(Id, Arc<str>)>>,
}

/// The number of a policy, never given twice in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Id(NonZeroU64);

/// What a directory knows of a number.
#[cfg_attr(not(any(feature = "recover", feature = "timeout")), allow(dead_code))]
pub(crate) enum Entry<T> {
    Alive(Arc<T>),
    Gone(Arc<str>),
    Forgotten,
}

impl<T> Directory<T> {
    pub(crate) const fn new() -> Self {
        Self {
            last: AtomicU64::new(0),
            alive: ArcSwapOption::const_empty(),
            gone: Mutex::new(VecDeque::new()),
        }
    }

    /// Enters the policy that `make` makes for a new number.
    pub(crate) fn enter(&self, make: impl FnOnce(Id) -> T) -> Arc<T> {
        let id = self.last.fetch_add(1, Relaxed) + 1;
        let id = Id(NonZeroU64::new(id).unwrap_or(NonZeroU64::MAX));
        let policy = Arc::new(make(id));
        self.change(|alive| {
            alive.insert(id, Arc::downgrade(&policy));
        });
        policy
    }

    #[cfg_attr(not(any(feature = "recover", feature = "timeout")), allow(dead_code))]
    pub(crate) fn find(&self, id: Id) -> Entry<T> {
        if let Some(policy) = self.alive(id) {
            return Entry::Alive(policy);
        }
        match self.gone().iter().find(|(gone, _)| *gone == id) {
            Some((_, name)) => Entry::Gone(name.clone()),
            None => Entry::Forgotten,
        }
    }

    /// The policy of that number, if there still is one.
    #[inline]
    pub(crate) fn alive(&self, id: Id) -> Option<Arc<T>> {
        self.alive.load().as_ref()?.get(&id)?.upgrade()
    }

    /// Strikes out a policy that is being dropped.
    pub(crate) fn leave(&self, id: Id, name: Option<Arc<str>>) {
        if let Some(name) = name {
            let mut gone = self.gone();
            if gone.len() == REMEMBERED {
                gone.pop_front();
            }
            gone.push_back((id, name));
        }
        self.change(|alive| {
            alive.remove(&id);
        });
    }

    /// The whole list is copied, which is fine for what is made once: policies by key are in no directory.
    fn change(&self, change: impl Fn(&mut BTreeMap<Id, Weak<T>>)) {
        self.alive.rcu(|alive| {
            let mut next = alive.as_deref().cloned().unwrap_or_default();
            change(&mut next);
            Some(Arc::new(next))
        });
    }

    fn gone(&self) -> MutexGuard<'_, VecDeque<(Id, Arc<str>)>> {
        self.gone.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
