//! Options, and steering by hand.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use super::*;
use crate::error::RejectionKind;

// ===== minimum calls ignored; nonsense built; reset did nothing =====

#[tokio::test(start_paused = true)]
async fn a_minimum_below_the_window_is_obeyed() {
    let breaker = built(rates().failure_rate(0.5).count_window(100).minimum_calls(5));
    calls(&breaker, 4, FAILURE);
    assert_eq!(breaker.state(), State::Closed);
    one(&breaker, FAILURE);
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn zero_probes_do_not_build() {
    let error = CircuitBreaker::builder()
        .half_open_probes(0)
        .build()
        .expect_err("an outage");
    assert!(error.to_string().contains("half_open_probes"));
}

#[tokio::test(start_paused = true)]
async fn reset_works_while_closed() {
    let breaker = built(exact().failure_rate(0.5).count_window(10).minimum_calls(10));
    let in_flight = permit(&breaker);
    calls(&breaker, 4, FAILURE);
    breaker.reset();
    let s = breaker.snapshot();
    assert_eq!((s.total, s.consecutive_failures, s.failure_rate), (0, 0, None));
    in_flight.record(FAILURE);
    assert_eq!(breaker.snapshot().stale, 1, "what was in flight decides nothing");
    calls(&breaker, 4, FAILURE);
    assert_eq!(breaker.state(), State::Closed);
    one(&breaker, FAILURE);
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn exactly_one_state_is_told() {
    let breaker = built(exact().consecutive_failures(1).success_threshold(1));
    assert_eq!(breaker.snapshot().state, State::Closed);
    one(&breaker, FAILURE);
    assert_eq!(breaker.snapshot().state, State::Open);
    advance(MINUTE).await;
    one(&breaker, SUCCESS);
    assert_eq!(breaker.snapshot().state, State::Closed);
}

// ===== every instance reopened at the same moment =====

#[tokio::test(start_paused = true)]
async fn open_time_is_jittered() {
    let times: Vec<_> = (0..50)
        .map(|_| {
            let breaker = CircuitBreaker::new();
            calls(&breaker, 5, FAILURE);
            breaker.snapshot().retry_after.expect("open")
        })
        .collect();
    assert!(times.iter().all(|t| (54 * SECOND..=MINUTE).contains(t)));
    assert!(times.iter().any(|t| *t != times[0]), "{times:?}");

    // After a failed probation, and when it is opened by hand, too.
    let reopened: Vec<_> = (0..50)
        .map(|_| {
            let breaker = CircuitBreaker::new();
            breaker.transition_to(State::HalfOpen);
            one(&breaker, FAILURE);
            let after_probe = breaker.snapshot().retry_after;
            breaker.transition_to(State::Open);
            (after_probe, breaker.snapshot().retry_after)
        })
        .collect();
    assert!(reopened.iter().any(|t| t.0 != reopened[0].0));
    assert!(reopened.iter().any(|t| t.1 != reopened[0].1));
}

// ===== the listener deadlocked when it asked =====

#[tokio::test(start_paused = true)]
async fn a_listener_may_ask_the_breaker() {
    let breaker = built(exact().consecutive_failures(1).name("db"));
    let (this, asked) = (breaker.clone(), Arc::new(AtomicUsize::new(0)));
    let count = asked.clone();
    breaker.listen(move |event| {
        assert_eq!(&*event.policy, "db");
        assert_eq!(this.state(), State::Open);
        assert_eq!(this.snapshot().times_opened, 1);
        assert!(this.try_acquire().is_err());
        count.fetch_add(1, Relaxed);
    });
    one(&breaker, FAILURE);
    assert_eq!(asked.load(Relaxed), 1);
}

// ===== a policy update dropped the open state =====

#[tokio::test(start_paused = true)]
async fn a_policy_change_keeps_the_open_state() {
    let breaker = built(exact().consecutive_failures(1).open_for(MINUTE));
    one(&breaker, FAILURE);
    advance(10 * SECOND).await;
    breaker
        .reconfigure(exact().consecutive_failures(100).open_for(SECOND))
        .expect("valid");
    let s = breaker.snapshot();
    assert_eq!(
        (s.state, s.retry_after, s.failure),
        (State::Open, Some(50 * SECOND), 1)
    );
    let rejected = breaker.try_acquire().expect_err("still open");
    assert_eq!(rejected.kind(), RejectionKind::CircuitOpen);
    advance(50 * SECOND).await;
    one(&breaker, FAILURE);
    assert_eq!(
        breaker.snapshot().retry_after,
        Some(SECOND),
        "the next time is the new one"
    );
}

// ===== the success threshold was read and never used =====

#[tokio::test(start_paused = true)]
async fn success_threshold_decides() {
    for threshold in 1..=4 {
        let breaker = ready_to_probe(exact().success_threshold(threshold)).await;
        calls(&breaker, threshold as usize - 1, SUCCESS);
        assert_ne!(breaker.state(), State::Closed);
        one(&breaker, SUCCESS);
        assert_eq!(breaker.state(), State::Closed);
    }
}
