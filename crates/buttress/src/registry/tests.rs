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

#[test]
fn events_have_the_names_that_are_in_the_registry() {
    let registry = Registry::new();
    let mut heard = registry.subscribe();
    let [one, other] = [opened_by_one(), opened_by_one()];
    registry.register("payments", &one);
    registry.register("payments", &other);
    trip_and_reset(&other);
    let heard = std::iter::from_fn(|| heard.try_next()).map(|event| event.expect("not lagging"));
    let heard: Vec<_> = heard.map(|event| event.policy.to_string()).collect();
    assert_eq!(heard, ["payments", "payments#2", "payments#2", "payments#2"]);
}

#[test]
fn a_policy_is_found_by_name_and_type_and_changed_while_it_runs() {
    let registry = Registry::new();
    let breaker = CircuitBreaker::new();
    registry.register("db", &breaker);
    let found: CircuitBreaker = registry.get("db").expect("it is listed");
    let options = found.options().consecutive_failures(1);
    found.reconfigure(options).expect("valid");
    trip_and_reset(&breaker);
    assert_eq!(registry.name_of(&breaker).as_deref(), Some("db"));

    assert!(registry.get::<CircuitBreaker>("dc").is_none());
    assert!(registry.name_of(&opened_by_one()).is_none());
    #[cfg(feature = "keyed")]
    assert!(
        registry
            .get::<crate::circuit_breaker::KeyedCircuitBreaker>("db")
            .is_none(),
        "it is of another type"
    );
}

#[cfg(all(feature = "pool", feature = "rate-limit"))]
#[test]
fn what_stands_before_an_endpoint_is_found_by_its_type() {
    use crate::{
        admission::Both,
        pool::{Endpoint, Pool},
        rate_limit::RateLimiter,
    };
    let (breaker, limit) = (
        opened_by_one(),
        RateLimiter::per_second(1).build().expect("valid"),
    );
    let both = Both::new(Arc::new(breaker), Arc::new(limit.clone()));
    let pool = Pool::builder().push(Endpoint::new("a", 1).breaker(both));
    let pool = pool.build().expect("valid");
    let registry = Registry::new();
    registry.register("upstream", &pool);
    let found: CircuitBreaker = registry.get("upstream:a").expect("a breaker");
    found.force_open();
    assert_eq!(pool.snapshot().usable(), 0);
    let found: RateLimiter = registry.get("upstream:a").expect("a limit");
    assert!(found.try_acquire(1).is_ok());
    assert_eq!(limit.peek().remaining, 0);
    assert_eq!(
        registry
            .get::<Pool<i32>>("upstream")
            .map(|pool| pool.endpoints().len()),
        Some(1)
    );
}

#[test]
fn what_is_removed_gives_its_name_back_and_is_heard_no_more() {
    let registry = Registry::new();
    let breaker = opened_by_one();
    registry.register("db", &breaker);
    let mut heard = registry.subscribe();
    assert!(registry.remove("db") && !registry.remove("db"));
    trip_and_reset(&breaker);
    let event = heard.try_next().expect("removed").expect("not lagging");
    assert!(event.detail::<Removed>().is_some(), "{event}");
    assert_eq!(event.to_string(), "circuit_breaker `db`: removed");
    assert!(heard.try_next().is_none());
    assert!(registry.names().is_empty() && registry.drill("db", &Drill::Reset).is_err());
    assert_eq!(&*registry.register("db", &opened_by_one()), "db");
}

#[test]
fn one_that_comes_back_is_heard_once_and_however_often_leaves_nothing() {
    let registry = Registry::new();
    let breaker = opened_by_one();
    let come_and_go = || {
        registry.register("db", &breaker);
        assert!(registry.remove("db"));
    };
    come_and_go();
    let left = allocation_counter::measure(|| (0..100).for_each(|_| come_and_go()));
    assert_eq!((left.count_current, left.bytes_current), (0, 0));
    registry.register("other", &breaker);
    let mut heard = registry.subscribe();
    trip_and_reset(&breaker);
    let names = std::iter::from_fn(|| heard.try_next()).map(|event| event.expect("not lagging").policy);
    assert_eq!(names.collect::<Vec<_>>(), ["other".into(), "other".into()]);
}

/// Should the allocator give its place to another, that is another.
#[test]
fn one_that_is_gone_is_not_taken_for_the_next_at_its_address() {
    let registry = Registry::new();
    for _ in 0..100 {
        let breaker = opened_by_one();
        registry.register("db", &breaker);
        let mut heard = registry.subscribe();
        trip_and_reset(&breaker);
        assert_eq!(std::iter::from_fn(|| heard.try_next()).count(), 2);
        assert!(registry.remove("db"));
    }
}

#[cfg(feature = "rate-limit")]
#[test]
fn a_drill_of_one_concern_leaves_what_else_has_the_name() {
    let registry = Registry::new();
    let limit = crate::rate_limit::RateLimiter::per_minute(1)
        .build()
        .expect("valid");
    drop(limit.try_acquire(1));
    let breaker = opened_by_one();
    breaker.force_open();
    registry.register("db", &limit);
    registry.register("db", &breaker);
    registry.register("api", &limit.options().build().expect("valid"));
    assert_eq!(
        registry.drill_concern("circuit_breaker", "db", &Drill::Reset),
        Ok(())
    );
    assert_eq!((breaker.state(), limit.peek().remaining), (State::Closed, 0));
    assert_eq!(
        registry.drill_concern("circuit_breaker", "api", &Drill::Reset),
        Err(DrillError::UnknownName {
            name: "api".to_owned(),
            known: vec!["db".into()],
        })
    );
    assert_eq!(
        registry.drill_concern("rate_limit", "db", &Drill::Open),
        Err(DrillError::Unsupported)
    );
}
