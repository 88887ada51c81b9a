//! HTTP and gRPC: which answers are replaced, by what, and what becomes of the bodies.

use std::{collections::VecDeque, pin::Pin, sync::Mutex};

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, header::CONTENT_TYPE};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};

use super::*;
use crate::{Grpc, Http, Protocol};

/// A body of these frames, whose size nobody knows; `None` breaks it off.
#[derive(Debug, Default)]
pub(super) struct Frames(pub(super) VecDeque<Option<Frame<Bytes>>>);

impl Body for Frames {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = self.0.pop_front();
        Poll::Ready(frame.map(|frame| frame.ok_or_else(|| std::io::Error::other("broken off"))))
    }
}

pub(super) fn data(text: &'static str) -> Option<Frame<Bytes>> {
    Some(Frame::data(Bytes::from_static(text.as_bytes())))
}

pub(super) fn status_in(name: &'static str, value: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(
        http::HeaderName::from_static(name),
        http::HeaderValue::from_static(value),
    )])
}

pub(super) fn answer(
    status: u16,
    frames: impl IntoIterator<Item = Option<Frame<Bytes>>>,
) -> Response<Frames> {
    let mut response = Response::new(Frames(frames.into_iter().collect()));
    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
    response
}

fn cached() -> FallbackBuilder<StaticResponse> {
    let response = Response::builder()
        .status(203)
        .header("content-type", "application/json")
        .body(r#"{"cached":true}"#);
    Fallback::response(response.expect("a response"))
}

/// One call to a service that gives that answer.
pub(super) async fn given<P, A>(
    protocol: P,
    options: FallbackBuilder<A>,
    answer: Result<Response<Frames>, Failure>,
) -> (Result<P::Substituted, Failure>, Snapshot)
where
    P: Protocol<Response<Frames>, Failure> + Substitute<Response<Frames>, A::Response>,
    A: Answer<(), Response<Frames>, Failure>,
{
    let fallback = options.build().expect("valid");
    let answer = Mutex::new(Some(answer));
    let service = fallback.layer_for(protocol).layer(service_fn(|(): ()| {
        ready(answer.lock().expect("no panic").take().expect("one call"))
    }));
    (service.oneshot(()).await, fallback.snapshot())
}

/// The status, the type of the content, and the whole body with its trailers.
pub(super) async fn read<B>(response: Response<B>) -> (u16, Option<String>, String, Option<HeaderMap>)
where
    B: Body<Data = Bytes, Error: std::fmt::Debug>,
{
    let (head, body) = response.into_parts();
    let body = body.collect().await.expect("a whole body");
    let trailers = body.trailers().cloned();
    let content_type = head.headers.get(CONTENT_TYPE);
    (
        head.status.as_u16(),
        content_type.map(|value| value.to_str().expect("text").to_owned()),
        String::from_utf8(body.to_bytes().to_vec()).expect("text"),
        trailers,
    )
}

#[tokio::test]
async fn a_response_takes_the_place_of_a_failure() {
    for (failure, cause) in [
        (Ok(answer(503, [data("down")])), "failure"),
        (Ok(answer(429, [])), "throttled"),
        (Err(rejected(RejectionKind::CircuitOpen)), "circuit_open"),
        (Err(Error::Inner("no connection")), "error"),
    ] {
        let (response, books) = given(Http::new(), cached(), failure).await;
        let response = response.expect("answered");
        assert!(response.body().is_local() && !response.body().is_end_stream());
        assert_eq!(response.body().size_hint().exact(), Some(15));
        let json = Some("application/json".to_owned());
        assert_eq!(
            read(response).await,
            (203, json, r#"{"cached":true}"#.to_owned(), None)
        );
        assert_eq!(causes(&books), [(cause, 1)]);
    }
}

#[tokio::test]
async fn the_answers_of_the_service_go_through_as_they_are() {
    for status in [200, 204, 301, 400, 401, 404, 408] {
        let trailers = status_in("checksum", "7");
        let frames = [
            data("so"),
            data(" it is"),
            Some(Frame::trailers(trailers.clone())),
        ];
        let (response, books) = given(Http::new(), cached(), Ok(answer(status, frames))).await;
        let response = response.expect("an answer");
        assert!(!response.body().is_local() && !response.body().is_end_stream());
        assert_eq!(response.body().size_hint().exact(), None);
        let read = read(response).await;
        assert_eq!(read, (status, None, "so it is".to_owned(), Some(trailers)));
        assert_eq!(books.answered, 0);
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_is_not_replaced() {
    let broken = answer(200, [data("half"), None]);
    let (response, books) = given(Http::new(), cached(), Ok(broken)).await;
    let mut body = response.expect("good headers").into_body();
    let frame = body.frame().await.expect("a frame").expect("good data");
    assert_eq!(frame.into_data().expect("data"), "half");
    let error = body.frame().await.expect("an end").expect_err("it broke off");
    assert_eq!(error.to_string(), "broken off");
    assert!(error.is::<std::io::Error>(), "converted, not wrapped");
    assert_eq!(books.answered, 0);
}

#[tokio::test]
async fn a_function_sees_the_status_and_may_leave_the_response_as_it_is() {
    let only_500 = Fallback::with_async(|cause: Cause<'_, Failure>| {
        let is_500 = cause.outcome.reason() == Reason::HttpStatus(500);
        async move { is_500.then(|| Response::new(Full::new(Bytes::from("instead")))) }
    });
    let (response, _) = given(Http::new(), only_500.clone(), Ok(answer(500, []))).await;
    assert_eq!(read(response.expect("answered")).await.2, "instead");
    let (response, books) = given(Http::new(), only_500, Ok(answer(503, [data("down")]))).await;
    let (status, _, body, _) = read(response.expect("the original")).await;
    assert_eq!((status, &*body), (503, "down"));
    assert_eq!((books.answered, books.declined), (0, 1));
}

#[tokio::test]
async fn a_grpc_failure_is_replaced_if_the_headers_tell() {
    let message = [0, 0, 0, 0, 2, 8, 7];
    let unavailable = || status_in("grpc-status", "14");
    let mut at_head = answer(200, []);
    at_head.headers_mut().extend(unavailable());
    let (response, books) = given(Grpc::new(), Fallback::grpc_message([8, 7]), Ok(at_head)).await;
    let response = response.expect("answered");
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()[CONTENT_TYPE], "application/grpc");
    let body = response.into_body().collect().await.expect("a whole body");
    assert_eq!(body.trailers(), Some(&status_in("grpc-status", "0")));
    assert_eq!(body.to_bytes(), &message[..]);
    assert_eq!(causes(&books), [("failure", 1)]);

    let in_trailers = answer(200, [Some(Frame::trailers(unavailable()))]);
    let (response, books) = given(Grpc::new(), Fallback::grpc_message([8, 7]), Ok(in_trailers)).await;
    let (.., trailers) = read(response.expect("headers")).await;
    assert_eq!(trailers, Some(unavailable()));
    assert_eq!(books.answered, 0);

    let mut not_found = answer(200, []);
    not_found.headers_mut().extend(status_in("grpc-status", "5"));
    let (response, _) = given(Grpc::new(), Fallback::grpc_message([8, 7]), Ok(not_found)).await;
    assert_eq!(response.expect("the original").headers()["grpc-status"], "5");
}

#[tokio::test]
async fn a_grpc_message_may_be_empty() {
    let failure = Err(rejected(RejectionKind::CircuitOpen));
    let (response, _) = given(Grpc::new(), Fallback::grpc_message([]), failure).await;
    let body = response.expect("answered").into_body().collect().await;
    assert_eq!(body.expect("a whole body").to_bytes(), &[0; 5][..]);
}

#[test]
fn the_body_of_a_refused_interceptor_is_the_services_own() {
    let body = FallbackBody::<Full<Bytes>, StaticBody>::default();
    assert!(!body.is_local() && body.is_end_stream());
    assert!(StaticBody::default().is_end_stream() && StaticBody::from("").is_end_stream());
}
