//! The course of one call: its attempts so far, and whether there is to be another.

use std::{sync::Arc, time::Duration};

use super::{
    builder::RetryBuilder,
    conditions::Attempt,
    shared::{Shared, book},
};
use crate::{
    clock::{self, Instant},
    context::InAttempt,
    outcome::{Outcome, Verdict},
};

#[derive(Clone)]
pub(super) struct Course {
    shared: Arc<Shared>,
    /// Noted when the call is first found to take time.
    started: Option<Instant>,
    deadline: Option<Instant>,
    attempt: u32,
    /// Whether the call may be made again while an attempt may still be at work.
    is_idempotent: bool,
    /// The wait that was drawn before the present attempt.
    drawn: Option<Duration>,
    /// Where the attempts have been, for a pool further in.
    tried: u64,
}

impl Course {
    #[inline]
    pub(super) fn new(shared: Arc<Shared>, deadline: Option<Instant>, is_idempotent: bool) -> Self {
        Self {
            shared,
            started: None,
            deadline,
            attempt: 1,
            is_idempotent,
            drawn: None,
            tried: 0,
        }
    }

    /// Marks what runs as part of the present attempt, until it [leaves](Self::leave).
    #[inline]
    pub(super) fn enter(&self) -> InAttempt {
        InAttempt::enter(self.attempt).with_tried(self.tried)
    }

    #[inline]
    pub(super) fn leave(&mut self, in_attempt: InAttempt) {
        self.tried = in_attempt.leave();
    }

    /// The number of the present attempt.
    #[inline]
    pub(super) fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Notes the start of the call, if it is not noted yet.
    #[inline]
    pub(super) fn start(&mut self) {
        if self.started.is_none() {
            self.started = Some(clock::now());
        }
    }

    /// Whether an attempt header is to be sent.
    pub(super) fn announces(&self) -> bool {
        self.shared.options.load().attempt_header
    }

    /// The call has an answer that is good, or good so far.
    #[inline]
    pub(super) fn succeeded(&self) {
        if self.attempt > 1 {
            self.shared.books.add(book::RECOVERED, 1);
        }
    }

    /// The wait before the next attempt, if there is to be one. That is then the present one, and paid for. As outcome
    /// `None` is an answer that is good so far.
    #[inline]
    pub(super) fn next(
        &mut self,
        outcome: Option<Outcome>,
        can_repeat: impl FnOnce() -> bool,
    ) -> Option<Duration> {
        match outcome {
            Some(outcome) if outcome.verdict() != Verdict::Success => {
                self.after_failure(&outcome, can_repeat)
            }
            _ => {
                self.succeeded();
                None
            }
        }
    }

    #[cold]
    fn after_failure(&mut self, outcome: &Outcome, can_repeat: impl FnOnce() -> bool) -> Option<Duration> {
        let options = self.shared.options.load();
        let now = clock::now();
        let started = *self.started.get_or_insert(now);
        let elapsed = now.saturating_duration_since(started);
        if !self.is_worth_it(&options, outcome, elapsed) {
            return None;
        }
        match self.wait(&options, outcome, now, elapsed, can_repeat) {
            Ok(wait) => {
                self.shared.books.add(book::RETRIES, 1);
                self.attempt += 1;
                Some(wait)
            }
            Err(reason) => {
                self.shared.books.add(reason, 1);
                None
            }
        }
    }

    fn is_worth_it(&self, options: &RetryBuilder, outcome: &Outcome, elapsed: Duration) -> bool {
        match &options.retry_if {
            None => options.retry_on.matches(outcome),
            Some(predicate) => (predicate.0)(&Attempt {
                outcome: *outcome,
                number: self.attempt,
                elapsed,
            }),
        }
    }

    /// How long to wait, or the book in which it stands why there is no next attempt.
    fn wait(
        &mut self,
        options: &RetryBuilder,
        outcome: &Outcome,
        now: Instant,
        elapsed: Duration,
        can_repeat: impl FnOnce() -> bool,
    ) -> Result<Duration, usize> {
        if self.attempt >= options.max_attempts {
            return Err(book::OUT_OF_ATTEMPTS);
        }
        let asked = outcome.retry_after().unwrap_or_default();
        if outcome.retry_forbidden() || asked > options.effective_max_retry_after() {
            return Err(book::FORBIDDEN);
        }
        if (outcome.is_unfinished() && !self.is_idempotent) || !can_repeat() {
            return Err(book::NOT_REPEATABLE);
        }
        let drawn = options
            .waits
            .wait(self.attempt, self.drawn, self.shared.source.unit());
        let wait = options.waits.no_sooner(asked, drawn, self.attempt, self.drawn);
        let too_late = options
            .max_elapsed
            .is_some_and(|most| elapsed.saturating_add(wait) > most);
        let past_deadline = self
            .deadline
            .is_some_and(|deadline| deadline.saturating_duration_since(now) <= wait);
        if too_late || past_deadline {
            return Err(book::OUT_OF_TIME);
        }
        // Last, for what has been taken from it is not given back.
        if !self.shared.withdraw(options, now) {
            return Err(book::OUT_OF_BUDGET);
        }
        self.drawn = Some(drawn);
        Ok(wait)
    }
}
