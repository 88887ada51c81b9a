//! Changing the policies of breakers by key while they run.

use super::*;
use crate::circuit_breaker::KeyedCircuitBreaker;

fn failures(n: u32) -> CircuitBreakerBuilder {
    exact().consecutive_failures(n)
}

fn keyed() -> KeyedCircuitBreaker {
    KeyedCircuitBreaker::builder("http")
        .policy(failures(3))
        .policy_for("own", failures(4))
        .max_keys(2)
        .build()
        .expect("valid")
}

fn in_force(breaker: &CircuitBreaker) -> Option<u32> {
    breaker.options().consecutive_failures
}

#[tokio::test(start_paused = true)]
async fn a_policy_change_is_for_the_breakers_there_are_and_for_those_to_come() {
    let breakers = keyed();
    let [old, own] = ["old", "own"].map(|key| breakers.get(key));
    let overflow = breakers.get("no room");
    calls(&old, 2, FAILURE);
    breakers.reconfigure(failures(2)).expect("valid");
    assert_eq!([&old, &own, &overflow].map(in_force), [Some(2), Some(4), Some(2)]);
    assert_eq!(old.snapshot().consecutive_failures, 2, "the run goes on");
    assert_eq!((&*old.name(), &*overflow.name()), ("http:old", "http:*"));
    assert_eq!(old.options().name.as_deref(), Some("http:old"));

    // A breaker that has left is made again from what is in force.
    breakers.remove("old");
    assert_eq!(in_force(&breakers.get("old")), Some(2));
    assert_eq!(breakers.options(), failures(2));
}

#[tokio::test(start_paused = true)]
async fn a_key_can_be_given_a_policy_of_its_own_and_lose_it_again() {
    let breakers = keyed();
    let old = breakers.get("old");
    breakers.reconfigure_for("old", failures(7)).expect("valid");
    breakers.reconfigure_for("new", failures(8)).expect("valid");
    assert_eq!([&old, &breakers.get("new")].map(in_force), [Some(7), Some(8)]);
    assert_eq!(breakers.options_for("old"), failures(7));

    breakers.reconfigure(failures(1)).expect("valid");
    assert_eq!(in_force(&old), Some(7), "it is the key's own");
    breakers
        .reconfigure_for("old", None)
        .expect("nothing to say against");
    assert_eq!(in_force(&old), Some(1));
    assert_eq!(breakers.options_for("old"), failures(1));
}

#[tokio::test(start_paused = true)]
async fn a_bad_policy_of_keys_changes_nothing() {
    let breakers = keyed();
    let old = breakers.get("old");
    assert!(breakers.reconfigure(failures(0)).is_err());
    assert!(breakers.reconfigure_for("old", failures(0)).is_err());
    assert_eq!(in_force(&old), Some(3));
    assert_eq!(breakers.options_for("old"), failures(3));
}

/// One that is on its way into the map while the policy is changed is found neither in it nor made from the new one.
#[test]
fn no_breaker_is_left_under_a_policy_that_is_gone() {
    for round in 0..300 {
        let breakers = keyed();
        let barrier = std::sync::Barrier::new(2);
        let breaker = std::thread::scope(|s| {
            s.spawn(|| {
                barrier.wait();
                breakers.reconfigure(failures(2)).expect("valid");
            });
            barrier.wait();
            breakers.get("new")
        });
        assert_eq!(in_force(&breaker), Some(2), "in round {round}");
    }
}
