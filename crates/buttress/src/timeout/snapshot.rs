use std::sync::Arc;

use crate::value::Table;

/// What a [`Timeout`](super::Timeout) or a [`Deadline`](super::Deadline) knows of itself at one moment: how often each
/// limit was hit since it was made or [reset](crate::registry::Drill::Reset).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// The policy's name.
    pub name: Arc<str>,
    /// Calls cut off before their answer, or for HTTP its headers, had come.
    pub timed_out: u64,
    /// Calls that were not made, because their deadline had passed.
    pub deadline_expired: u64,
    /// Response bodies cut off because the sender was silent for too long.
    pub body_idle: u64,
    /// Response bodies cut off because they took too long as a whole, or beyond the call's deadline.
    pub body_total: u64,
}

impl Snapshot {
    pub(super) fn of(name: Arc<str>, [timed_out, deadline_expired, body_idle, body_total]: [u64; 4]) -> Self {
        Self {
            name,
            timed_out,
            deadline_expired,
            body_idle,
            body_total,
        }
    }

    pub(super) fn describe(&self, table: &mut Table) {
        table.insert("timedOut", self.timed_out);
        table.insert("deadlineExpired", self.deadline_expired);
        table.insert("bodyIdleTimedOut", self.body_idle);
        table.insert("bodyTotalTimedOut", self.body_total);
    }
}
