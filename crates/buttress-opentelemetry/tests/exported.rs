//! What `tracing-opentelemetry` makes of our spans: the same trace, the same ids, and each once.

use std::sync::{Arc, Mutex};

use buttress::{
    BoxError, CallContext, Http,
    trace_id::{self, TraceId, TraceParent},
};
use buttress_opentelemetry::{AdoptLayer, Ids};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use opentelemetry::trace::{SpanContext, SpanKind, TraceContextExt, TraceFlags, TraceState, TracerProvider};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use tower::{Service, ServiceBuilder, service_fn};
use tracing::{Level, Span, level_filters::LevelFilter};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::layer::SubscriberExt;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

type Body = Full<Bytes>;

fn request() -> Request<Body> {
    Request::new(Body::default())
}

fn sent_by_the_caller() -> Request<Body> {
    let mut request = request();
    let parent = format!("00-{TRACE}-{CALLER}-01").parse().expect("valid");
    request.headers_mut().insert("traceparent", parent);
    request
}

/// What stands outside of our own layer.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Around {
    Nothing,
    Adopt,
    /// That, and outside of it the span of another layer, which has read the `traceparent` by itself.
    Theirs,
}

/// What came of a request: the id in its answer, what its handler was told, what that sent on, and the spans exported,
/// outermost first.
struct Told {
    request_id: String,
    handler: buttress::context::Trace,
    sent: TraceParent,
    spans: Vec<SpanData>,
}

fn theirs() -> Span {
    let caller = SpanContext::new(
        opentelemetry::TraceId::from_hex(TRACE).expect("valid"),
        opentelemetry::SpanId::from_hex(CALLER).expect("valid"),
        TraceFlags::SAMPLED,
        true,
        TraceState::NONE,
    );
    let theirs = tracing::info_span!("theirs", otel.kind = "server");
    let caller = opentelemetry::Context::new().with_remote_span_context(caller);
    theirs.set_parent(caller).expect("it has not begun");
    theirs
}

/// Serves a request, by a handler that hands it on to a client, with the SDK listening.
fn serve(trace: &TraceId, around: Around, request: Request<Body>) -> Told {
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder()
        .with_simple_exporter(exporter.clone())
        .with_id_generator(Ids::new())
        .build();
    let exported = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    let subscriber = tracing_subscriber::registry()
        .with(LevelFilter::from_level(Level::DEBUG))
        .with(exported);

    let handler = Arc::new(Mutex::new(None));
    let seen = handler.clone();
    let sent = Arc::new(Mutex::new(None));
    let seen_sent = sent.clone();
    let client = ServiceBuilder::new()
        .layer(trace.layer_for(Http::new()))
        .layer(trace.attempt_layer_for(Http::new()))
        .service(service_fn(move |request: Request<Body>| {
            let parent = TraceParent::parse(request.headers()["traceparent"].as_bytes());
            *seen_sent.lock().expect("no panic") = parent;
            std::future::ready(Ok::<_, BoxError>(Response::new(Body::default())))
        }));
    let handle = service_fn(move |request: Request<Body>| {
        *seen.lock().expect("no panic") = trace_id::current_trace();
        let mut client = client.clone();
        async move {
            client
                .call(request)
                .await
                .map(|answer| answer.map(|_| Body::default()))
        }
    });
    let mut server = ServiceBuilder::new()
        .option_layer((around != Around::Nothing).then(|| AdoptLayer::new(Http::new())))
        .layer(trace.layer_for(Http::new()).inbound())
        .service(handle);
    let answer = tracing::subscriber::with_default(subscriber, || {
        let theirs = match around {
            Around::Theirs => theirs(),
            _ => Span::none(),
        };
        let answer = theirs.in_scope(|| tokio_test::block_on(server.call(request)));
        answer.expect("it answers").map(drop)
    });
    let request_id = answer.headers()["x-request-id"]
        .to_str()
        .expect("text")
        .to_owned();
    let mut spans = exporter.get_finished_spans().expect("it runs");
    spans.reverse();
    let handler = handler.lock().expect("no panic").take().expect("in a trace");
    let sent = sent.lock().expect("no panic").take().expect("it was sent");
    Told {
        request_id,
        handler,
        sent,
        spans,
    }
}

