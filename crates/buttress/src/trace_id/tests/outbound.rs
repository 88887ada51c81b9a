//! Requests that go out.

use std::{
    future::ready,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::Full;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};

use crate::{
    BoxError, CallContext, Grpc, Http,
    context::Trace,
    trace_id::{Inbound, TraceId, TraceParent},
};

const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

type Sent = Arc<Mutex<Vec<HeaderMap>>>;
type Reply = Response<Full<Bytes>>;

/// A transport that keeps the headers it is given, and answers with these statuses in turn, the last for good.
fn transport(
    statuses: &'static [u16],
) -> (
    Sent,
    impl Service<Request<Full<Bytes>>, Response = Reply, Error = BoxError, Future: Send> + Clone,
) {
    let sent = Sent::default();
    let seen = sent.clone();
    let service = service_fn(move |request: Request<Full<Bytes>>| {
        let mut seen = seen.lock().expect("no panic");
        seen.push(request.headers().clone());
        let status = statuses[(seen.len() - 1).min(statuses.len() - 1)];
        let response = Response::builder().status(status).body(Full::default());
        ready(Ok::<_, BoxError>(response.expect("valid")))
    });
    (sent, service)
}

fn request() -> Request<Full<Bytes>> {
    Request::new(Full::default())
}

fn parents(sent: &Sent) -> Vec<TraceParent> {
    let sent = sent.lock().expect("no panic");
    sent.iter()
        .map(|headers| TraceParent::parse(headers["traceparent"].as_bytes()).expect("valid"))
        .collect()
}

fn within(trace: &Trace) -> CallContext {
    let mut context = CallContext::new();
    context.set_trace(trace.clone());
    context
}

#[cfg(feature = "retry")]
#[tokio::test(start_paused = true)]
async fn every_attempt_has_a_span_id_of_its_own_inside_of_the_call() {
    use crate::{
        replay::Bare,
        retry::{Retry, RetryLayer},
    };

    let trace = TraceId::w3c();
    let sent = Sent::default();
    let seen = sent.clone();
    let client = ServiceBuilder::new()
        .layer(trace.layer_for(Http::new()))
        .layer(RetryLayer::new(Some(Retry::standard()), Http::new(), Bare))
        .layer(trace.attempt_layer_for(Http::new()))
        .service_fn(move |request: Request<_>| {
            let _: &crate::http::ReplayBody<Full<Bytes>> = request.body();
            seen.lock().expect("no panic").push(request.headers().clone());
            let response = Response::builder().status(503).body(Full::<Bytes>::default());
            ready(Ok::<_, BoxError>(response.expect("valid")))
        });
    client.oneshot(request()).await.expect("an answer");
    let parents = parents(&sent);
    assert_eq!(parents.len(), 3);
    assert!(parents.iter().all(|p| p.trace_id == parents[0].trace_id));
    let spans: std::collections::HashSet<_> = parents.iter().map(|p| p.parent_id).collect();
    assert_eq!(spans.len(), 3);
    let ids = sent.lock().expect("no panic");
    let id = format!("{:032x}", parents[0].trace_id);
    assert!(ids.iter().all(|headers| headers["x-request-id"] == *id));
}

#[tokio::test]
async fn a_client_in_a_handler_goes_on_with_its_trace() {
    let trace = TraceId::w3c();
    let (sent, transport) = transport(&[200]);
    let client = ServiceBuilder::new()
        .layer(trace.layer_for(Grpc::new()))
        .layer(trace.attempt_layer_for(Grpc::new()))
        .service(transport);
    let around = Trace::new().with_state("a=1").with_request_id("req-7");
    within(&around)
        .scope(async { client.oneshot(request()).await.expect("an answer") })
        .await;
    let [parent] = parents(&sent)[..] else {
        panic!("one")
    };
    assert_eq!((parent.trace_id, parent.flags), (around.id(), around.flags()));
    assert_ne!(parent.parent_id, around.span());
    let sent = sent.lock().expect("no panic");
    assert_eq!(
        (&sent[0]["tracestate"], &sent[0]["x-request-id"]),
        (&"a=1".parse().expect("valid"), &"req-7".parse().expect("valid"))
    );
}

#[tokio::test]
async fn what_another_tracer_has_written_stays() {
    let trace = TraceId::w3c();
    let (sent, transport) = transport(&[200]);
    let client = ServiceBuilder::new()
        .layer(trace.layer_for(Http::new()))
        .service(service_fn(move |request: Request<Full<Bytes>>| {
            let id = request
                .extensions()
                .get::<CallContext>()
                .and_then(CallContext::trace_id);
            assert_eq!(
                id.map(|id| id.get()),
                Some(0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736),
                "the call takes its id"
            );
            let attempt = trace.attempt_layer_for(Http::new()).layer(transport.clone());
            attempt.oneshot(request)
        }));
    // In the same trace as well: it knows of a span inside of ours.
    let same = Trace::of(
        "4bf92f3577b34da6a3ce929d0e0e4736"
            .parse::<crate::trace_id::Id>()
            .expect("an id")
            .get(),
        Trace::new().span(),
    );
    for around in [Trace::new(), same] {
        let mut request = request();
        request
            .headers_mut()
            .insert("traceparent", GOOD.parse().expect("valid"));
        request
            .headers_mut()
            .insert("tracestate", "theirs=1".parse().expect("valid"));
        request
            .headers_mut()
            .insert("x-request-id", "chosen".parse().expect("valid"));
        let client = client.clone();
        within(&around)
            .scope(async { client.oneshot(request).await.expect("an answer") })
            .await;
    }
    for headers in sent.lock().expect("no panic").iter() {
        assert_eq!(headers["traceparent"], GOOD);
        assert_eq!(headers["tracestate"], "theirs=1");
        assert_eq!(headers["x-request-id"], "chosen");
    }
}

