//! What a circuit breaker does, by theme. All on the paused clock; [`model`] compares long random histories with
//! a model that is too simple to be wrong.

use std::time::Duration;

use tokio::time::advance;

use super::{CircuitBreaker, CircuitBreakerBuilder, Permit, State};
use crate::outcome::{Outcome, Reason, Verdict};

mod by_hand;
mod events;
mod gate;
#[cfg(feature = "keyed")]
mod keyed;
mod memory;
mod model;
mod options;
mod pitfalls;
mod service;
mod states;
mod streams;
mod validation;

const SUCCESS: Outcome = Outcome::SUCCESS;
const FAILURE: Outcome = Outcome::failure(Reason::Error);
const NEUTRAL: Outcome = Outcome::neutral(Reason::HttpStatus(404));
const THROTTLED: Outcome = Outcome::new(Verdict::Throttled, Reason::HttpStatus(429));

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
/// The breaker's unit of time.
const TICK: Duration = Duration::from_micros(10);

/// A builder without jitter, so that times are exact.
fn exact() -> CircuitBreakerBuilder {
    CircuitBreaker::builder().open_jitter(0.0)
}

/// [`exact`], without the default trigger: for tests of the others.
fn rates() -> CircuitBreakerBuilder {
    exact().consecutive_failures(None)
}

fn built(options: CircuitBreakerBuilder) -> CircuitBreaker {
    options.build().expect("valid options")
}

fn permit(breaker: &CircuitBreaker) -> Permit {
    breaker.try_acquire().expect("admitted")
}

/// One call that ends so.
fn one(breaker: &CircuitBreaker, outcome: Outcome) {
    permit(breaker).record(outcome);
}

/// So many calls that end so; each must be admitted.
fn calls(breaker: &CircuitBreaker, n: usize, outcome: Outcome) {
    (0..n).for_each(|_| one(breaker, outcome));
}

/// One call that takes so long.
async fn slow_call(breaker: &CircuitBreaker, time: Duration, outcome: Outcome) {
    let permit = permit(breaker);
    advance(time).await;
    permit.record(outcome);
}

/// A breaker of those options, just tripped by hand and its time over: the next call probes.
async fn ready_to_probe(options: CircuitBreakerBuilder) -> CircuitBreaker {
    let open_for = options.effective_max_open();
    let breaker = built(options);
    breaker.transition_to(State::Open);
    advance(open_for).await;
    breaker
}

fn is_refused(breaker: &CircuitBreaker) -> bool {
    breaker.try_acquire().is_err()
}
