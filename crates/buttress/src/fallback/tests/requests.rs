//! HTTP requests that are given to another service.

use std::sync::Mutex;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};

use super::{
    wire::{Frames, answer, data, status_in},
    *,
};
use crate::{Grpc, Http, replay::Bare};

type Sending<B> = Request<crate::http::ReplayBody<B>>;

/// Gives a request to a service that fails so, after it has read the body or without. What the other one got, by
/// method and body, and the books.
async fn sent<B>(
    options: FallbackBuilder<(), Whole>,
    request: Request<B>,
    reads: bool,
    failure: Failure,
) -> (Option<String>, Snapshot)
where
    B: Body<Data = Bytes, Error: Into<crate::BoxError>> + Unpin,
{
    let got = Arc::new(Mutex::new(None));
    let other = {
        let got = got.clone();
        service_fn(move |request: Sending<B>| {
            let got = got.clone();
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await.expect("a whole body");
                let trailers = body.trailers().map_or(0, HeaderMap::len);
                let text = String::from_utf8(body.to_bytes().to_vec()).expect("text");
                *got.lock().expect("no panic") = Some(format!("{} {text} {trailers}", head.method));
                Ok::<_, Failure>(answer(200, []))
            }
        })
    };
    let mut all = Fallback::service(other);
    all.keeper = options.keeper;
    let fallback = all.build().expect("valid");
    let service = FallbackLayer::new(fallback.clone(), Http::new(), Bare).layer(service_fn(
        move |request: Sending<B>| {
            let failure = failure.clone();
            async move {
                if reads {
                    request.into_body().collect().await.expect("a whole body");
                }
                Err::<Response<Frames>, _>(failure)
            }
        },
    ));
    let result = service.oneshot(request).await;
    let got = got.lock().expect("no panic").take();
    assert_eq!(
        result.is_ok(),
        got.is_some(),
        "else the caller gets what the first said"
    );
    (got, fallback.snapshot())
}

/// The options of a fallback that keeps the whole request.
fn whole() -> FallbackBuilder<(), Whole> {
    FallbackBuilder::new((), Whole::new())
}

fn request(method: &str, body: &'static str) -> Request<Full<Bytes>> {
    Request::builder()
        .method(method)
        .body(Full::from(body))
        .expect("a request")
}

fn streamed(method: &str, frames: impl IntoIterator<Item = Option<Frame<Bytes>>>) -> Request<Frames> {
    let body = Frames(frames.into_iter().collect());
    Request::builder().method(method).body(body).expect("a request")
}

#[tokio::test]
async fn what_may_have_been_done_is_not_done_again_elsewhere() {
    use RejectionKind::*;

    let failed = || Error::Inner("broke off");
    for (method, reads, failure, given) in [
        ("PUT", true, failed(), true),
        ("POST", true, failed(), false),
        ("POST", true, rejected(TimedOut), false),
        ("POST", true, rejected(Panicked), false),
        // The first was never asked.
        ("POST", false, rejected(CircuitOpen), true),
        ("POST", false, rejected(QueueFull), true),
        ("POST", false, rejected(DeadlineExpired), true),
    ] {
        let (got, books) = sent(whole(), request(method, "pay"), reads, failure.clone()).await;
        assert_eq!(
            got,
            given.then(|| format!("{method} pay 0")),
            "{method} {failure:?}"
        );
        assert_eq!(books.not_repeatable, u64::from(!given));
        assert_eq!(books.answered, u64::from(given));
    }
    let mut with_key = request("POST", "pay");
    with_key.headers_mut().extend(status_in("idempotency-key", "7"));
    assert!(sent(whole(), with_key, true, failed()).await.0.is_some());
    let by_choice = whole().send_non_idempotent(true);
    assert!(
        sent(by_choice, request("POST", "pay"), true, failed())
            .await
            .0
            .is_some()
    );
}

/// The method of a gRPC call does not say whether two services may both carry it out.
#[tokio::test]
async fn a_grpc_call_that_timed_out_is_not_given_to_another_service() {
    for (failure, given) in [
        (rejected(RejectionKind::TimedOut), false),
        (rejected(RejectionKind::CircuitOpen), true),
        (Error::Inner("no connection"), true),
    ] {
        let other = service_fn(async |_: Sending<Full<Bytes>>| Ok::<_, Failure>(answer(200, [])));
        let fallback = Fallback::service(other).build().expect("valid");
        let first = failure.clone();
        let service = FallbackLayer::new(fallback.clone(), Grpc::new(), Bare).layer(service_fn(
            move |_: Sending<Full<Bytes>>| ready(Err::<Response<Frames>, _>(first.clone())),
        ));
        let result = service.oneshot(request("POST", "pay")).await;
        assert_eq!(result.is_ok(), given, "{failure:?}");
        assert_eq!(fallback.snapshot().not_repeatable, u64::from(!given));
    }
}

#[tokio::test]
async fn a_streamed_body_arrives_at_the_other_service_whole_or_not_at_all() {
    let failed = || Error::Inner("broke off");
    let frames = || {
        let trailers = Frame::trailers(status_in("checksum", "7"));
        [data("in two "), data("frames"), Some(trailers)]
    };
    let (got, _) = sent(whole(), streamed("PUT", frames()), true, failed()).await;
    assert_eq!(got.as_deref(), Some("PUT in two frames 1"));
    // It was dropped before its end.
    let (got, books) = sent(whole(), streamed("PUT", frames()), false, failed()).await;
    assert_eq!((got, books.not_repeatable), (None, 1));
    // It is longer than what is remembered.
    let (got, books) = sent(whole().max_body(12), streamed("PUT", frames()), true, failed()).await;
    assert_eq!((got, books.not_repeatable), (None, 1));
    let (got, _) = sent(whole().max_body(13), streamed("PUT", frames()), true, failed()).await;
    assert_eq!(got.as_deref(), Some("PUT in two frames 1"));
    let (got, books) = sent(whole().max_body(2), request("PUT", "pay"), true, failed()).await;
    assert_eq!((got, books.not_repeatable), (None, 1));
}

#[tokio::test]
async fn switched_off_the_request_is_passed_on_in_the_same_type() {
    let service = service_fn(|request: Sending<Full<Bytes>>| async {
        let body = request.into_body().collect().await.expect("a whole body");
        assert_eq!(body.to_bytes(), "pay");
        Ok::<_, Failure>(answer(503, []))
    });
    let fallback = Fallback::service(service).build().expect("valid");
    for fallback in [Some(fallback), None] {
        let is_on = fallback.is_some();
        let layer = FallbackLayer::new(fallback, Http::new(), Bare);
        let response = layer.layer(service).oneshot(request("PUT", "pay")).await;
        let response = response.expect("an answer");
        assert_eq!(response.status(), 503);
        assert_eq!(response.body().is_local(), is_on);
    }
}

#[test]
fn the_defaults_are_those_that_the_setters_tell() {
    let whole = Whole::new();
    assert_eq!((whole.max_body, whole.send_non_idempotent), (65_536, false));
}
