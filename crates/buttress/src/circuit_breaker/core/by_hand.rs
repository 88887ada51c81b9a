//! What operators and drills do to it.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use super::{Core, Settings};
use crate::{
    circuit_breaker::{
        CONCERN, builder::CircuitBreakerBuilder, policy::to_ticks, state::State, transition::Cause,
    },
    outcome::Outcome,
    random,
    registry::PolicyChanged,
};

impl Core {
    // ===== by hand =====

    pub(in super::super) fn force(&self, to: State) {
        let settings = self.settings.load();
        if self.machine.glance().is_closed() {
            let growth = self.growth_after_closed(&settings.options);
            self.history.failed_probations.store(growth, Relaxed);
        }
        let until = match to {
            State::Open => {
                let grown = self.history.failed_probations.load(Relaxed);
                let open_for = settings.options.open_time(grown, random::unit(), None);
                self.now().saturating_add(to_ticks(open_for))
            }
            _ => 0,
        };
        let from = self.machine.force(to, until);
        self.entered(from, to, Cause::ByHand);
    }

    /// Ends an open time early: the next calls are probes. Of any other state it ends nothing.
    pub(in super::super) fn end_open_time(&self) {
        let word = self.machine.load();
        if word.state() == State::Open && self.machine.advance(word, State::HalfOpen, 0).is_ok() {
            self.entered(State::Open, State::HalfOpen, Cause::ByHand);
        }
    }

    pub(in super::super) fn reset(&self) {
        let from = self.machine.force(State::Closed, 0);
        self.books.rebase();
        self.history.clear();
        self.entered(from, State::Closed, Cause::ByHand);
    }

    pub(in super::super) fn record_by_hand(&self, outcome: Outcome) {
        let word = self.machine.load();
        if word.state() == State::Disabled {
            return;
        }
        let current = self.decide(word.generation(), &outcome, false);
        self.book(outcome.verdict(), false, current);
    }

    pub(in super::super) fn reconfigure(&self, options: CircuitBreakerBuilder) {
        {
            let _changing = self.changing();
            let settings = Settings::new(options, Some(&self.settings.load()));
            self.put_in_force(settings);
        }
        // More probes may be allowed now.
        self.waiters.wake();
        tracing::info!(target: "buttress::circuit_breaker", policy = %self.name(), "policy changed");
        self.events.emit(CONCERN, self.name(), || PolicyChanged);
    }

    /// What is slow where the options do not say it. Whoever says it first is believed.
    pub(in super::super) fn assume_slow_after(&self, time: Duration) {
        let _changing = self.changing();
        self.hot.assume_slow_after(time, &self.settings.load());
    }
}
