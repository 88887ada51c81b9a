//! Beside the layers that stand around it: breaker and time limits inside, metrics and panic recovery outside.

use std::future::pending;

use tower::ServiceBuilder;

use super::*;
use crate::{
    ErrorLayer, circuit_breaker::CircuitBreaker, metrics::Metrics, recover::Recover, timeout::Timeout,
};

#[tokio::test(start_paused = true)]
async fn behind_an_open_breaker_callers_are_answered_and_the_breaker_still_finds_out() {
    let breaker = CircuitBreaker::builder()
        .consecutive_failures(2)
        .success_threshold(1)
        .open_for(Duration::from_secs(10))
        .build()
        .expect("valid");
    let limit = Timeout::after(Duration::from_secs(1)).build().expect("valid");
    let fallback = Fallback::value("instead").build().expect("valid");
    let hangs = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let calls = Arc::new(AtomicUsize::new(0));
    let (hung, counted) = (hangs.clone(), calls.clone());
    let mut service = ServiceBuilder::new()
        .layer(fallback.layer())
        .layer(breaker.layer())
        .layer(limit.layer())
        .layer(ErrorLayer::new())
        .service(service_fn(move |()| {
            counted.fetch_add(1, SeqCst);
            let hangs = hung.load(SeqCst);
            async move {
                if hangs {
                    pending::<()>().await;
                }
                Ok::<_, &'static str>("good")
            }
        }));
    for _ in 0..5 {
        assert_eq!(service.call(()).await, Ok("instead"));
    }
    assert_eq!(calls.load(SeqCst), 2, "the breaker is open");
    assert_eq!(
        causes(&fallback.snapshot()),
        [("circuit_open", 3), ("timed_out", 2)]
    );
    hangs.store(false, SeqCst);
    tokio::time::advance(Duration::from_secs(20)).await;
    assert_eq!(service.call(()).await, Ok("good"), "it was probed");
    assert_eq!(service.call(()).await, Ok("good"));
    assert_eq!(fallback.snapshot().answered, 5);
}

#[tokio::test]
async fn the_metrics_outside_see_what_the_caller_sees() {
    let metrics = Metrics::new();
    let fallback =
        Fallback::with(|cause| (cause.rejection() == Some(RejectionKind::CircuitOpen)).then_some("instead"))
            .build()
            .expect("valid");
    for said in [Ok("good"), BROKEN, Err(rejected(RejectionKind::CircuitOpen))] {
        let layers = ServiceBuilder::new()
            .layer(metrics.layer())
            .layer(fallback.layer());
        let _ = layers.service(saying(said)).oneshot(()).await;
    }
    let outcomes = metrics.snapshot().outcomes;
    assert_eq!((outcomes.success, outcomes.failure, outcomes.rejected), (2, 1, 0));
    assert_eq!(fallback.snapshot().answered, 1);
}

#[tokio::test]
async fn a_panic_of_the_fallback_is_an_error_of_its_call() {
    let recover = Recover::new();
    let now = Fallback::with(|_| -> Option<&'static str> { panic!("in the function") });
    let later = Fallback::with_async(|_| async { panic!("in its future") as Option<&'static str> });
    let panicked = |result: Said| result.expect_err("a panic").rejected().map(Rejected::kind);
    let (now, later) = (now.build().expect("valid"), later.build().expect("valid"));
    let layers = || ServiceBuilder::new().layer(recover.layer());
    let result = layers()
        .layer(now.layer())
        .service(saying(BROKEN))
        .oneshot(())
        .await;
    assert_eq!(panicked(result), Some(RejectionKind::Panicked));
    let result = layers()
        .layer(later.layer())
        .service(saying(BROKEN))
        .oneshot(())
        .await;
    assert_eq!(panicked(result), Some(RejectionKind::Panicked));
    assert_eq!(recover.panics(), 2);
    assert_eq!((now.snapshot().answered, later.snapshot().answered), (0, 0));
}

#[cfg(feature = "http")]
#[tokio::test]
async fn a_message_from_the_fallback_is_a_success_to_the_end_of_its_trailers() {
    use http_body_util::{BodyExt, Empty};

    use crate::Grpc;

    let metrics = Metrics::new();
    let breaker = CircuitBreaker::new();
    breaker.force_open();
    let fallback = Fallback::grpc_message([8, 7]).build().expect("valid");
    let service = ServiceBuilder::new()
        .layer(metrics.layer_for(Grpc::new()))
        .layer(Recover::new().layer_for(Grpc::new()))
        .layer(fallback.layer_for(Grpc::new()))
        .layer(breaker.layer_for(Grpc::new()))
        .layer(Timeout::new().layer_for(Grpc::new()))
        .layer(ErrorLayer::new())
        .service(service_fn(|_: http::Request<()>| {
            ready(Ok::<_, &'static str>(http::Response::new(
                Empty::<bytes::Bytes>::new(),
            )))
        }));
    let response = service.oneshot(http::Request::new(())).await.expect("answered");
    assert_eq!(metrics.snapshot().outcomes.total(), 0, "it has yet to end");
    response.into_body().collect().await.expect("a whole body");
    assert_eq!(metrics.snapshot().outcomes.success, 1);
}
