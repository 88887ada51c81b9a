//! HTTP and gRPC: which answers are replaced, by what, and what becomes of the bodies.

use std::{collections::VecDeque, pin::Pin, sync::Mutex};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};

use super::*;
use crate::{
    Grpc, Http, config,
    replay::{Bare, Same},
    value::{Table, Value as Data},
};

/// A body of these frames, whose size nobody knows; `None` breaks it off.
#[derive(Debug, Default)]
struct Frames(VecDeque<Option<Frame<Bytes>>>);

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

fn data(text: &'static str) -> Option<Frame<Bytes>> {
    Some(Frame::data(Bytes::from_static(text.as_bytes())))
}

fn status_in(name: &'static str, value: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(
        http::HeaderName::from_static(name),
        http::HeaderValue::from_static(value),
    )])
}

fn answer(status: u16, frames: impl IntoIterator<Item = Option<Frame<Bytes>>>) -> Response<Frames> {
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
async fn given<P, A>(
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
async fn read<B>(response: Response<B>) -> (u16, Option<String>, String, Option<HeaderMap>)
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

// ===== another service =====

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

// ===== from a file =====

type File<P> = Option<Fallback<<P as FileFallback>::Answer>>;

fn from_file<P: FileFallback>(section: Table) -> Result<File<P>, Vec<String>> {
    let table = Table::new().with("fallback", section);
    config::read(&table, |root| root.setting("fallback").and_then(P::read))
        .map_err(|error| error.to_string().lines().map(str::to_owned).collect())
}

fn list(items: impl IntoIterator<Item = &'static str>) -> Data {
    Data::List(items.into_iter().map(Data::from).collect())
}

#[tokio::test]
async fn a_response_may_be_written_in_a_file() {
    let file = Table::new()
        .with("name", "offers")
        .with("status", 200_u64)
        .with("body", r#"{"cached":true}"#)
        .with("headers", Table::new().with("cache-control", "no-store"))
        .with("on", list(["circuit_open", "timed_out"]));
    let fallback = from_file::<Http>(file).expect("valid").expect("a fallback");
    assert_eq!(&*fallback.name(), "offers");
    for kind in KINDS {
        let failure = Err(rejected(kind));
        let (response, _) = given(Http::new(), fallback.options(), failure).await;
        let is_named = matches!(kind, RejectionKind::CircuitOpen | RejectionKind::TimedOut);
        assert_eq!(response.is_ok(), is_named, "{kind}");
        if let Ok(response) = response {
            assert_eq!(response.headers()["cache-control"], "no-store");
            let json = Some("application/json".to_owned());
            assert_eq!(
                read(response).await,
                (200, json, r#"{"cached":true}"#.to_owned(), None)
            );
        }
    }
}

#[tokio::test]
async fn what_a_file_leaves_out_has_a_default() {
    let content_type = |body: &'static str, written: Option<&'static str>| {
        let file = Table::new().with("status", 202_u64).with("body", body);
        let file = match written {
            Some(written) => file.with("content_type", written),
            None => file,
        };
        let fallback = from_file::<Http>(file).expect("valid").expect("a fallback");
        async move {
            let failure = Ok(answer(502, []));
            let (response, _) = given(Http::new(), fallback.options(), failure).await;
            let (status, content_type, text, _) = read(response.expect("answered")).await;
            assert_eq!((status, &*text), (202, body));
            content_type
        }
    };
    assert_eq!(content_type("", None).await, None);
    assert_eq!(
        content_type(" [1, 2]", None).await.as_deref(),
        Some("application/json")
    );
    let text = "text/plain; charset=utf-8";
    assert_eq!(content_type("later", None).await.as_deref(), Some(text));
    let html = content_type("<p>later</p>", Some("text/html")).await;
    assert_eq!(html.as_deref(), Some("text/html"));
}

#[test]
fn every_condition_of_a_file_means_what_it_says() {
    let on = |item: Data| {
        let file = Table::new()
            .with("status", 200_u64)
            .with("on", Data::List(vec![item]));
        let fallback = from_file::<Http>(file).expect("valid").expect("a fallback");
        fallback.options().on
    };
    for kind in KINDS {
        assert_eq!(on(kind.as_str().into()), [Condition::Rejection(kind)]);
    }
    assert_eq!(on("rejected".into()), [Condition::AnyRejection]);
    assert_eq!(on("connect".into()), [Condition::Error]);
    assert_eq!(on("failure".into()), [Condition::Verdict(Verdict::Failure)]);
    assert_eq!(on("throttled".into()), [Condition::Verdict(Verdict::Throttled)]);
    assert_eq!(on(503_u64.into()), [Condition::HttpStatus(503)]);
}

#[test]
fn a_file_is_told_all_that_is_wrong_with_it() {
    let problems = |file: Table| from_file::<Http>(file).expect_err("no sense");
    let file = Table::new()
        .with("status", 100_u64)
        .with("body", 7_u64)
        .with("content_type", "a\nb")
        .with(
            "headers",
            Table::new()
                .with("no name", "x")
                .with("Content-Type", "x")
                .with("content-length", "3")
                .with("x-fine", "x"),
        )
        .with("on", list(["timed_out", "timeout"]))
        .with("stauts", 200_u64);
    let expected = [
        (
            "fallback.status: found 100, expected a whole number, 200 to 599",
            "",
        ),
        ("fallback.body: found 7, expected a text", ""),
        (
            "fallback.content_type: found ",
            "expected a text without line breaks",
        ),
        (
            "fallback.headers.\"no name\"",
            "expected the name of a header before it",
        ),
        ("fallback.headers.Content-Type", "it is `content_type`"),
        ("fallback.headers.content-length", "it follows from `body`"),
        (
            "fallback.on[1]: found \"timeout\", expected one of \"circuit_open\"",
            "did you mean",
        ),
        ("fallback.stauts: found an unknown key", "did you mean `status`?"),
    ];
    let found = problems(file);
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, (begins, holds)) in found.iter().zip(expected) {
        assert!(found.starts_with(begins) && found.contains(holds), "{found}");
    }

    assert_eq!(
        problems(Table::new().with("body", "x")),
        ["fallback.status: found nothing, expected a value"]
    );
    assert_eq!(
        problems(Table::new().with("status", 204_u64).with("body", "x")),
        ["fallback.body: found \"x\", expected none: a response of this status has no body"]
    );
    let empty = Table::new().with("status", 200_u64).with("on", list([]));
    assert!(problems(empty)[0].starts_with("fallback.on: found [], expected at least one thing"));
}

#[test]
fn what_a_file_cannot_answer_it_is_told_where_to_turn() {
    let file = || Table::new().with("status", 200_u64);
    for (problems, way) in [
        (
            from_file::<Grpc>(file()).expect_err("no message"),
            "`Fallback::grpc_message`",
        ),
        (
            from_file::<Plain>(file()).expect_err("no value"),
            "`Fallback::value`",
        ),
    ] {
        let [problem] = &*problems else {
            panic!("one problem, and none about its keys: {problems:?}");
        };
        assert!(
            problem.starts_with("fallback: ") && problem.contains(way),
            "{problem}"
        );
    }
    assert!(from_file::<Grpc>(Table::new()).is_err(), "an empty section, too");
}

/// The type that a stack from a file has, for each kind of service.
#[tokio::test]
async fn where_a_file_cannot_answer_there_is_still_a_type() {
    fn layer<P: FileFallback>(protocol: P) -> FallbackLayer<P::Answer, Nothing, P> {
        FallbackLayer::new(None, protocol, Same)
    }
    assert_eq!(
        layer(Plain::new()).layer(saying(BROKEN)).oneshot(()).await,
        BROKEN
    );
    let service = service_fn(|()| ready(Ok::<_, Failure>(answer(503, []))));
    let response = layer(Grpc::new())
        .layer(service)
        .oneshot(())
        .await
        .expect("an answer");
    assert_eq!(response.status(), 503);
    let response = layer(Http::new())
        .layer(service)
        .oneshot(())
        .await
        .expect("an answer");
    assert_eq!(response.status(), 503);
}
