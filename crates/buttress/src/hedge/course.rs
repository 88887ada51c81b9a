//! The course of one call: when its second attempt is due, whether there is to be one, how long the first took.

use std::{sync::Arc, time::Duration};

use super::shared::{Shared, book};
use crate::{
    clock::{self, Instant},
    context::InAttempt,
    error::RejectionKind,
    outcome::{Outcome, Reason, Verdict},
};

pub(super) struct Course {
    shared: Arc<Shared>,
    /// Noted when the first attempt is found to take time.
    started: Option<Instant>,
    deadline: Option<Instant>,
    /// The number of the first attempt.
    attempt: u32,
    stage: Stage,
}

/// What is known of the time that the first attempt takes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing: if the caller goes away now, nobody has learnt anything.
    InTime,
    /// It is longer than the delay: that is worth knowing, however it ends.
    Overdue,
    /// All there is to know.
    Noted,
}

impl Course {
    #[inline]
    pub(super) fn new(shared: Arc<Shared>, deadline: Option<Instant>, attempt: u32) -> Self {
        Self {
            shared,
            started: None,
            deadline,
            attempt,
            stage: Stage::InTime,
        }
    }

    /// The number of the second attempt.
    #[inline]
    pub(super) fn second(&self) -> u32 {
        self.attempt.saturating_add(1)
    }

    #[inline]
    pub(super) fn enter_first(&self) -> InAttempt {
        InAttempt::enter_hedged(self.attempt)
    }

    #[inline]
    pub(super) fn enter_second(&self) -> InAttempt {
        InAttempt::enter_hedged(self.second())
    }

    /// Whether an attempt header is to be sent.
    pub(super) fn announces(&self) -> bool {
        self.shared.options.load().attempt_header
    }

    // ===== the second attempt =====

    /// The first attempt takes time: when the second is due, if time alone makes it so.
    #[inline]
    pub(super) fn due(&mut self) -> Option<Instant> {
        let started = clock::now();
        self.started = Some(started);
        let due = started + self.shared.delay()?;
        // A timer for what will not be done is none.
        let is_in_time = self.deadline.is_none_or(|deadline| due < deadline);
        is_in_time.then_some(due)
    }

    /// The first attempt takes longer than it may: whether there is to be a second. That is paid for then.
    pub(super) fn hedge_slow(&mut self, can_repeat: impl FnOnce() -> bool) -> bool {
        self.stage = Stage::Overdue;
        self.hedge(can_repeat)
    }

    /// The first attempt has failed: whether there is to be a second, at once. That is paid for then.
    #[cold]
    pub(super) fn hedge_failed(&mut self, outcome: &Outcome, can_repeat: impl FnOnce() -> bool) -> bool {
        let hedged = is_worth_it(outcome) && self.hedge(can_repeat);
        if hedged {
            self.shared.books.add(book::AFTER_FAILURE, 1);
        }
        hedged
    }

    fn hedge(&self, can_repeat: impl FnOnce() -> bool) -> bool {
        let now = clock::now();
        let book = if !can_repeat() {
            book::NOT_REPEATABLE
        } else if self.deadline.is_some_and(|deadline| deadline <= now) {
            book::OUT_OF_TIME
        // Last, for what has been taken from it is not given back.
        } else if !self.shared.withdraw(&self.shared.options.load(), now) {
            book::OUT_OF_BUDGET
        } else {
            book::HEDGES
        };
        self.shared.books.add(book, 1);
        book == book::HEDGES
    }

    /// The second attempt has answered the call.
    pub(super) fn won(&mut self) {
        self.shared.books.add(book::WON, 1);
        self.note_overdue();
    }

    // ===== how long the first took =====

    /// The first attempt has ended, with an answer or without.
    #[inline]
    pub(super) fn first_ended(&mut self, answered: bool) {
        if !answered {
            // Failures are often quick, and would have it look as if answers were.
            self.note_overdue();
        } else if self.shared.measures() && self.stage != Stage::Noted {
            // What was there at the first look took no time worth a look at the clock.
            self.shared.record(self.started.map(elapsed).unwrap_or_default());
        }
        self.stage = Stage::Noted;
    }

    /// The first attempt goes no further. How long it would have taken nobody knows; but it is one of those that are
    /// slower than the delay, and that is all that a quantile has to know. Were it left out, those that are slow and
    /// overtaken would be missing above the quantile, and it would sink by and by.
    fn note_overdue(&mut self) {
        if self.stage == Stage::Overdue && self.shared.measures() {
            if let Some(started) = self.started {
                self.shared.record(elapsed(started));
            }
        }
        self.stage = Stage::Noted;
    }
}

#[inline]
fn elapsed(since: Instant) -> Duration {
    clock::now().saturating_duration_since(since)
}

/// The caller may have lost patience with an attempt that was slow.
impl Drop for Course {
    #[inline]
    fn drop(&mut self) {
        if self.stage == Stage::Overdue {
            self.note_overdue();
        }
    }
}

/// Whether nothing better can be expected: an answer, whatever it says to the caller; not a failure, and not the
/// refusal of a layer further in, which is no answer of the service.
#[inline]
pub(super) fn is_final(outcome: &Outcome) -> bool {
    match outcome.verdict() {
        Verdict::Success => true,
        Verdict::Neutral => !matches!(outcome.reason(), Reason::Rejected(_)),
        Verdict::Failure | Verdict::Throttled => false,
    }
}

/// Whether what has failed so may succeed if it is tried again *at once*. A service that asks for less, or for some
/// peace, is not pressed; that a panic would not happen again is unlikely; and a layer that has refused would again.
fn is_worth_it(outcome: &Outcome) -> bool {
    let wants_peace = outcome.retry_after().is_some_and(|after| !after.is_zero());
    outcome.verdict() == Verdict::Failure
        && outcome.reason() != Reason::Rejected(RejectionKind::Panicked)
        && !outcome.retry_forbidden()
        && !wants_peace
}
