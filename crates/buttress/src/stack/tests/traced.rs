//! One trace-id through stacks.

use ::http::{HeaderMap, Request, Response};
use bytes::Bytes;
use http_body_util::Full;

use super::*;
use crate::{
    Http,
    context::Trace,
    stack::FullServer,
    trace_id::{Id, current_trace},
};

/// The headers of each request, as they came.
type Seen = Arc<Mutex<Vec<HeaderMap>>>;

fn get() -> Request<Full<Bytes>> {
    Request::get("/books/4").body(Full::default()).expect("valid")
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    let value = headers
        .get(name)
        .unwrap_or_else(|| panic!("{name} in {headers:?}"));
    value.to_str().expect("a text")
}

/// The trace-id and the span-id in a `traceparent`.
fn ids(headers: &HeaderMap) -> (&str, &str) {
    let parent = text(headers, "traceparent");
    (&parent[3..35], &parent[36..52])
}

/// Notes what it is sent; answers the first with 503 and all others well.
fn upstream<B: Send + 'static>(
    seen: &Seen,
) -> impl Service<Request<B>, Response = Response<Full<Bytes>>, Error = Infallible, Future: Send + 'static>
+ Clone
+ Send
+ use<B> {
    let seen = seen.clone();
    service_fn(move |request: Request<B>| {
        let mut seen = seen.lock().expect("no panic");
        seen.push(request.headers().clone());
        let status = if seen.len() == 1 { 503 } else { 200 };
        let response = Response::builder().status(status).body(Full::default());
        ready(Ok::<_, Infallible>(response.expect("valid")))
    })
}

/// A client calls a server, whose handler calls another service, at the second attempt with success.
#[tokio::test(start_paused = true)]
async fn one_trace_id_goes_through_client_and_server_and_each_attempt_has_its_own_span() {
    let (seen, handled) = (Seen::default(), Arc::new(Mutex::new(Vec::<Trace>::new())));
    let further = Stack::http_client("further")
        .trace_id(TraceId::w3c())
        .metrics(Metrics::new())
        .recover()
        .retry(Retry::standard())
        .any_request_body()
        .build()
        .service(upstream(&seen));
    let notes = handled.clone();
    let handler = service_fn(move |_: Request<Full<Bytes>>| {
        let (mut further, notes) = (further.clone(), notes.clone());
        async move {
            notes
                .lock()
                .expect("no panic")
                .push(current_trace().expect("a request"));
            let answer = further.ready().await.expect("ready").call(get()).await;
            assert_eq!(answer.expect("an answer").status(), 200);
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
        }
    });
    let server = Stack::http_server("api")
        .trace_id(TraceId::w3c())
        .metrics(Metrics::new())
        .recover()
        .build()
        .service(handler);
    let client = Stack::http_client("client")
        .trace_id(TraceId::w3c())
        .metrics(Metrics::new())
        .recover()
        .build()
        .service(server);

    let mine = Trace::new().with_request_id("order-7");
    let mut context = crate::CallContext::new();
    context.set_trace(mine.clone());
    let answer = context.scope(client.oneshot(get())).await.expect("an answer");
    let id = Id::from(mine.id()).to_string();
    assert_eq!(text(answer.headers(), "x-request-id"), "order-7");

    let handled = handled.lock().expect("no panic").clone();
    let [request] = &handled[..] else {
        panic!("{handled:?}")
    };
    assert_eq!(request.id(), mine.id());
    assert_ne!(request.span(), mine.span());
    assert!(
        request.parent().is_some_and(|parent| parent != mine.span()),
        "the attempt's span"
    );

    let seen = seen.lock().expect("no panic");
    let spans: Vec<_> = seen.iter().map(|headers| ids(headers).1).collect();
    assert_eq!(spans.len(), 2, "a failure, and the other attempt");
    assert_ne!(spans[0], spans[1]);
    for headers in &*seen {
        assert_eq!(ids(headers).0, id);
        assert_eq!(text(headers, "x-request-id"), "order-7");
    }
}

#[tokio::test]
async fn what_a_server_refuses_is_told_its_id() {
    let (breaker, trace_id) = (CircuitBreaker::new(), TraceId::w3c());
    breaker.force_open();
    let server: FullServer<Http> = Stack::http_server("api")
        .trace_id(trace_id.clone())
        .circuit_breaker(breaker)
        .full()
        .build();
    let answer = server.service(upstream(&Seen::default())).oneshot(get()).await;
    let answer = answer.expect("an answer");
    assert_eq!(answer.status(), 503);
    assert_eq!(text(answer.headers(), "x-request-id").len(), 32);
    assert_eq!(&*trace_id.name(), "api");
    assert_eq!(trace_id.snapshot().made, 1);
}

#[tokio::test]
async fn a_hostile_id_gets_no_further_than_the_servers_edge() {
    let (seen, trace_id) = (Seen::default(), TraceId::w3c());
    let client = Stack::http_client("further").trace_id(trace_id.clone()).build();
    let server = Stack::http_server("api").trace_id(trace_id.clone()).build();
    // A proxy: what came in goes out.
    let mut proxy = server.service(client.service(upstream(&seen)));
    let long = "a".repeat(10_000);
    for hostile in [long.as_str(), "evil\tid", "\u{e9}vil", "evil<script>", ""] {
        let mut request = get();
        for name in ["x-request-id", "traceparent", "tracestate"] {
            let value = ::http::HeaderValue::from_bytes(hostile.as_bytes()).expect("a header could be that");
            request.headers_mut().insert(name, value);
        }
        let answer = proxy.ready().await.expect("ready").call(request).await;
        let answer = answer.expect("an answer");
        let sent = seen.lock().expect("no panic").pop().expect("one request");
        let id = text(answer.headers(), "x-request-id");
        assert_eq!((id.len(), id), (32, text(&sent, "x-request-id")));
        assert_eq!(ids(&sent).0, id);
        assert!(!sent.contains_key("tracestate"));
    }
    assert!(trace_id.snapshot().refused >= 10, "{:?}", trace_id.snapshot());
}

/// Off, a stack touches no header, in either direction.
#[tokio::test]
async fn a_policy_that_is_off_leaves_ids_alone() {
    let seen = Seen::default();
    let client = Stack::http_client("x").trace_id(None).build();
    let mut request = get();
    let value = ::http::HeaderValue::from_static("anything <at> all");
    request.headers_mut().insert("x-request-id", value);
    let answer = client.service(upstream(&seen)).oneshot(request).await;
    assert!(answer.expect("an answer").headers().is_empty());
    let sent = seen.lock().expect("no panic").pop().expect("one request");
    assert_eq!(sent.len(), 1);
    assert_eq!(text(&sent, "x-request-id"), "anything <at> all");
}
