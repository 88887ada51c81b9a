//! Requests that come in.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use tower::{Layer, Service, service_fn};

use super::*;
use crate::{
    CallContext, Grpc, Http,
    context::Trace,
    trace_id::{self, TraceId},
};

const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// The headers that the handler gets, its trace, and those of the response.
struct Seen {
    request: HeaderMap,
    trace: Trace,
    response: HeaderMap,
}

fn ask(policy: &TraceId, headers: &[(&'static str, &[u8])]) -> Seen {
    let seen = Arc::new(Mutex::new(None));
    let handler = seen.clone();
    let mut server =
        policy
            .layer_for(Http::new())
            .inbound()
            .layer(service_fn(async |request: Request<()>| {
                let in_call = request
                    .extensions()
                    .get::<CallContext>()
                    .and_then(|c| c.trace().cloned());
                tokio::task::yield_now().await;
                let trace = trace_id::current_trace().expect("a trace");
                assert_eq!(in_call.as_ref(), Some(&trace), "the request says the same");
                assert_eq!(trace_id::current().map(|id| id.get()), Some(trace.id()));
                *handler.lock().expect("no panic") = Some((request.headers().clone(), trace));
                let mut response = Response::new(Full::<Bytes>::from("well"));
                let other = HeaderValue::from_static("of-another");
                response.headers_mut().insert("x-request-id", other);
                Ok::<_, Infallible>(response)
            }));
    let mut request = Request::new(());
    for (name, value) in headers {
        let value = HeaderValue::from_bytes(value).expect("a value");
        request.headers_mut().append(*name, value);
    }
    let response = tokio_test::block_on(server.call(request)).expect("infallible");
    let (request, trace) = seen.lock().expect("no panic").take().expect("it was called");
    Seen {
        request,
        trace,
        response: response.headers().clone(),
    }
}

fn digits(trace: &Trace) -> String {
    format!("{:032x}", trace.id())
}

#[test]
fn a_request_without_ids_gets_one_and_is_told() {
    let policy = TraceId::w3c();
    let (one, other) = (ask(&policy, &[]), ask(&policy, &[]));
    assert_ne!(one.trace.id(), other.trace.id());
    assert_eq!(one.response["x-request-id"], *digits(&one.trace));
    assert_eq!(
        one.response.get_all("x-request-id").iter().count(),
        1,
        "ours, in place of another"
    );
    assert!(one.request.is_empty());
    assert_eq!(policy.snapshot().made, 2);
}

#[test]
fn the_ids_of_the_caller_are_gone_on_with() {
    let policy = TraceId::w3c();
    let seen = ask(
        &policy,
        &[
            ("traceparent", GOOD.as_bytes()),
            ("tracestate", b"a=1, b=2"),
            ("x-request-id", b"req-7"),
        ],
    );
    assert_eq!(digits(&seen.trace), "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(seen.trace.parent().map(|p| p.get()), Some(0x00f0_67aa_0ba9_02b7));
    assert_ne!(Some(seen.trace.span()), seen.trace.parent());
    assert_eq!((seen.trace.flags(), seen.trace.state()), (1, Some("a=1,b=2")));
    assert_eq!(seen.response["x-request-id"], "req-7");
    assert_eq!(seen.request.len(), 3, "what is good stays where it is");
    let counts = policy.snapshot();
    assert_eq!((counts.accepted, counts.made, counts.refused), (1, 0, 0));
}

#[test]
fn a_request_id_that_can_be_a_trace_id_is_one() {
    let policy = TraceId::w3c();
    for id in [
        "4bf92f3577b34da6a3ce929d0e0e4736",
        "4BF92F35-77b3-4da6-a3ce-929d0e0e4736",
    ] {
        let seen = ask(&policy, &[("x-request-id", id.as_bytes())]);
        assert_eq!(digits(&seen.trace), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(seen.response["x-request-id"], *id, "as it came");
        assert_eq!(
            seen.trace.flags(),
            Trace::SAMPLED,
            "nobody says that it is random"
        );
    }
    let seen = ask(&policy, &[("x-request-id", b"req-7")]);
    assert_eq!(seen.trace.request_id(), Some("req-7"));
    assert_eq!((policy.snapshot().accepted, policy.snapshot().made), (2, 1));
}

#[test]
fn a_hostile_id_is_replaced_and_appears_nowhere() {
    let long = [b'x'; 10_240];
    let hostile: [(&'static str, &[u8]); 8] = [
        ("x-request-id", &long),
        ("x-request-id", b"evil\ttab"),
        ("x-request-id", b"evil\xff\xfe"),
        ("x-request-id", b"evil\"} <script>"),
        ("x-request-id", b"evil${jndi:ldap}"),
        ("traceparent", &long),
        ("traceparent", b"00-evil-evil-01"),
        ("tracestate", b"evil=1"),
    ];
    for (name, value) in hostile {
        let log = Log::down_to(Level::TRACE);
        let policy = TraceId::w3c();
        let seen = log.under(|| ask(&policy, &[(name, value)]));
        assert!(seen.request.is_empty(), "nobody further in comes upon it");
        assert_eq!(seen.response["x-request-id"], *digits(&seen.trace));
        assert_eq!(policy.snapshot().refused, 1);
        let told = format!("{:?} {:?} {:?}", log.entries(), seen.trace, seen.response);
        assert!(!told.contains("evil") && !told.contains("xxxx"), "{told}");
        assert!(
            log.entries().iter().any(|e| e.get_or("headers") == "1"),
            "it is told that there was one"
        );
    }
    // A line feed never gets as far as a header's value.
    assert!(HeaderValue::from_bytes(b"evil\nSet-Cookie: a=b").is_err());
    // Two of them are none, good as each may be.
    let seen = ask(
        &TraceId::w3c(),
        &[("x-request-id", b"one"), ("x-request-id", b"two")],
    );
    assert!(seen.request.is_empty() && seen.trace.request_id().is_none());
}

impl Entry {
    fn get_or(&self, field: &str) -> &str {
        self.fields.get(field).map_or("", |value| value)
    }
}

#[test]
fn who_is_not_believed_begins_a_trace() {
    let policy = TraceId::builder().accept(false).build().expect("valid");
    let seen = ask(
        &policy,
        &[
            ("traceparent", GOOD.as_bytes()),
            ("tracestate", b"a=1"),
            ("x-request-id", b"req-7"),
        ],
    );
    assert_ne!(digits(&seen.trace), "4bf92f3577b34da6a3ce929d0e0e4736");
    assert!(seen.request.is_empty() && seen.trace.state().is_none() && seen.trace.request_id().is_none());
    assert_eq!(policy.snapshot().made, 1);
}

#[test]
fn an_answer_may_be_left_alone() {
    let policy = TraceId::builder().answer(false).build().expect("valid");
    assert_eq!(ask(&policy, &[]).response["x-request-id"], "of-another");
}

#[tokio::test]
async fn a_trace_that_somebody_further_out_has_begun_is_gone_on_with() {
    let outer = Trace::new();
    let mut context = CallContext::new();
    context.set_trace(outer.clone());
    let policy = TraceId::w3c();
    let mut server = policy
        .layer_for(Http::new())
        .inbound()
        .layer(service_fn(async |_: Request<()>| {
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(format!(
                "{:?}",
                trace_id::current_trace()
            ))))
        }));
    let mut request = Request::get("/")
        .header("traceparent", GOOD)
        .header("x-request-id", "evil id")
        .body(())
        .expect("valid");
    request.extensions_mut().insert(context);
    let response = server.call(request).await.expect("infallible");
    assert_eq!(
        response.headers()["x-request-id"],
        *digits(&outer),
        "and not what was sent"
    );
    let counts = policy.snapshot();
    assert_eq!((counts.accepted, counts.made, counts.refused), (0, 0, 1));
}

#[tokio::test]
async fn a_body_is_in_the_trace_and_in_the_span() {
    let log = Log::down_to(Level::INFO);
    let _default = tracing::subscriber::set_default(log.clone());
    let mut server =
        TraceId::w3c()
            .layer_for(Grpc::new())
            .inbound()
            .layer(service_fn(async |_: Request<()>| {
                let body = Made(Some(|| {
                    tracing::info!(target: "buttress::trace_id", "a frame");
                    Bytes::from(trace_id::current().expect("in the trace").to_string())
                }));
                Ok::<_, Infallible>(Response::new(body))
            }));
    let response = server.call(Request::new(())).await.expect("infallible");
    let id = response.headers()["x-request-id"].clone();
    let body = response.into_body().collect().await.expect("it ends").to_bytes();
    assert_eq!(body, id.as_bytes());
    let span = log.span("request");
    let event = log
        .entries()
        .into_iter()
        .find(|e| e.fields.contains_key("message"))
        .expect("it was told");
    assert_eq!(event.within, span.id);
    assert_eq!(trace_id::current(), None);
}

/// The one frame that is made when it is asked for.
struct Made<F>(Option<F>);

impl<F: FnOnce() -> Bytes + Unpin> Body for Made<F> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|make| Ok(Frame::data(make()))))
    }
}

