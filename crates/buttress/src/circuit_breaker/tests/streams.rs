//! Answers that go on after their headers: tokens driven by hand.

use super::*;
use crate::outcome::{Head, Token};

/// A stream whose first data has come.
fn flowing(breaker: &CircuitBreaker) -> Permit {
    let mut stream = permit(breaker);
    stream.head(Head::Promising);
    stream.data();
    stream
}

/// A call of which only the status is read.
fn status_only(breaker: &CircuitBreaker) {
    let mut call = permit(breaker);
    call.head(Head::Good);
    drop(call);
}

#[tokio::test(start_paused = true)]
async fn headers_and_first_data_prove_a_probe() {
    let breaker = ready_to_probe(exact().half_open_probes(1).success_threshold(2)).await;
    let mut first = permit(&breaker);
    first.head(Head::Promising);
    assert!(is_refused(&breaker), "the slot is held until there is proof");
    first.data();
    assert!(!first.is_probe());
    let second = flowing(&breaker);
    assert_eq!(breaker.state(), State::Closed);
    first.record(SUCCESS);
    second.record(SUCCESS);
    let s = breaker.snapshot();
    assert_eq!((s.success, s.stale), (2, 0), "their end is on the books once");
}

#[tokio::test(start_paused = true)]
async fn a_proven_probe_counts_once_however_much_data_comes() {
    let breaker = ready_to_probe(exact().success_threshold(2)).await;
    let mut stream = flowing(&breaker);
    (0..10).for_each(|_| stream.data());
    assert_eq!(breaker.state(), State::HalfOpen);
    stream.record(SUCCESS);
    assert_eq!(
        breaker.state(),
        State::HalfOpen,
        "nor does its good end count again"
    );
}

#[tokio::test(start_paused = true)]
async fn promising_headers_alone_prove_nothing() {
    let breaker = ready_to_probe(exact().success_threshold(1)).await;
    let mut stream = permit(&breaker);
    stream.head(Head::Promising);
    drop(stream);
    let s = breaker.snapshot();
    assert_eq!((s.state, s.cancelled), (State::HalfOpen, 1));
}

