use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use crate::{
    directory::{Directory, Entry, Id},
    error::{Rejected, RejectionKind},
    registry::Emitter,
    striped::Striped,
    value::Table,
};

/// Where a limit that was hit finds its policy.
static DIRECTORY: Directory<Ledger> = Directory::new();

/// What a [`Timeout`](super::Timeout) or a [`Deadline`](super::Deadline) is called, and its books.
pub(super) struct Ledger {
    id: Id,
    /// What it is called as long as nobody has named it.
    unnamed: Arc<str>,
    name: OnceLock<Arc<str>>,
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

/// How often each limit was hit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Calls cut off before their answer, or for HTTP its headers, had come.
    pub timed_out: u64,
    /// Calls that were not made, because their deadline had passed.
    pub deadline_expired: u64,
    /// Response bodies cut off because the sender was silent for too long.
    pub body_idle: u64,
    /// Response bodies cut off because they took too long as a whole, or beyond the call's deadline.
    pub body_total: u64,
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
    pub(super) fn open(concern: &'static str, name: Option<Arc<str>>) -> Arc<Self> {
        DIRECTORY.enter(|id| Self {
            id,
            unnamed: concern.into(),
            name: name.map_or_else(OnceLock::new, OnceLock::from),
            counts: Striped::new(),
            events: Emitter::default(),
        })
    }

    #[inline]
    pub(super) fn id(&self) -> Id {
        self.id
    }

    pub(super) fn name(&self) -> Arc<str> {
        self.name.get().unwrap_or(&self.unnamed).clone()
    }

    pub(super) fn given_name(&self) -> Option<Arc<str>> {
        self.name.get().cloned()
    }

    pub(super) fn name_if_unnamed(&self, name: &Arc<str>) {
        // Whoever came first named it.
        let _ = self.name.set(name.clone());
    }

    /// Counts, and says no.
    pub(super) fn refuse(&self, hit: Hit) -> Rejected {
        self.counts.add(hit as usize, 1);
        Rejected::new(hit.kind(), self.name())
    }

    pub(super) fn counts(&self) -> Counts {
        Counts::of(self.counts.read())
    }

    pub(super) fn totals(&self) -> Counts {
        Counts::of(std::array::from_fn(|i| self.counts.total(i)))
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
            .field("name", &self.name())
            .field("counts", &self.counts())
            .finish_non_exhaustive()
    }
}

impl Counts {
    fn of([timed_out, deadline_expired, body_idle, body_total]: [u64; 4]) -> Self {
        Self {
            timed_out,
            deadline_expired,
            body_idle,
            body_total,
        }
    }

    pub(super) fn describe(self, table: &mut Table) {
        table.insert("timedOut", self.timed_out);
        table.insert("deadlineExpired", self.deadline_expired);
        table.insert("bodyIdleTimedOut", self.body_idle);
        table.insert("bodyTotalTimedOut", self.body_total);
    }
}
