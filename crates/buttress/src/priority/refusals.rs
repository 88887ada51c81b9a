//! How a queue says no.

use std::sync::atomic::Ordering::Relaxed;

use super::{
    CONCERN,
    event::Saturated,
    shared::{Shared, book},
};
use crate::error::{Rejected, RejectionKind};

/// For how long nothing must have been refused before the next refusal is news.
const QUIET_SECONDS: u64 = 10;

impl Shared {
    /// Counts a refusal, and says when to come back.
    pub(super) fn refuse(&self, kind: RejectionKind) -> Rejected {
        let index = match kind {
            RejectionKind::QueueFull => book::FULL,
            RejectionKind::QueueTimeout => book::LATE,
            RejectionKind::DeadlineExpired => book::EXPIRED,
            _ => book::SHED,
        };
        self.books.add(index, 1);
        let rejected = Rejected::new(kind, self.name().clone());
        if kind == RejectionKind::DeadlineExpired {
            return rejected;
        }
        self.notice_refusal(kind);
        rejected.with_retry_after(self.pace.time_for(self.line.len()))
    }

    fn notice_refusal(&self, kind: RejectionKind) {
        let second = self.nanos() / 1_000_000_000 + 1;
        // Mostly it is the same second, and nothing is written.
        if self.refused.load(Relaxed) == second {
            return;
        }
        let before = self.refused.swap(second, Relaxed);
        if before == 0 || second >= before + QUIET_SECONDS {
            self.events
                .emit(CONCERN, self.name(), || Saturated { first: kind });
        }
    }
}
