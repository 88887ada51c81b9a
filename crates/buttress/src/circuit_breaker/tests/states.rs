//! The state table, row by row.

use super::*;
use crate::error::RejectionKind;

#[tokio::test(start_paused = true)]
async fn closed_lets_calls_pass_and_counts_them() {
    let breaker = built(exact());
    for outcome in [SUCCESS, FAILURE, NEUTRAL, THROTTLED] {
        one(&breaker, outcome);
    }
    drop(permit(&breaker));
    let s = breaker.snapshot();
    assert_eq!(s.state, State::Closed);
    assert_eq!(
        (s.success, s.failure, s.neutral, s.throttled, s.cancelled),
        (1, 1, 1, 1, 1)
    );
    assert_eq!((s.rejected, s.stale, s.slow, s.total), (0, 0, 0, 5));
}

#[tokio::test(start_paused = true)]
async fn a_success_ends_the_run_of_failures() {
    let only_runs = || exact().consecutive_failures(3);
    for options in [only_runs(), only_runs().failure_rate(1.0)] {
        let breaker = built(options);
        for _ in 0..10 {
            calls(&breaker, 2, FAILURE);
            one(&breaker, SUCCESS);
        }
        assert_eq!(breaker.state(), State::Closed);
        calls(&breaker, 3, FAILURE);
        assert_eq!(breaker.state(), State::Open);
    }
}

