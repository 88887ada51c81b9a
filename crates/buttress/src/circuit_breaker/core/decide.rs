//! What a call's end does to the state.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use super::Core;
use crate::{
    circuit_breaker::{
        builder::CircuitBreakerBuilder,
        policy::to_ticks,
        state::{Generation, Probation, State},
        transition::Cause,
        window::{Sample, Tally, Window},
    },
    outcome::{Outcome, Verdict},
    random,
};

impl Core {
    // ===== decisions =====

    /// Does a result of `generation` still count?
    #[inline]
    pub(in super::super) fn is_current(&self, generation: Generation) -> bool {
        self.machine.glance().generation() == generation
    }

    /// What the outcome of a call of `generation` does to the state. `false` if it comes too late to do
    /// anything.
    #[inline]
    pub(in super::super) fn decide(&self, generation: Generation, outcome: &Outcome, slow: bool) -> bool {
        let word = self.machine.glance();
        if word.generation() != generation {
            return false;
        }
        match word.state() {
            State::Closed | State::MetricsOnly => self.weigh(generation, outcome, slow),
            State::HalfOpen => self.probe_ended(generation, outcome),
            State::Open | State::ForcedOpen | State::Disabled => true,
        }
    }

    #[inline]
    fn weigh(&self, generation: Generation, outcome: &Outcome, slow: bool) -> bool {
        match outcome.verdict() {
            Verdict::Success => {
                if !self.machine.clear_streak(generation) {
                    return false;
                }
            }
            Verdict::Failure => match self.machine.extend_streak(generation) {
                None => return false,
                Some(failures) => {
                    if self.hot.is_too_long(failures) {
                        self.trip(generation, outcome, |open_for| Cause::ConsecutiveFailures {
                            failures,
                            last: outcome.reason(),
                            open_for,
                        });
                    }
                }
            },
            Verdict::Throttled => {}
            Verdict::Neutral => return true,
        }
        if self.hot.is_windowed() {
            self.weigh_rates(generation, outcome, slow);
        }
        true
    }

    #[inline]
    fn weigh_rates(&self, generation: Generation, outcome: &Outcome, slow: bool) {
        let sample = Sample {
            failed: matches!(outcome.verdict(), Verdict::Failure | Verdict::Throttled),
            slow,
        };
        let tally = match self.hot.first_window() {
            Some(window) => self.add(window, generation, sample),
            None => match &self.settings.load().window {
                Some(window) => self.add(window, generation, sample),
                None => None,
            },
        };
        let Some(Tally { calls, failed, slow }) = tally else {
            return;
        };
        if calls < self.hot.minimum_calls() {
            return;
        }
        if self.hot.has_failed(failed, calls) {
            self.trip(generation, outcome, |open_for| Cause::FailureRate {
                failed,
                calls,
                open_for,
            });
        } else if self.hot.is_too_slow(slow, calls) {
            self.trip(generation, outcome, |open_for| Cause::SlowCallRate {
                slow,
                calls,
                open_for,
            });
        }
    }

    #[inline]
    fn add(&self, window: &Window, generation: Generation, sample: Sample) -> Option<Tally> {
        // A count window needs no clock.
        let now = match window {
            Window::Count(_) => 0,
            Window::Time(_) => self.now(),
        };
        window.record(generation, now, sample)
    }

    /// From closed to open.
    #[cold]
    fn trip(&self, generation: Generation, outcome: &Outcome, cause: impl FnOnce(Duration) -> Cause) {
        let settings = self.settings.load();
        self.open(
            generation,
            State::Closed,
            self.growth_after_closed(&settings.options),
            outcome,
            &settings.options,
            cause,
        );
    }

    /// How many failed probations the open time has grown by, if the closed state ends now.
    pub(super) fn growth_after_closed(&self, options: &CircuitBreakerBuilder) -> u32 {
        let closed_for = self.now().saturating_sub(self.history.entered.load(Relaxed));
        if closed_for >= to_ticks(options.effective_steady()) {
            0
        } else {
            self.history.failed_probations.load(Relaxed)
        }
    }

    /// A probe, or an outcome recorded by hand, during a probation.
    #[inline(never)]
    fn probe_ended(&self, generation: Generation, outcome: &Outcome) -> bool {
        match outcome.verdict() {
            Verdict::Success => self.probe_succeeded(generation),
            Verdict::Neutral => self.is_current(generation),
            Verdict::Failure | Verdict::Throttled => {
                let settings = self.settings.load();
                let failed_probations = self.history.failed_probations.load(Relaxed).saturating_add(1);
                self.open(
                    generation,
                    State::HalfOpen,
                    failed_probations,
                    outcome,
                    &settings.options,
                    |open_for| Cause::ProbeFailed {
                        reason: outcome.reason(),
                        open_for,
                    },
                )
            }
        }
    }

    pub(in super::super) fn probe_succeeded(&self, generation: Generation) -> bool {
        let threshold = self.settings.load().options.success_threshold;
        match self.machine.pass_probe(generation, threshold.into()) {
            Probation::GoesOn => true,
            Probation::Passed => {
                self.entered(State::HalfOpen, State::Closed, Cause::ProbesSucceeded);
                true
            }
            Probation::Stale => false,
        }
    }

    fn open(
        &self,
        generation: Generation,
        from: State,
        failed_probations: u32,
        outcome: &Outcome,
        options: &CircuitBreakerBuilder,
        cause: impl FnOnce(Duration) -> Cause,
    ) -> bool {
        let open_for = options.open_time(failed_probations, random::unit(), outcome.retry_after());
        let until = self.now().saturating_add(to_ticks(open_for));
        let opened = self.machine.leave(generation, from, State::Open, until);
        if opened {
            self.history.failed_probations.store(failed_probations, Relaxed);
            self.entered(from, State::Open, cause(open_for));
        }
        opened
    }
}
