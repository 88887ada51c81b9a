//! A breaker as the guard of one target among several.

use std::{sync::Arc, time::Duration};

use super::{CircuitBreaker, CircuitBreakerBuilder, Permit, state::State};
use crate::{
    admission::{Admission, Admitted, MakeAdmission, Standing},
    clock::Instant,
    config::ConfigError,
    error::Rejected,
    outcome::{Head, Outcome, Token},
};

impl Admission for CircuitBreaker {
    #[inline]
    fn would_admit(&self, now: Instant) -> bool {
        // Nearly always; the ticks are for the others.
        self.core.machine.glance().is_closed() || CircuitBreaker::would_admit(self, now)
    }

    fn next_chance(&self, now: Instant) -> Option<Instant> {
        let ticks = self.core.next_chance(self.core.ticks(now))?;
        Some(self.core.instant(ticks).max(now))
    }

    fn standing(&self) -> Standing {
        match self.state() {
            State::Closed | State::Disabled | State::MetricsOnly => Standing::Sound,
            State::HalfOpen => Standing::Trial,
            State::Open | State::ForcedOpen => Standing::Down,
        }
    }

    fn hasten(&self) {
        self.core.end_open_time();
    }

    fn admit(&self, now: Instant) -> Result<Admitted, Rejected> {
        let mut permit = self.admit();
        match permit.take_refusal() {
            Some(rejected) => Err(rejected),
            None => {
                permit.start_at(now);
                Ok(permit.into_words())
            }
        }
    }

    fn head(&self, call: &mut Admitted, head: Head) {
        self.with(call, |permit| permit.head(head));
    }

    fn data(&self, call: &mut Admitted) {
        self.with(call, Permit::data);
    }

    fn finish(&self, call: Admitted, outcome: Outcome) {
        Permit::of_words(&self.core, &call).finish(outcome);
    }

    fn cancel(&self, call: Admitted) {
        drop(Permit::of_words(&self.core, &call));
    }

    fn slow_after_if_unset(&self, time: Duration) {
        CircuitBreaker::slow_after_if_unset(self, time);
    }

    fn name_if_unnamed(&self, name: &Arc<str>) {
        CircuitBreaker::name_if_unnamed(self, name);
    }
}

impl CircuitBreaker {
    fn with(&self, call: &mut Admitted, act: impl FnOnce(&mut Permit)) {
        let mut permit = Permit::of_words(&self.core, call);
        act(&mut permit);
        *call = permit.into_words();
    }
}

/// A breaker of these options for each target; the name in them is not used.
impl MakeAdmission for CircuitBreakerBuilder {
    fn make(&self, _: &str) -> Result<Arc<dyn Admission>, ConfigError> {
        let mut options = self.clone();
        options.name = None;
        Ok(Arc::new(options.build()?))
    }
}
