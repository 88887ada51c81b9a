use tower_layer::Layer;

use super::*;
use crate::timeout::{Deadline, Timeout, TimeoutLayer};

/// Allocations made by one call that is answered at once, after one that warms up thread-locals.
fn allocations<R>(mut call: impl FnMut() -> R) -> u64 {
    call();
    allocation_counter::measure(|| drop(call())).count_total
}

fn answer<S: Service<()>>(service: &mut S) -> Poll<Result<S::Response, S::Error>> {
    let mut call = std::pin::pin!(service.call(()));
    call.as_mut()
        .poll(&mut Context::from_waker(std::task::Waker::noop()))
}

#[test]
fn an_answer_that_is_there_costs_no_allocation() {
    let timeout = Timeout::after(millis(100))
        .body_idle(millis(10))
        .body_total(millis(1000))
        .build()
        .expect("valid limits");
    let mut plain = timeout.layer().layer(Probe::answering());
    assert_eq!(allocations(|| assert!(answer(&mut plain).is_ready())), 0);

    let mut off = TimeoutLayer::new(None, crate::Plain::new()).layer(Probe::answering());
    assert_eq!(allocations(|| assert!(answer(&mut off).is_ready())), 0);

    let context = context_until(clock::now() + millis(1000));
    let within = || {
        context
            .clone()
            .sync_scope(|| assert!(answer(&mut plain).is_ready()))
    };
    assert_eq!(allocations(within), 0);
}

#[tokio::test(start_paused = true)]
async fn a_timeout_costs_no_allocation_but_tokios_own() {
    let timeout = Timeout::after(millis(100)).build().expect("valid limits");
    let mut service = timeout.layer().layer(Probe::default());
    let call_and_drop = || assert!(answer(&mut service).is_pending());
    assert_eq!(allocations(call_and_drop), 0);

    let mut refused = || {
        let late = context_until(clock::now());
        let count = allocation_counter::measure(|| drop(late.sync_scope(|| answer(&mut service))));
        count.count_total
    };
    refused();
    assert_eq!(refused(), 0);
}

#[test]
fn a_deadline_costs_no_allocation() {
    let deadline = Deadline::after(millis(100)).build().expect("valid limits");
    let mut service = deadline.layer().layer(Probe::answering());
    assert_eq!(allocations(|| assert!(answer(&mut service).is_ready())), 0);
    let context = CallContext::new();
    let within = || {
        context
            .clone()
            .sync_scope(|| assert!(answer(&mut service).is_ready()))
    };
    assert_eq!(allocations(within), 0);
    let mut unlimited = Deadline::new().layer().layer(Probe::answering());
    assert_eq!(allocations(|| assert!(answer(&mut unlimited).is_ready())), 0);
}

#[cfg(feature = "http")]
#[test]
fn a_body_that_is_limited_costs_no_allocation_until_it_waits() {
    use http_body::Body;
    use http_body_util::Full;

    let timeout = Timeout::after(millis(100))
        .body_idle(millis(10))
        .body_total(millis(1000))
        .build()
        .expect("valid limits");
    let mut service =
        timeout
            .layer_for(crate::Http::new())
            .layer(tower::service_fn(|_: http::Request<()>| {
                let body = Full::new(bytes::Bytes::from_static(b"whole"));
                std::future::ready(Ok::<_, Refusal>(http::Response::new(body)))
            }));
    let mut task = tokio_test::task::spawn(());
    let read_one = || {
        let mut call = std::pin::pin!(service.call(http::Request::new(())));
        let response = task.enter(|cx, _| call.as_mut().poll(cx));
        let Poll::Ready(Ok(response)) = response else {
            panic!("an answer");
        };
        let mut body = std::pin::pin!(response.into_body());
        assert!(task.enter(|cx, _| body.as_mut().poll_frame(cx)).is_ready());
    };
    assert_eq!(allocations(read_one), 0);
}