#[tokio::test(start_paused = true)]
async fn neutral_throttled_and_cancelled_neither_add_to_a_run_nor_end_it() {
    let breaker = built(exact().consecutive_failures(3));
    calls(&breaker, 2, FAILURE);
    calls(&breaker, 10, NEUTRAL);
    calls(&breaker, 10, THROTTLED);
    (0..10).for_each(|_| drop(permit(&breaker)));
    assert_eq!(breaker.state(), State::Closed);
    assert_eq!(breaker.snapshot().consecutive_failures, 2);
    one(&breaker, FAILURE);
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn open_refuses_with_the_time_that_is_left() {
    let breaker = built(exact().consecutive_failures(1).open_for(10 * SECOND).name("db"));
    one(&breaker, FAILURE);
    advance(4 * SECOND).await;
    let rejected = breaker.try_acquire().expect_err("open");
    assert_eq!(rejected.kind(), RejectionKind::CircuitOpen);
    assert_eq!(rejected.policy(), "db");
    assert_eq!(rejected.retry_after(), Some(6 * SECOND));
    let s = breaker.snapshot();
    assert_eq!((s.state, s.rejected, s.total), (State::Open, 1, 2));
    assert_eq!(s.retry_after, Some(6 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn open_ends_exactly_when_its_time_is_over() {
    let breaker = built(exact().consecutive_failures(1).open_for(10 * SECOND));
    one(&breaker, FAILURE);
    advance(10 * SECOND - TICK).await;
    assert!(is_refused(&breaker));
    assert_eq!(breaker.state(), State::Open);
    advance(TICK).await;
    assert_eq!(breaker.state(), State::Open, "nobody came yet");
    assert_eq!(
        breaker.snapshot().state,
        State::HalfOpen,
        "but that is what a call will find"
    );
    assert_eq!(breaker.snapshot().retry_after, None);
    let probe = permit(&breaker);
    assert!(probe.is_probe());
    assert_eq!(breaker.state(), State::HalfOpen);
}

#[tokio::test(start_paused = true)]
async fn half_open_admits_no_more_than_its_probes() {
    let breaker = ready_to_probe(exact().half_open_probes(2)).await;
    let first = permit(&breaker);
    let _second = permit(&breaker);
    let rejected = breaker.try_acquire().expect_err("both slots are taken");
    assert_eq!(
        (rejected.kind(), rejected.retry_after()),
        (RejectionKind::CircuitOpen, None)
    );
    first.record(SUCCESS);
    let third = permit(&breaker);
    assert!(third.is_probe());
    assert!(is_refused(&breaker));
}

#[tokio::test(start_paused = true)]
async fn half_open_closes_after_enough_successes() {
    let breaker = ready_to_probe(exact().success_threshold(2)).await;
    one(&breaker, SUCCESS);
    assert_eq!(breaker.state(), State::HalfOpen);
    one(&breaker, SUCCESS);
    assert_eq!(breaker.state(), State::Closed);
    assert!(!permit(&breaker).is_probe());
}

#[tokio::test(start_paused = true)]
async fn one_failed_or_throttled_probe_reopens() {
    for bad in [FAILURE, THROTTLED] {
        let breaker = ready_to_probe(exact().open_for(MINUTE)).await;
        one(&breaker, SUCCESS);
        one(&breaker, bad);
        assert_eq!(breaker.state(), State::Open);
        assert_eq!(breaker.snapshot().retry_after, Some(MINUTE), "anew, from now on");
    }
}

#[tokio::test(start_paused = true)]
async fn successes_of_a_failed_probation_do_not_count_for_the_next() {
    let breaker = ready_to_probe(exact().success_threshold(2)).await;
    one(&breaker, SUCCESS);
    one(&breaker, FAILURE);
    advance(MINUTE).await;
    one(&breaker, SUCCESS);
    assert_eq!(breaker.state(), State::HalfOpen);
}

#[tokio::test(start_paused = true)]
async fn a_closed_circuit_starts_with_an_empty_window_and_no_run() {
    let options = exact()
        .consecutive_failures(3)
        .failure_rate(1.0)
        .minimum_calls(3)
        .count_window(10);
    let breaker = built(options);
    calls(&breaker, 3, FAILURE);
    assert_eq!(breaker.state(), State::Open);
    advance(MINUTE).await;
    calls(&breaker, 2, SUCCESS);
    assert_eq!(breaker.state(), State::Closed);
    let s = breaker.snapshot();
    assert_eq!((s.consecutive_failures, s.failure_rate), (0, None));
    calls(&breaker, 2, FAILURE);
    assert_eq!(breaker.state(), State::Closed);
    assert_eq!(breaker.snapshot().failure_rate, Some(1.0));
}

#[tokio::test(start_paused = true)]
async fn disabled_lets_all_pass_and_records_nothing() {
    let breaker = built(exact().consecutive_failures(1));
    breaker.disable();
    calls(&breaker, 10, FAILURE);
    drop(permit(&breaker));
    breaker.record(FAILURE);
    assert_eq!(breaker.state(), State::Disabled);
    assert_eq!(breaker.snapshot().total, 0);
    assert!(breaker.would_admit(crate::clock::now()));
}

#[tokio::test(start_paused = true)]
async fn metrics_only_records_and_never_refuses() {
    let breaker = built(
        exact()
            .consecutive_failures(2)
            .failure_rate(0.5)
            .count_window(10)
            .minimum_calls(1),
    );
    breaker.metrics_only();
    calls(&breaker, 10, FAILURE);
    assert_eq!(breaker.state(), State::MetricsOnly);
    let s = breaker.snapshot();
    assert_eq!(
        (s.failure, s.consecutive_failures, s.failure_rate, s.rejected),
        (10, 10, Some(1.0), 0)
    );
}

#[tokio::test(start_paused = true)]
async fn forced_open_refuses_without_end() {
    let breaker = built(exact());
    breaker.force_open();
    advance(1000 * MINUTE).await;
    let rejected = breaker.try_acquire().expect_err("forced open");
    assert_eq!(rejected.retry_after(), None);
    assert!(!breaker.would_admit(crate::clock::now()));
    assert_eq!(breaker.snapshot().state, State::ForcedOpen);
}

#[tokio::test(start_paused = true)]
async fn would_admit_tells_what_a_call_would_find() {
    let breaker = built(exact().consecutive_failures(1).half_open_probes(1));
    let now = crate::clock::now;
    assert!(breaker.would_admit(now()));
    one(&breaker, FAILURE);
    assert!(!breaker.would_admit(now()));
    assert!(
        !breaker.would_admit(now() + MINUTE - TICK),
        "it is asked about any moment"
    );
    assert!(breaker.would_admit(now() + MINUTE));
    assert_eq!(breaker.state(), State::Open, "asking changes nothing");
    advance(MINUTE).await;
    let probe = permit(&breaker);
    assert!(!breaker.would_admit(now()));
    drop(probe);
    assert!(breaker.would_admit(now()));
}

#[tokio::test(start_paused = true)]
async fn the_snapshot_tells_how_it_has_fared() {
    let breaker = built(exact().consecutive_failures(1).success_threshold(1).name("db"));
    let s = breaker.snapshot();
    assert_eq!(
        (&*s.name, s.times_opened, s.mean_time_to_recover),
        ("db", 0, None)
    );
    advance(5 * SECOND).await;
    assert_eq!(breaker.snapshot().time_in_state, 5 * SECOND);
    one(&breaker, FAILURE);
    assert_eq!(breaker.snapshot().time_in_state, Duration::ZERO);
    advance(MINUTE).await;
    one(&breaker, FAILURE);
    advance(MINUTE).await;
    one(&breaker, SUCCESS);
    let s = breaker.snapshot();
    assert_eq!((s.state, s.times_opened), (State::Closed, 2));
    assert_eq!(
        s.mean_time_to_recover,
        Some(2 * MINUTE),
        "one outage, though it opened twice"
    );
    one(&breaker, FAILURE);
    advance(4 * MINUTE).await;
    one(&breaker, SUCCESS);
    assert_eq!(breaker.snapshot().mean_time_to_recover, Some(3 * MINUTE));
}

#[tokio::test(start_paused = true)]
async fn the_snapshot_is_the_same_as_a_table() {
    let breaker = built(exact().consecutive_failures(1));
    one(&breaker, FAILURE);
    let _ = breaker.try_acquire();
    let table = crate::value::Value::from(crate::value::Table::from(&breaker.snapshot()));
    let number = |key| table.at(&[key]).map(ToString::to_string);
    assert_eq!(table.at(&["state"]).and_then(|v| v.as_str()), Some("OPEN"));
    for (key, value) in [
        ("totalCalls", "2"),
        ("failureCalls", "1"),
        ("rejectedCalls", "1"),
        ("successCalls", "0"),
        ("timesOpened", "1"),
    ] {
        assert_eq!(number(key).as_deref(), Some(value), "{key}");
    }
}
