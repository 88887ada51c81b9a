//! The whole stack around a plain service.

use std::sync::{Arc, atomic::AtomicU64, atomic::Ordering::Relaxed};

use buttress::{Stack, circuit_breaker::CircuitBreaker, metrics::Metrics};
use tower::{Layer, Service};
use tower_resilience::circuitbreaker::CircuitBreakerLayer;

use super::{entries, peers};
use crate::{
    drive::Subject,
    floor::{self, Books, Breaker},
    service::Plain,
};

/// Metrics, recover, circuit breaker, recover, error.
pub(super) fn full() -> impl Service<u64, Response = u64> + Clone + Send + 'static {
    let stack = Stack::new("bench")
        .metrics(Metrics::new())
        .recover()
        .circuit_breaker(CircuitBreaker::new())
        .build();
    stack.service(Plain)
}

/// What tower-resilience has of these three concerns: its circuit breaker, and listeners that count calls by outcome.
/// There is nothing in it that catches panics or, short of the `metrics` facade (feature `peer-metrics`), measures
/// durations, so it does less.
pub(super) fn tower_resilience() -> CircuitBreakerLayer {
    let counts: Arc<[AtomicU64; 4]> = Arc::default();
    let counter = |i: usize| {
        let counts = counts.clone();
        move || {
            counts[i].fetch_add(1, Relaxed);
        }
    };
    let (started, success, failure, rejected) = (counter(0), counter(1), counter(2), counter(3));
    peers::build(
        CircuitBreakerLayer::builder()
            .consecutive_failures(5)
            .on_call_permitted(move |_| started())
            .on_success(move |_| success())
            .on_failure(move |_| failure())
            .on_call_rejected(rejected),
    )
}

entries! {
    /// No policy named.
    EMPTY, "stack/empty":
    "bare" => Subject::plain(Plain),
    "buttress" => Subject::plain(Stack::new("bench").build().service(Plain)),
}

entries! {
    /// Every policy named, and off.
    OFF, "stack/off":
    "bare" => Subject::plain(Plain),
    "buttress" => {
        let stack = Stack::new("bench").metrics(None).recover_with(None).circuit_breaker(None).build();
        Subject::plain(stack.service(Plain))
    },
}

entries! { FULL, "stack/full":
    "bare" => Subject::plain(Plain),
    "floor" => {
        let (books, breaker) = (Books::new(), Breaker::new());
        Subject::function(move |i| floor::stack(&books, &breaker, i))
    },
    "buttress" => Subject::plain(full()),
    "tower-resilience" => Subject::plain(tower_resilience().layer(Plain)),
}

entries! { REFUSED, "stack/full/open":
    "bare" => Subject::plain(Plain),
    "buttress" => Subject::plain(peers::opened(full())),
    "tower-resilience" => Subject::plain(peers::opened(tower_resilience().layer(Plain))),
}
