use std::{
    convert::Infallible,
    future::{Ready, ready},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok};
use tower::{Service, ServiceExt, service_fn};
use tower_layer::Layer;

use super::*;
use crate::{
    error::{Error, Rejected, RejectionKind},
    http::{Grpc, Http},
};

const KINDS: [(RejectionKind, u16, u8); 10] = [
    (RejectionKind::CircuitOpen, 503, 14),
    (RejectionKind::RateLimited, 429, 8),
    (RejectionKind::QueueFull, 503, 8),
    (RejectionKind::QueueTimeout, 503, 8),
    (RejectionKind::DeadlineExpired, 504, 4),
    (RejectionKind::TimedOut, 504, 4),
    (RejectionKind::Panicked, 500, 13),
    (RejectionKind::NoEndpoint, 503, 14),
    (RejectionKind::Shed, 503, 8),
    (RejectionKind::Custom, 503, 14),
];

const POLICY: &str = "secret-payments-db";

fn rejected(kind: RejectionKind) -> Rejected {
    Rejected::new(kind, POLICY).with_retry_after(Duration::from_micros(1_234_500))
}

/// A body without a `Default`.
type Page = http_body_util::combinators::UnsyncBoxBody<Bytes, Infallible>;

async fn edge<R: Responder + Clone>(
    layer: RespondLayer<R>,
    result: Result<Response<Page>, Error<Infallible>>,
) -> Response<RespondBody<Page>> {
    let mut result = Some(result);
    let service = service_fn(move |_: Request<()>| ready(result.take().expect("one call")));
    // The error is gone from the type, which is what axum asks for.
    let answer: Result<_, Infallible> = layer.layer(service).oneshot(Request::new(())).await;
    answer.expect("infallible")
}

async fn text<B: Body<Data = Bytes, Error: std::fmt::Debug>>(response: Response<B>) -> String {
    let bytes = response.into_body().collect().await.expect("a body").to_bytes();
    String::from_utf8(bytes.into()).expect("text")
}

#[tokio::test]
async fn every_refusal_is_answered_in_http_and_names_no_policy() {
    for (kind, status, _) in KINDS {
        let response = edge(RespondLayer::http(), Err(rejected(kind).into())).await;
        assert_eq!(response.status(), status, "{kind}");
        assert_eq!(response.headers()["retry-after"], "2");
        assert_eq!(response.headers()["content-type"], "application/json");
        assert!(!format!("{:?}", response.headers()).contains(POLICY));

        let text = text(response).await;
        assert!(!text.contains(POLICY), "{text}");
        let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let error = &json["error"];
        assert_eq!(error["kind"], kind.as_str());
        assert!(error["message"].as_str().is_some_and(|m| !m.is_empty()));
        assert_eq!(error["retry_after_ms"], 1235);
    }
}

#[tokio::test]
async fn what_is_not_known_is_not_said() {
    let refusal = || Err(Rejected::new(RejectionKind::Shed, POLICY).into());
    let response = edge(RespondLayer::http(), refusal()).await;
    assert!(!response.headers().contains_key("retry-after"));
    assert!(!text(response).await.contains("retry_after_ms"));
    let response = edge(RespondLayer::grpc(), refusal()).await;
    assert!(!response.headers().contains_key("grpc-retry-pushback-ms"));
    assert!(!response.headers().contains_key("retry-after"));
}

#[cfg(feature = "rate-limit")]
#[tokio::test]
async fn who_asks_for_more_than_there_can_ever_be_is_not_told_to_try_again() {
    let limiter = crate::rate_limit::RateLimiter::per_second(10).build();
    let limiter = limiter.expect("valid");
    let refusal = || Err(limiter.try_acquire(11).expect_err("a bucket of ten").into());
    let said = "The request asks for more than its limit ever allows at once. Ask for less.";
    let response = edge(RespondLayer::http(), refusal()).await;
    assert_eq!(response.status(), 400);
    assert!(!response.headers().contains_key("retry-after"));
    let text = text(response).await;
    assert!(text.contains(said), "{text}");
    let response = edge(RespondLayer::grpc(), refusal()).await;
    assert_eq!(response.headers()["grpc-status"], "3");
    assert_eq!(response.headers()["grpc-message"], said);
}