/// What a proxy is sent, by a caller at [`GOOD`].
fn handed_on() -> Request<Full<Bytes>> {
    let mut request = request();
    let headers = request.headers_mut();
    headers.insert("traceparent", GOOD.parse().expect("valid"));
    headers.insert("tracestate", "a=1".parse().expect("valid"));
    request
}

#[tokio::test]
async fn a_proxy_writes_anew_what_it_was_sent() {
    let trace = TraceId::w3c();
    let (sent, transport) = transport(&[200]);
    let client = ServiceBuilder::new()
        .layer(trace.layer_for(Http::new()))
        .layer(trace.attempt_layer_for(Http::new()))
        .service(transport);
    let inbound = || trace.layer_for(Http::new()).inbound();
    let mut route = inbound().layer(client.clone());
    route.call(handed_on()).await.expect("an answer");
    // A router's stack around that of a route.
    let mut router = inbound().layer(route.clone());
    router.call(handed_on()).await.expect("an answer");
    // Another tracer has begun a piece of work for the request, in the caller's trace or in one of its own.
    let caller = TraceParent::parse(GOOD.as_bytes()).expect("valid");
    for id in [caller.trace_id, Trace::new().id()] {
        let theirs = Trace::of(id, Trace::new().span()).with_state("a=1");
        let mut request = handed_on();
        request.extensions_mut().insert(within(&theirs));
        route.call(request).await.expect("an answer");
        assert_eq!(parents(&sent).pop().map(|p| p.trace_id), Some(id));
    }
    let parents = parents(&sent);
    assert_eq!(parents.len(), 4);
    assert!(parents.iter().all(|p| p.parent_id != caller.parent_id));
    assert!(parents[..3].iter().all(|p| p.trace_id == caller.trace_id));
    let sent = sent.lock().expect("no panic");
    assert!(sent.iter().all(|headers| headers["tracestate"] == "a=1"));
}

/// Of another trace, or of another piece of work in this one.
#[tokio::test]
async fn what_a_tracer_in_a_proxy_has_written_stays() {
    let trace = TraceId::w3c();
    let (sent, transport) = transport(&[200]);
    let client = ServiceBuilder::new()
        .layer(trace.layer_for(Http::new()))
        .layer(trace.attempt_layer_for(Http::new()))
        .service(transport);
    for theirs in [
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b8-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4737-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-80f067aa0ba902b7-01",
    ] {
        let client = client.clone();
        let tracer = service_fn(move |mut request: Request<Full<Bytes>>| {
            let theirs = theirs.parse().expect("valid");
            request.headers_mut().insert("traceparent", theirs);
            client.clone().oneshot(request)
        });
        let inbound = trace.layer_for(Http::new()).inbound();
        inbound
            .layer(tracer)
            .oneshot(handed_on())
            .await
            .expect("an answer");
        let sent = sent.lock().expect("no panic").pop().expect("one");
        assert_eq!(sent["traceparent"], theirs);
    }
}

#[tokio::test]
async fn the_attempts_layer_alone_will_do() {
    let trace = TraceId::w3c();
    let (sent, transport) = transport(&[200]);
    let client = trace.attempt_layer_for(Http::new()).layer(transport);
    client.clone().oneshot(request()).await.expect("an answer");
    let around = Trace::new();
    within(&around)
        .scope(async { client.oneshot(request()).await.expect("an answer") })
        .await;
    let parents = parents(&sent);
    assert_ne!(parents[0].trace_id, around.id());
    assert_eq!(parents[1].trace_id, around.id());
    assert_ne!(parents[1].parent_id, around.span());
}

#[tokio::test]
async fn nothing_is_sent_on_where_that_is_off() {
    for trace in [
        Some(TraceId::builder().propagate(false).build().expect("valid")),
        None,
    ] {
        let (sent, transport) = transport(&[200]);
        let client = ServiceBuilder::new()
            .layer(crate::trace_id::TraceIdLayer::new(trace.clone(), Http::new()))
            .layer(crate::trace_id::AttemptLayer::new(trace, Http::new()))
            .service(transport);
        client.oneshot(request()).await.expect("an answer");
        assert!(sent.lock().expect("no panic")[0].is_empty());
    }
}

/// As axum, tonic and hyper ask for it.
#[test]
fn services_are_send_sync_clone_and_static() {
    fn check<S>(_: S)
    where
        S: Service<Request<Full<Bytes>>, Response: Send, Future: Send + 'static>
            + Clone
            + Send
            + Sync
            + 'static,
    {
    }
    let trace = TraceId::w3c();
    let service = service_fn(|_: Request<Full<Bytes>>| ready(Ok::<_, BoxError>(Reply::default())));
    check(trace.layer_for(Http::new()).layer(service));
    let inbound: crate::trace_id::TraceIdLayer<_, Inbound> = trace.layer_for(Grpc::new()).inbound();
    check(inbound.layer(service));
    check(trace.attempt_layer_for(Http::new()).layer(service));
}
