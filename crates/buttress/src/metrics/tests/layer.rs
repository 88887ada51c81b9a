//! Around a service.

use super::*;

#[tokio::test]
async fn off_counts_nothing_and_keeps_the_types() {
    let metrics = Metrics::new();
    let inner = service_fn(|()| ready(Answer::Ok(3)));
    let mut services =
        [Some(metrics.clone()), None].map(|metrics| MetricsLayer::new(metrics, Plain::new()).layer(inner));
    assert_eq!(services[1].ready().await.expect("ready").call(()).await, Ok(3));
    assert_eq!(metrics.snapshot().started, 0);
    assert_eq!(services[0].ready().await.expect("ready").call(()).await, Ok(3));
    assert_eq!(metrics.snapshot().started, 1);
}

#[tokio::test]
async fn applied_twice_the_books_are_one() {
    let metrics = Metrics::new();
    let layer = metrics.layer();
    for _ in 0..2 {
        let service = layer.clone().layer(service_fn(|()| ready(Answer::Ok(0))));
        service.oneshot(()).await.expect("it answers");
    }
    assert_eq!(metrics.clone().snapshot().requests(), 2);
}

#[tokio::test]
async fn any_request_and_any_error_will_do() {
    // Neither `Send`, `Clone` nor `'static`; an error that knows nothing of rejections.
    struct Request<'a>(&'a RefCell<u32>, Rc<()>);
    struct Opaque;
    let seen = RefCell::new(0);
    let metrics = Metrics::new();
    let judge = Plain::classify(|result: &Result<(), Opaque>| match result {
        Ok(()) => Outcome::SUCCESS,
        Err(Opaque) => Outcome::neutral(Reason::Error),
    });
    let mut service = metrics
        .layer_for(judge)
        .layer(service_fn(|Request(cell, unsendable)| {
            drop::<Rc<()>>(unsendable);
            *cell.borrow_mut() += 1;
            ready(Err::<(), _>(Opaque))
        }));
    let request = Request(&seen, Rc::new(()));
    assert!(service.ready().await.is_ok());
    assert!(service.call(request).await.is_err());
    assert_eq!(*seen.borrow(), 1);
    assert_eq!(metrics.snapshot().outcomes.neutral, 1);
}

/// A server drops the body that a handler has made for it.
#[cfg(feature = "http")]
#[tokio::test]
async fn the_answer_to_a_head_request_is_not_cancelled() {
    use http_body_util::{BodyExt, Full};

    for (method, outcomes) in [("HEAD", (1, 0)), ("GET", (0, 1))] {
        let metrics = Metrics::new();
        let service = metrics
            .layer_for(crate::Http::new())
            .layer(service_fn(|_: http::Request<()>| {
                let body = Full::<bytes::Bytes>::from("a page").map_frame(|frame| frame);
                ready(Ok::<_, Error<&'static str>>(http::Response::new(body)))
            }));
        let request = http::Request::builder().method(method).body(());
        drop(service.oneshot(request.expect("a request")).await);
        let seen = metrics.snapshot().outcomes;
        assert_eq!((seen.success, seen.cancelled), outcomes, "{method}");
    }
}

#[test]
fn readiness_is_the_inner_ones_and_no_call() {
    struct NeverReady;
    impl Service<()> for NeverReady {
        type Response = u32;
        type Error = Error<&'static str>;
        type Future = Ready<Answer>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
            Poll::Pending
        }

        fn call(&mut self, (): ()) -> Self::Future {
            ready(Ok(0))
        }
    }
    let metrics = Metrics::new();
    let mut service = task::spawn(metrics.layer().layer(NeverReady));
    assert_pending!(service.enter(|cx, mut service| service.poll_ready(cx)));
    assert_eq!(metrics.snapshot().started, 0);
}