#[tokio::test]
async fn every_refusal_is_answered_in_grpc_with_headers_only() {
    for (kind, _, code) in KINDS {
        let response = edge(RespondLayer::grpc(), Err(rejected(kind).into())).await;
        assert_eq!(response.status(), 200);
        let headers = response.headers();
        assert_eq!(headers["content-type"], "application/grpc");
        assert_eq!(headers["grpc-status"], code.to_string().as_str(), "{kind}");
        assert_eq!(headers["grpc-retry-pushback-ms"], "1235");
        assert_eq!(headers["retry-after"], "2");
        let message = headers["grpc-message"].to_str().expect("ASCII");
        assert!(!message.is_empty() && !message.contains('%'));
        assert!(!format!("{headers:?}").contains(POLICY));
        // So that hyper ends the stream with the headers.
        assert!(response.body().is_end_stream());
        assert_eq!(response.body().size_hint().exact(), Some(0));
        assert_eq!(text(response).await, "");
    }
}

#[tokio::test]
async fn our_own_refusal_reads_back_as_what_it_was() {
    use crate::outcome::Protocol;
    let refusal = || Err(rejected(RejectionKind::RateLimited).into());
    let response = edge(Http::new().into_layer(), refusal()).await;
    let outcome = Http::new().verdict(&Ok::<_, Error<Infallible>>(response));
    let outcome = outcome.expect("decided at the headers");
    assert_eq!(outcome.verdict(), crate::Verdict::Throttled);
    assert_eq!(outcome.retry_after(), Some(Duration::from_secs(2)));

    let response = edge(Grpc::new().into_layer(), refusal()).await;
    let outcome = Grpc::new().verdict(&Ok::<_, Error<Infallible>>(response));
    let outcome = outcome.expect("decided at the headers");
    assert_eq!(outcome.verdict(), crate::Verdict::Throttled);
    assert_eq!(outcome.retry_after(), Some(Duration::from_millis(1235)));
}

trait IntoLayer: Edge + Sized {
    fn into_layer(self) -> RespondLayer<Self::Responder> {
        RespondLayer::with(self.responder())
    }
}

impl<P: Edge> IntoLayer for P {}

#[tokio::test]
async fn a_status_that_a_layer_chose_is_kept() {
    let teapot = Rejected::new(RejectionKind::Custom, "mine")
        .with_http_status(418)
        .with_grpc_code(9);
    let response = edge(RespondLayer::http(), Err(teapot.clone().into())).await;
    assert_eq!(response.status(), 418);
    let response = edge(RespondLayer::grpc(), Err(teapot.into())).await;
    assert_eq!(response.headers()["grpc-status"], "9");
}

#[tokio::test]
async fn the_rejection_stays_for_what_stands_outside() {
    let mine = |_: &Rejected| Response::new(Bytes::from_static(b"mine"));
    for kind in [RejectionKind::CircuitOpen, RejectionKind::Panicked] {
        let response = edge(RespondLayer::with(mine), Err(rejected(kind).into())).await;
        assert_eq!(
            response.extensions().get::<Rejected>().map(Rejected::kind),
            Some(kind)
        );
        assert_eq!(text(response).await, "mine");
    }
}

#[tokio::test]
async fn answers_and_other_errors_go_through() {
    let page = Full::new(Bytes::from("hello")).boxed_unsync();
    let response = edge(RespondLayer::http(), Ok(Response::new(page))).await;
    assert_eq!(response.body().size_hint().exact(), Some(5));
    assert!(!response.body().is_end_stream());
    assert_eq!(text(response).await, "hello");

    let failing = service_fn(|_: Request<()>| {
        ready(Err::<Response<Page>, _>(Error::Inner(std::io::Error::other(
            "no disk",
        ))))
    });
    let answer: Result<_, std::io::Error> = RespondLayer::http()
        .layer(failing)
        .oneshot(Request::new(()))
        .await;
    assert_eq!(answer.expect_err("an error").to_string(), "no disk");
}

#[test]
fn a_message_is_percent_encoded_as_grpc_demands() {
    let response = GrpcResponder::refusal(5, "50 % of \u{fc}ber\n~ \u{1F600}");
    assert_eq!(
        response.headers()["grpc-message"],
        "50 %25 of %C3%BCber%0A~ %F0%9F%98%80"
    );
}

