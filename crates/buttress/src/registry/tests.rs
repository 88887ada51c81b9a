//! Those who listen, and what they cannot do to those who call.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use super::*;
use crate::{
    Outcome,
    circuit_breaker::{CircuitBreaker, State},
    outcome::Reason,
};

fn opened_by_one() -> CircuitBreaker {
    CircuitBreaker::builder()
        .name("db")
        .consecutive_failures(1)
        .build()
        .expect("valid")
}

/// Two changes of state.
fn trip_and_reset(breaker: &CircuitBreaker) {
    let permit = breaker.try_acquire().expect("closed");
    permit.record(Outcome::failure(Reason::Error));
    assert_eq!(breaker.state(), State::Open);
    breaker.reset();
}

#[test]
fn a_subscriber_that_is_slow_misses_the_oldest_and_holds_nobody_up() {
    let registry = Registry::new();
    let breaker = opened_by_one();
    registry.register("db", &breaker);
    let mut slow = registry.subscribe();
    (0..10_000).for_each(|_| trip_and_reset(&breaker));
    let missed = slow.try_next().expect("something");
    assert!(
        matches!(missed, Err(Lagged(missed)) if missed >= 10_000),
        "{missed:?}"
    );
    let mut heard = 0;
    while let Some(event) = slow.try_next() {
        assert_eq!(&*event.expect("the rest is there").policy, "db");
        heard += 1;
    }
    assert!((1..=2048).contains(&heard), "{heard}");
}

#[test]
fn a_listener_that_panics_harms_neither_the_call_nor_the_next_listener() {
    let registry = Registry::new();
    let breaker = opened_by_one();
    registry.register("db", &breaker);
    let heard = Arc::new(AtomicUsize::new(0));
    registry.listen(|_| panic!("a listener's own fault"));
    let count = heard.clone();
    registry.listen(move |_| {
        count.fetch_add(1, Relaxed);
    });
    trip_and_reset(&breaker);
    assert_eq!(heard.load(Relaxed), 2);
    assert!(breaker.try_acquire().is_ok());
}

#[test]
fn a_listener_may_ask_and_change_the_registry_and_the_policy_that_it_hears_of() {
    let registry = Registry::new();
    let breaker = opened_by_one();
    registry.register("db", &breaker);
    let (all, this) = (registry.clone(), breaker.clone());
    let times = AtomicUsize::new(0);
    registry.listen(move |_| {
        // What it does is an event in its turn.
        if times.fetch_add(1, Relaxed) > 0 {
            return;
        }
        let state = all.snapshot();
        assert!(state.at(&["db", "circuitBreaker"]).is_some());
        drop(crate::export::Export::of(&all).read());
        drop(all.subscribe());
        all.listen(|_| {});
        all.register("another", &opened_by_one());
        if this.state() == State::Open {
            all.drill("db", &Drill::Close).expect("it can be closed");
        }
    });
    let permit = breaker.try_acquire().expect("closed");
    permit.record(Outcome::failure(Reason::Error));
    assert_eq!(breaker.state(), State::Closed, "as the listener wanted");
    assert!(breaker.try_acquire().is_ok());
}