#[tokio::test]
async fn a_server_that_was_started_in_a_trace_does_not_take_its_requests_into_it() {
    let mut started = CallContext::new();
    started.set_trace(Trace::new());
    let ids = started.clone().scope(async {
        let policy = TraceId::w3c();
        let (one, other) = (ask_async(&policy).await, ask_async(&policy).await);
        assert_ne!(one, other);
        [one, other]
    });
    assert!(!ids.await.contains(&started.trace().map(digits).expect("a trace")));
}

/// The id that a request without any gets.
async fn ask_async(policy: &TraceId) -> String {
    let mut server = policy
        .layer_for(Http::new())
        .inbound()
        .layer(service_fn(async |_: Request<()>| {
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
        }));
    let response = server.call(Request::new(())).await.expect("infallible");
    let id = response.headers()["x-request-id"].to_str();
    id.expect("digits").to_owned()
}

#[test]
fn the_layer_takes_an_error_of_which_nothing_is_known() {
    struct Opaque;
    let mut server =
        TraceId::w3c()
            .layer_for(Http::new())
            .inbound()
            .layer(service_fn(async |_: Request<()>| {
                Err::<Response<Full<Bytes>>, _>(Opaque)
            }));
    assert!(tokio_test::block_on(server.call(Request::new(()))).is_err());
}