#[tokio::test(start_paused = true)]
async fn data_before_good_headers_proves_nothing() {
    let breaker = ready_to_probe(exact().success_threshold(1)).await;
    let mut call = permit(&breaker);
    call.data();
    assert_eq!(breaker.state(), State::HalfOpen);
    call.record(FAILURE);
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn good_headers_prove_a_probe_once_nobody_wants_the_body() {
    let breaker = ready_to_probe(exact().success_threshold(2)).await;
    status_only(&breaker);
    assert_eq!(breaker.state(), State::HalfOpen);
    status_only(&breaker);
    assert_eq!(breaker.state(), State::Closed);
    let s = breaker.snapshot();
    assert_eq!((s.cancelled, s.success), (2, 0), "the books say what happened");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_breaks_after_good_headers_fails_the_probe() {
    let breaker = ready_to_probe(exact().success_threshold(1)).await;
    let mut call = permit(&breaker);
    call.head(Head::Good);
    assert_eq!(breaker.state(), State::HalfOpen);
    call.record(Outcome::failure(Reason::BodyError));
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn a_proven_stream_that_fails_while_half_open_reopens() {
    for bad in [FAILURE, THROTTLED] {
        let breaker = ready_to_probe(exact().success_threshold(2)).await;
        let stream = flowing(&breaker);
        assert_eq!(breaker.state(), State::HalfOpen);
        stream.record(bad);
        assert_eq!(breaker.state(), State::Open);
    }
}

#[tokio::test(start_paused = true)]
async fn a_proven_stream_that_fails_after_the_closing_is_an_ordinary_failure() {
    let breaker = ready_to_probe(exact().success_threshold(1).consecutive_failures(2)).await;
    let stream = flowing(&breaker);
    assert_eq!(breaker.state(), State::Closed);
    stream.record(FAILURE);
    let s = breaker.snapshot();
    assert_eq!(
        (s.state, s.consecutive_failures, s.failure, s.stale),
        (State::Closed, 1, 1, 0)
    );
    one(&breaker, FAILURE);
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn a_proven_stream_that_fails_two_lives_later_is_stale() {
    let breaker = ready_to_probe(exact().success_threshold(1).consecutive_failures(1)).await;
    let streams = [flowing(&breaker), flowing(&breaker)];
    one(&breaker, FAILURE);
    advance(MINUTE).await;
    one(&breaker, SUCCESS);
    assert_eq!(breaker.state(), State::Closed);
    let [failing, dropped] = streams;
    failing.record(FAILURE);
    drop(dropped);
    let s = breaker.snapshot();
    assert_eq!((s.state, s.stale), (State::Closed, 2));
}

#[tokio::test(start_paused = true)]
async fn a_proven_stream_that_is_dropped_is_cancelled_on_the_books_alone() {
    let breaker = ready_to_probe(exact().success_threshold(2)).await;
    drop(flowing(&breaker));
    let s = breaker.snapshot();
    assert_eq!((s.state, s.cancelled), (State::HalfOpen, 1));
    drop(flowing(&breaker));
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_proven_stream_has_given_its_slot_back_and_does_not_do_so_twice() {
    let breaker = ready_to_probe(exact().half_open_probes(1).success_threshold(5)).await;
    let stream = flowing(&breaker);
    let _next = permit(&breaker);
    assert!(is_refused(&breaker));
    drop(stream);
    assert!(is_refused(&breaker), "the slot was not its own any more");
}

#[tokio::test(start_paused = true)]
async fn endless_streams_close_it() {
    let breaker = built(exact());
    calls(&breaker, 5, FAILURE);
    advance(MINUTE).await;
    let _endless: Vec<_> = (0..10).map(|_| flowing(&breaker)).collect();
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn callers_that_read_only_the_status_close_it() {
    let breaker = built(exact());
    calls(&breaker, 5, FAILURE);
    advance(MINUTE).await;
    (0..3).for_each(|_| status_only(&breaker));
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn callers_that_read_only_the_status_keep_it_healthy() {
    let breaker = built(exact().failure_rate(0.5).count_window(10).minimum_calls(10));
    for _ in 0..20 {
        calls(&breaker, 2, FAILURE);
        (0..3).for_each(|_| status_only(&breaker));
    }
    assert_eq!(
        breaker.state(),
        State::Closed,
        "runs of two, and a rate of two in five"
    );
    assert_eq!(breaker.snapshot().failure_rate, Some(0.4));
    calls(&breaker, 3, FAILURE);
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_stream_with_data_ends_a_run_of_failures_one_without_does_not() {
    let breaker = built(exact());
    calls(&breaker, 4, FAILURE);
    let mut silent = permit(&breaker);
    silent.head(Head::Promising);
    drop(silent);
    assert_eq!(breaker.snapshot().consecutive_failures, 4);
    drop(flowing(&breaker));
    assert_eq!(breaker.snapshot().consecutive_failures, 0);
}

#[tokio::test(start_paused = true)]
async fn a_proof_from_a_lost_lease_is_stale() {
    let breaker = ready_to_probe(exact().half_open_probes(1).success_threshold(1)).await;
    let mut late = permit(&breaker);
    let mut also_late = permit_after_lease(&breaker).await;
    let _holder = permit_after_lease(&breaker).await;
    late.head(Head::Promising);
    late.data();
    assert!(late.is_probe(), "it did not count");
    drop(late);
    also_late.head(Head::Good);
    drop(also_late);
    let s = breaker.snapshot();
    assert_eq!((s.state, s.stale, s.cancelled), (State::HalfOpen, 2, 0));
}

async fn permit_after_lease(breaker: &CircuitBreaker) -> Permit {
    advance(MINUTE).await;
    permit(breaker)
}

#[tokio::test(start_paused = true)]
async fn a_proof_from_an_older_probation_is_stale() {
    let breaker = ready_to_probe(exact().success_threshold(1)).await;
    let mut late = permit(&breaker);
    one(&breaker, FAILURE);
    advance(MINUTE).await;
    let _probe = permit(&breaker);
    late.head(Head::Promising);
    late.data();
    late.record(SUCCESS);
    let s = breaker.snapshot();
    assert_eq!((s.state, s.stale, s.success), (State::HalfOpen, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn slowness_ends_at_the_headers() {
    let breaker = built(
        rates()
            .slow_call_rate(1.0)
            .slow_after(SECOND)
            .count_window(1)
            .minimum_calls(1),
    );
    let mut stream = permit(&breaker);
    stream.head(Head::Promising);
    advance(MINUTE).await;
    stream.record(SUCCESS);
    let mut abandoned = permit(&breaker);
    abandoned.head(Head::Promising);
    advance(MINUTE).await;
    drop(abandoned);
    let s = breaker.snapshot();
    assert_eq!(
        (s.state, s.slow, s.cancelled, s.failure),
        (State::Closed, 0, 1, 0)
    );

    let mut late_headers = permit(&breaker);
    advance(SECOND).await;
    late_headers.head(Head::Good);
    late_headers.record(SUCCESS);
    let s = breaker.snapshot();
    assert_eq!((s.state, s.slow), (State::Open, 1));
}
