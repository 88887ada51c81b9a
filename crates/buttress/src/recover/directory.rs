//! Where a panic finds its policy.
//!
//! A future and a body must know, should they panic, whose panic it is. A clone of the policy's `Arc` in each
//! would cost two atomic read-modify-writes a call, on one cache line for all threads, for something that next
//! to never happens: several times what catching costs. So they carry a number, and a panic looks it up here.
//!
//! A call can outlive its policy: `stack.oneshot(request)` drops the stack while the future runs. Nobody can
//! read the counters or hear the events of such a policy any more, but its error still has to bear its name;
//! hence the names of the policies that went last are kept.

use std::{
    collections::{BTreeMap, VecDeque},
    num::NonZeroU64,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use super::policy::Shared;

/// How many policies that are gone are remembered by name.
const REMEMBERED: usize = 64;

// A lock is fine here: it is taken when a policy is made or dropped and when something has panicked, never on
// the way of a call that does not. Nothing of a user's runs under it.
static DIRECTORY: Mutex<Directory> = Mutex::new(Directory {
    last: 0,
    alive: BTreeMap::new(),
    gone: VecDeque::new(),
});

#[derive(Debug)]
struct Directory {
    last: u64,
    alive: BTreeMap<Id, Weak<Shared>>,
    gone: VecDeque<(Id, Arc<str>)>,
}

/// The number of a policy, never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id(NonZeroU64);

/// What the directory knows of a number.
pub(super) enum Entry {
    Alive(Arc<Shared>),
    Gone(Arc<str>),
    Forgotten,
}

fn directory() -> MutexGuard<'static, Directory> {
    DIRECTORY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Enters the policy that `make` makes for a new number.
pub(super) fn enter(make: impl FnOnce(Id) -> Shared) -> Arc<Shared> {
    let id = {
        let mut directory = directory();
        directory.last += 1;
        Id(NonZeroU64::new(directory.last).unwrap_or(NonZeroU64::MAX))
    };
    let policy = Arc::new(make(id));
    directory().alive.insert(id, Arc::downgrade(&policy));
    policy
}

pub(super) fn find(id: Id) -> Entry {
    let directory = directory();
    match directory.alive.get(&id).and_then(Weak::upgrade) {
        Some(policy) => Entry::Alive(policy),
        None => match directory.gone.iter().find(|(gone, _)| *gone == id) {
            Some((_, name)) => Entry::Gone(name.clone()),
            None => Entry::Forgotten,
        },
    }
}

/// Strikes out a policy that is being dropped.
pub(super) fn leave(id: Id, name: Option<Arc<str>>) {
    let mut directory = directory();
    directory.alive.remove(&id);
    if let Some(name) = name {
        if directory.gone.len() == REMEMBERED {
            directory.gone.pop_front();
        }
        directory.gone.push_back((id, name));
    }
}
