use std::{fmt, sync::Arc};

use super::Snapshot;
use crate::{
    directory::{Directory, Entry, Id},
    error::{Rejected, RejectionKind},
    name::{Name, Unnamed},
    registry::Emitter,
    striped::Striped,
};

/// Where a limit that was hit finds its policy.
static DIRECTORY: Directory<Ledger> = Directory::new();

/// What a [`Timeout`](super::Timeout) or a [`Deadline`](super::Deadline) is called, and its books.
pub(super) struct Ledger {
    id: Id,
    /// What it is called as long as nobody has named it.
    unnamed: &'static Unnamed,
    name: Name,
    counts: Striped<4>,
    pub(super) events: Emitter,
}

/// Which limit was hit.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(feature = "http"), allow(dead_code))]
pub(super) enum Hit {
    TimedOut,
    DeadlineExpired,
    BodyIdle,
    BodyTotal,
}

impl Hit {
    fn kind(self) -> RejectionKind {
        match self {
            Self::DeadlineExpired => RejectionKind::DeadlineExpired,
            Self::TimedOut | Self::BodyIdle | Self::BodyTotal => RejectionKind::TimedOut,
        }
    }
}

impl Ledger {
    pub(super) fn open(unnamed: &'static Unnamed, name: Option<&Arc<str>>) -> Arc<Self> {
        DIRECTORY.enter(|id| Self {
            id,
            unnamed,
            name: Name::new(name),
            counts: Striped::new(),
            events: Emitter::default(),
        })
    }

    #[inline]
    pub(super) fn id(&self) -> Id {
        self.id
    }

    pub(super) fn name(&self) -> Arc<str> {
        self.name.or(self.unnamed).clone()
    }

    pub(super) fn given_name(&self) -> Option<Arc<str>> {
        self.name.given().cloned()
    }

    pub(super) fn name_if_unnamed(&self, name: &Arc<str>) {
        self.name.give(name);
    }

    /// Counts, and says no.
    pub(super) fn refuse(&self, hit: Hit) -> Rejected {
        self.counts.add(hit as usize, 1);
        Rejected::new(hit.kind(), self.name())
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        Snapshot::of(self.name(), self.counts.read())
    }

    /// The same, ever: no reset lowers it, so an exporter may read it as a counter.
    pub(super) fn totals(&self) -> Snapshot {
        Snapshot::of(self.name(), std::array::from_fn(|i| self.counts.total(i)))
    }

    pub(super) fn reset(&self) {
        self.counts.rebase();
    }
}

/// Counts for the policy of that number, and says no in its name.
#[cold]
pub(super) fn refuse(policy: Option<Id>, hit: Hit) -> Rejected {
    match policy.map_or(Entry::Forgotten, |id| DIRECTORY.find(id)) {
        Entry::Alive(ledger) => ledger.refuse(hit),
        Entry::Gone(name) => Rejected::new(hit.kind(), name),
        Entry::Forgotten => Rejected::new(hit.kind(), super::TIMEOUT),
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        DIRECTORY.leave(self.id, self.name.take());
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger")
            .field("snapshot", &self.snapshot())
            .finish_non_exhaustive()
    }
}
