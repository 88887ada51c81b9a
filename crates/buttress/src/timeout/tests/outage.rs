//! What a circuit breaker makes of time limits on either side of it.

use tower::ServiceBuilder;
use tower_layer::Layer;

use super::*;
use crate::{
    Verdict,
    circuit_breaker::{CircuitBreaker, Snapshot, State},
    timeout::{Deadline, Timeout},
};

fn breaker() -> CircuitBreaker {
    CircuitBreaker::builder()
        .consecutive_failures(2)
        .slow_after(millis(500))
        .build()
        .expect("valid options")
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_timed_out_is_a_failure_to_the_breaker_outside_it() {
    let (breaker, timeout) = (breaker(), Timeout::after(millis(100)).build().expect("valid"));
    let mut service = ServiceBuilder::new()
        .layer(breaker.layer())
        .layer(timeout.layer())
        .service(Probe::default());
    for _ in 0..2 {
        assert_eq!(breaker.state(), State::Closed);
        assert_eq!(refusal(service.call(()).await), timed_out("timeout"));
    }
    assert_eq!(breaker.state(), State::Open);
    assert_eq!(breaker.snapshot().failure, 2);
}

/// PITFALLS: "calls cut by an outer timeout [...] were never recorded, so the breaker was blind to a hung backend".
#[tokio::test(start_paused = true)]
async fn a_call_that_the_total_cuts_off_when_it_was_slow_is_a_failure_to_the_breaker_inside() {
    for (total, opens) in [(1000, true), (499, false)] {
        let breaker = breaker();
        let deadline = Deadline::after(millis(total)).build().expect("valid");
        let mut service = ServiceBuilder::new()
            .layer(deadline.layer())
            .layer(breaker.layer())
            .service(Probe::default());
        for _ in 0..2 {
            assert_eq!(refusal(service.call(()).await), timed_out("deadline"));
        }
        assert_eq!(breaker.state() == State::Open, opens);
        let books = breaker.snapshot();
        let expected = if opens { (2, 2, 0) } else { (0, 0, 2) };
        assert_eq!((books.failure, books.slow, books.cancelled), expected);
    }
}

/// What a call says about the service that did not answer within `limit`, to a caller that waits for so long.
async fn cut_off(patience: u64, limit: Option<u64>) -> Snapshot {
    let breaker = breaker();
    let timeout = Timeout::builder()
        .attempt(limit.map(millis))
        .build()
        .expect("valid");
    let mut service = ServiceBuilder::new()
        .layer(breaker.layer())
        .layer(timeout.layer())
        .service(Probe::default());
    for _ in 0..5 {
        let context = context_until(clock::now() + millis(patience));
        let call = context.sync_scope(|| service.call(()));
        let (kind, _) = refusal(call.await);
        if kind != RejectionKind::TimedOut {
            break;
        }
    }
    breaker.snapshot()
}

/// Whoever allows a service next to no time must not open the breaker for everybody else.
#[tokio::test(start_paused = true)]
async fn a_caller_without_patience_opens_no_breaker() {
    for limit in [None, Some(5000)] {
        for patience in [1, 100, 499] {
            let books = cut_off(patience, limit).await;
            assert_eq!(books.state, State::Closed, "{patience} {limit:?}");
            assert_eq!((books.failure, books.cancelled), (0, 5), "{patience} {limit:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_whose_patience_ends_when_the_call_was_slow_has_seen_a_failure() {
    let books = cut_off(500, Some(5000)).await;
    assert_eq!((books.state, books.failure, books.slow), (State::Open, 2, 2));
}

/// A total that is set to the length of an attempt ends a moment before it.
#[tokio::test(start_paused = true)]
async fn who_leaves_nearly_all_of_the_time_sees_the_services_failure() {
    for (patience, failures) in [(100, 2), (99, 2), (90, 2), (89, 0)] {
        let books = cut_off(patience, Some(100)).await;
        assert_eq!(books.failure, failures, "{patience}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_total_of_its_own_blames_the_service_and_the_time_that_a_request_asks_for_does_not() {
    let deadline = Deadline::after(millis(1000)).build().expect("valid");
    let verdict = async |patience: u64| {
        let context = context_until(clock::now() + millis(patience));
        let call = context.sync_scope(|| deadline.layer().layer(Probe::default()).call(()));
        let error = call.await.expect_err("cut off");
        error
            .rejected()
            .map(|rejected| (rejected.kind(), rejected.verdict()))
    };
    let timed_out = RejectionKind::TimedOut;
    assert_eq!(verdict(2000).await, Some((timed_out, Verdict::Failure)));
    assert_eq!(verdict(950).await, Some((timed_out, Verdict::Failure)));
    assert_eq!(verdict(100).await, Some((timed_out, Verdict::Neutral)));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_came_too_late_says_nothing_about_the_service() {
    let (breaker, timeout) = (breaker(), Timeout::new());
    let mut service = ServiceBuilder::new()
        .layer(breaker.layer())
        .layer(timeout.layer())
        .service(Probe::default());
    for _ in 0..5 {
        let late = context_until(clock::now());
        let call = late.sync_scope(|| service.call(()));
        assert_eq!(refusal(call.await), expired("timeout"));
    }
    assert_eq!(breaker.state(), State::Closed);
    assert_eq!((breaker.snapshot().failure, breaker.snapshot().neutral), (0, 5));
}

#[cfg(feature = "http")]
#[tokio::test(start_paused = true)]
async fn a_body_that_was_cut_off_is_a_failure_to_the_breaker_outside() {
    use futures_util::StreamExt;
    use http_body_util::{BodyExt, StreamBody};

    let breaker = breaker();
    let timeout = Timeout::builder().body_idle(millis(100)).build().expect("valid");
    let mut service = ServiceBuilder::new()
        .layer(breaker.layer_for(crate::Http::new()))
        .layer(timeout.layer_for(crate::Http::new()))
        .service_fn(|_: http::Request<()>| async {
            // Half a file, and then silence.
            let half = futures_util::stream::once(async {
                Ok::<_, Infallible>(http_body::Frame::data(bytes::Bytes::from("half")))
            });
            let half = StreamBody::new(half.chain(futures_util::stream::pending()));
            Ok::<_, Refusal>(http::Response::new(Box::pin(half)))
        });
    for _ in 0..2 {
        assert_eq!(breaker.state(), State::Closed);
        let response = service.call(http::Request::new(())).await.expect("good headers");
        let error = response.into_body().collect().await.expect_err("cut off");
        assert_eq!(refusal::<(), _>(Err(error)), timed_out("timeout"));
    }
    assert_eq!(breaker.state(), State::Open);
    assert_eq!((breaker.snapshot().failure, timeout.snapshot().body_idle), (2, 2));
}
