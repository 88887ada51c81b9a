//! The other crates' circuit breakers, each as light as it can be had: no names, no listeners, no metrics.

use std::time::Duration;

use failsafe::{backoff, failure_policy, futures::CircuitBreaker as _};
use recloser::{AsyncRecloser, Recloser};
use tower::Service;
use tower_resilience::circuitbreaker::{
    CircuitBreakerConfigBuilder, CircuitBreakerLayer, DefaultClassifier, SlidingWindowType,
};

use crate::service::{FAIL, Plain, Wrapped};

/// Longer than any run.
const LONG: Duration = Duration::from_secs(3600);

// ===== tower-resilience =====

/// Its default counts a rate; five failures in a row is what Buttress's default counts.
pub(super) fn tower_resilience() -> CircuitBreakerLayer {
    build(CircuitBreakerLayer::builder().consecutive_failures(5))
}

/// Its default: half of the last 100 calls.
pub(super) fn tower_resilience_count() -> CircuitBreakerLayer {
    build(CircuitBreakerLayer::builder().failure_rate_threshold(0.9))
}

/// It keeps a record for each call in the window and walks them all for each call. 30 seconds, as the others have,
/// would be millions of records here and seconds a call; a millisecond holds a few hundred.
pub(super) fn tower_resilience_time() -> CircuitBreakerLayer {
    build(
        CircuitBreakerLayer::builder()
            .failure_rate_threshold(0.9)
            .sliding_window_type(SlidingWindowType::TimeBased)
            .sliding_window_duration(Duration::from_millis(1)),
    )
}

pub(super) fn tower_resilience_slow() -> CircuitBreakerLayer {
    build(
        CircuitBreakerLayer::builder()
            .failure_rate_threshold(0.9)
            .slow_call_duration_threshold(Duration::from_secs(5))
            .slow_call_rate_threshold(0.9),
    )
}

pub(super) fn build(options: CircuitBreakerConfigBuilder<DefaultClassifier>) -> CircuitBreakerLayer {
    options
        .wait_duration_in_open(LONG)
        .build()
        .expect("the options are in order")
}

// ===== recloser =====

/// It knows a rate over a count window only.
pub(super) fn recloser() -> impl Service<u64> + Clone + Send + 'static {
    let options = Recloser::custom().error_rate(0.9).closed_len(100).open_wait(LONG);
    let breaker = AsyncRecloser::from(options.build());
    Wrapped {
        inner: Plain,
        wrap: move |future| breaker.call(future),
        error: recloser::Error::Inner,
    }
}

// ===== failsafe =====

pub(super) fn failsafe() -> impl Service<u64> + Clone + Send + 'static {
    let policy = failure_policy::consecutive_failures(5, backoff::constant(LONG));
    let breaker = failsafe::Config::new().failure_policy(policy).build();
    Wrapped {
        inner: Plain,
        wrap: move |future| breaker.call(future),
        error: failsafe::Error::Inner,
    }
}

pub(super) fn failsafe_time() -> impl Service<u64> + Clone + Send + 'static {
    let window = Duration::from_secs(30);
    let policy = failure_policy::success_rate_over_time_window(0.1, 20, window, backoff::constant(LONG));
    let breaker = failsafe::Config::new().failure_policy(policy).build();
    Wrapped {
        inner: Plain,
        wrap: move |future| breaker.call(future),
        error: failsafe::Error::Inner,
    }
}

/// Opens a breaker in the way that every crate knows: by failing.
pub(super) fn opened<S: Service<u64> + Send + 'static>(mut service: S) -> S {
    let mut subject = |request| crate::drive::once(&mut service, request);
    (0..200).for_each(|_| subject(FAIL));
    service
}