#[test]
fn a_pushback_fits_the_wire() {
    let long = Rejected::new(RejectionKind::CircuitOpen, "b").with_retry_after(Duration::MAX);
    let response = GrpcResponder::new().respond(&long);
    assert_eq!(response.headers()["grpc-retry-pushback-ms"], "2147483647");
}

/// Its readiness is a script, and it counts its calls.
#[derive(Clone, Debug)]
struct Unready {
    readiness: Vec<Poll<Result<(), Error<&'static str>>>>,
    calls: usize,
}

impl Service<Request<()>> for Unready {
    type Response = Response<Page>;
    type Error = Error<&'static str>;
    type Future = Ready<Result<Response<Page>, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.readiness.remove(0)
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        self.calls += 1;
        ready(Ok(Response::new(Full::default().boxed_unsync())))
    }
}

#[test]
fn a_rejection_from_poll_ready_is_answered_in_call() {
    let refusal = || Poll::Ready(Err(rejected(RejectionKind::QueueFull).into()));
    let inner = Unready {
        readiness: vec![Poll::Pending, refusal(), Poll::Ready(Ok(())), refusal()],
        calls: 0,
    };
    let mut service = tokio_test::task::spawn(RespondLayer::http().layer(inner));
    let poll_ready = |s: &mut tokio_test::task::Spawn<RespondService<Unready, HttpResponder>>| {
        s.enter(|cx, mut s| Service::<Request<()>>::poll_ready(&mut *s, cx))
    };
    let call = |s: &mut tokio_test::task::Spawn<RespondService<Unready, HttpResponder>>| {
        let answer = s.enter(|_, mut s| s.call(Request::new(())));
        assert_ready_ok!(tokio_test::task::spawn(answer).poll()).status()
    };

    assert_pending!(poll_ready(&mut service));
    assert_ready_ok!(poll_ready(&mut service));
    // Asked again it is still ready, and does not ask the inner service, which has said what it had to say.
    assert_ready_ok!(poll_ready(&mut service));
    assert_eq!(service.inner.readiness.len(), 2);

    // A clone asks for itself: here it finds the inner service ready.
    let mut clone = tokio_test::task::spawn((*service).clone());
    assert_ready_ok!(poll_ready(&mut clone));
    assert_eq!(call(&mut clone), 200);

    assert_eq!(call(&mut service), 503);
    assert_eq!(service.inner.calls, 0, "the inner service was not called");

    // One refusal, one answer: the next call is the inner service's again.
    assert_ready_ok!(poll_ready(&mut service));
    assert_eq!(call(&mut service), 200);
    assert_eq!(service.inner.calls, 1);
}

#[test]
fn other_errors_of_poll_ready_go_through() {
    let inner = Unready {
        readiness: vec![Poll::Ready(Err(Error::Inner("closed")))],
        calls: 0,
    };
    let mut service = tokio_test::task::spawn(RespondLayer::grpc().layer(inner));
    let ready = service.enter(|cx, mut s| Service::<Request<()>>::poll_ready(&mut *s, cx));
    assert_eq!(assert_ready_err!(ready), "closed");
}

#[test]
fn the_service_is_whatever_its_inner_is() {
    fn shared<T: Clone + Send + Sync + 'static>(_: &T) {}
    let inner = Unready {
        readiness: Vec::new(),
        calls: 0,
    };
    shared(&RespondLayer::grpc().layer(inner.clone()));
    shared(&RespondLayer::with(|_: &Rejected| Response::new(Bytes::new())).layer(inner));
}

#[test]
fn a_boxed_rejection_is_answered_too() {
    let boxed = service_fn(|_: Request<()>| {
        let error: crate::BoxError = Error::<Infallible>::from(rejected(RejectionKind::Shed)).into();
        ready(Err::<Response<Page>, _>(error))
    });
    let answer = RespondLayer::http().layer(boxed).oneshot(Request::new(()));
    let response = assert_ready_ok!(tokio_test::task::spawn(answer).poll());
    assert_eq!(response.status(), 503);
}