#[track_caller]
fn assert_one_trace_and_each_span_once(told: &Told) {
    let names: Vec<_> = told.spans.iter().map(|span| &*span.name).collect();
    assert_eq!(names, ["request", "call", "attempt"]);
    let kinds: Vec<_> = told.spans.iter().map(|span| span.span_kind.clone()).collect();
    assert_eq!(kinds, [SpanKind::Server, SpanKind::Client, SpanKind::Client]);
    for span in &told.spans {
        assert_eq!(span.span_context.trace_id().to_string(), told.request_id);
    }
    let ids: Vec<_> = told
        .spans
        .iter()
        .map(|span| span.span_context.span_id())
        .collect();
    assert_eq!(
        [told.spans[1].parent_span_id, told.spans[2].parent_span_id],
        ids[..2]
    );
    // What we know of ourselves, and what we have sent on, is what is found there.
    assert_eq!(ids[0].to_string(), format!("{:016x}", told.handler.span()));
    assert_eq!(ids[2].to_string(), format!("{:016x}", told.sent.parent_id));
    assert_eq!(told.request_id, format!("{:032x}", told.sent.trace_id));
}

#[test]
fn an_exported_span_is_in_the_callers_trace_and_has_the_caller_for_its_parent() {
    let told = serve(&TraceId::w3c(), Around::Adopt, sent_by_the_caller());
    assert_one_trace_and_each_span_once(&told);
    assert_eq!(told.request_id, TRACE);
    assert_eq!(told.spans[0].parent_span_id.to_string(), CALLER);
    assert!(told.spans[0].parent_span_is_remote);
    assert_eq!(
        format!("{:016x}", told.handler.parent().expect("the caller")),
        CALLER
    );
}

#[test]
fn a_request_without_a_trace_begins_the_same_one_here_and_there() {
    let told = serve(&TraceId::w3c(), Around::Adopt, request());
    assert_one_trace_and_each_span_once(&told);
    assert_eq!(told.spans[0].parent_span_id.to_string(), "0000000000000000");
    assert_eq!(told.handler.parent(), None);
}

#[test]
fn where_another_layer_makes_the_span_there_is_no_second_one() {
    let trace = TraceId::builder().spans(false).build().expect("valid");
    let told = serve(&trace, Around::Theirs, sent_by_the_caller());
    let [theirs] = &told.spans[..] else {
        panic!("one, not {:?}", told.spans)
    };
    assert_eq!(
        (&*theirs.name, theirs.parent_span_id.to_string()),
        ("theirs", CALLER.to_owned())
    );
    let id = theirs.span_context.span_id().to_string();
    assert_eq!(
        told.handler.parent().map(|parent| format!("{parent:016x}")),
        Some(id)
    );
    assert_eq!(told.request_id, TRACE);
}

/// Not what came in with the request, though it stands in it still.
#[test]
fn a_proxy_writes_anew_what_it_was_sent() {
    for spans in [true, false] {
        let trace = TraceId::builder().spans(spans).build().expect("valid");
        for around in [Around::Nothing, Around::Adopt, Around::Theirs] {
            let told = serve(&trace, around, sent_by_the_caller());
            assert_eq!(format!("{:032x}", told.sent.trace_id), TRACE);
            assert_ne!(format!("{:016x}", told.sent.parent_id), CALLER, "{around:?}");
        }
    }
}

/// The SDK has nothing to go by but what it is told: by itself, a trace of its own.
#[test]
fn without_the_layer_the_parent_is_missing() {
    let told = serve(&TraceId::w3c(), Around::Nothing, sent_by_the_caller());
    assert_eq!(told.spans[0].parent_span_id.to_string(), "0000000000000000");
}

/// Nothing is told when nothing begins.
#[test]
fn ids_are_told_at_the_beginning_of_a_span_alone() {
    assert!(trace_id::beginning().is_none());
    assert!(CallContext::current().is_none());
    let first = opentelemetry_sdk::trace::IdGenerator::new_span_id(&Ids::new());
    assert_ne!(
        first,
        opentelemetry_sdk::trace::IdGenerator::new_span_id(&Ids::new())
    );
}
