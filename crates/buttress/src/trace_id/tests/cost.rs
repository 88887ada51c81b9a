//! What a call costs while nobody listens, to the last allocation.

use std::{
    convert::Infallible,
    future::ready,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::Empty;
use tower::{Layer, Service, service_fn};
use tracing::Level;

use super::Log;
use crate::{
    CallContext, Error, Http, Outcome, Plain,
    http::{ClassifyHead, ResponseHead},
    trace_id::{Inbound, TraceId, TraceIdLayer},
};

type Answer = Result<Response<Empty<Bytes>>, Error<Infallible>>;

fn answered<S: Service<R>, R>(service: &mut S, request: R) -> S::Response {
    let mut call = std::pin::pin!(service.call(request));
    match call.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(answer)) => answer,
        _ => panic!("it answers at once"),
    }
}

/// Allocations of one call, after one that warms up thread-locals; request and response are made and dropped outside.
fn allocations<S: Service<R>, R>(mut service: S, mut request: impl FnMut() -> R) -> u64 {
    drop(answered(&mut service, request()));
    let (request, mut response) = (request(), None);
    let count = allocation_counter::measure(|| response = Some(answered(&mut service, request)));
    drop(response);
    count.count_total
}

fn bare(_: Request<()>) -> std::future::Ready<Answer> {
    // With room for a header, as a response from the wire has it.
    let mut response = Response::new(Empty::new());
    *response.headers_mut() = HeaderMap::with_capacity(8);
    ready(Ok(response))
}

/// With something in the extensions already, as hosts have it, and room in the headers.
fn request() -> Request<()> {
    let mut request = Request::new(());
    *request.headers_mut() = HeaderMap::with_capacity(8);
    // Room for a few: the map of extensions grows as any does.
    request.extensions_mut().insert(1_u8);
    request
}

/// What the handler itself allocates, in the head of its response.
const RESPONSE: u64 = 2;

/// The context (its tally, and the box that it stands in among the extensions).
const EXTENSION: u64 = 2;

#[test]
fn a_request_that_comes_in_costs_its_extension_and_the_value_of_one_header() {
    let layer: TraceIdLayer<_, Inbound> = TraceId::w3c().layer_for(Http::new()).inbound();
    assert_eq!(allocations(service_fn(bare), request), RESPONSE);
    assert_eq!(
        allocations(layer.layer(service_fn(bare)), request),
        RESPONSE + EXTENSION + 1
    );

    let known = || {
        let mut request = request();
        let parent = HeaderValue::from_static("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
        request.headers_mut().insert("traceparent", parent);
        request
    };
    assert_eq!(
        allocations(layer.layer(service_fn(bare)), known),
        RESPONSE + EXTENSION + 1
    );

    let untold = TraceId::builder().answer(false).build().expect("valid");
    let untold = untold.layer_for(Http::new()).inbound();
    assert_eq!(
        allocations(untold.layer(service_fn(bare)), request),
        RESPONSE + EXTENSION
    );
}

#[test]
fn a_request_that_goes_out_costs_its_extension_and_one_allocation_for_both_headers() {
    let trace = TraceId::w3c();
    let outer = trace.layer_for(Http::new());
    assert_eq!(
        allocations(outer.layer(service_fn(bare)), request),
        RESPONSE + EXTENSION
    );
    let both = outer.layer(trace.attempt_layer_for(Http::new()).layer(service_fn(bare)));
    assert_eq!(allocations(both, request), RESPONSE + EXTENSION + 1);

    let with_context = || {
        let mut request = request();
        let mut context = CallContext::new();
        context.set_trace(crate::context::Trace::new());
        request.extensions_mut().insert(context);
        request
    };
    let attempt = trace.attempt_layer_for(Http::new()).layer(service_fn(bare));
    assert_eq!(allocations(attempt, with_context), RESPONSE + 1, "each attempt");
}

#[test]
fn a_plain_call_costs_its_context_and_one_that_is_off_nothing() {
    let plain = |()| ready(Ok::<_, Error<Infallible>>(()));
    let trace = TraceId::w3c();
    assert_eq!(allocations(trace.layer().layer(service_fn(plain)), || ()), 1);
    let off = TraceIdLayer::new(None, Plain::new()).layer(service_fn(plain));
    assert_eq!(allocations(off, || ()), 0);
    let off = TraceIdLayer::new(None, Http::new())
        .inbound()
        .layer(service_fn(bare));
    assert_eq!(allocations(off, request), RESPONSE);
}

/// Counts how often it is asked for a route, which is asked for nothing but what is told of a call.
#[derive(Clone, Default)]
struct Asked(Arc<AtomicUsize>);

impl ClassifyHead for Asked {
    fn classify(&self, _: ResponseHead<'_>) -> Outcome {
        Outcome::SUCCESS
    }

    fn route<'a>(&self, _: &'a http::Extensions) -> Option<&'a str> {
        self.0.fetch_add(1, Relaxed);
        None
    }
}

/// Allocations of one call that comes in and one that goes out, and how often they were asked for a route, before and
/// meanwhile.
fn told(log: &Log) -> ([u64; 2], usize) {
    let asked = Asked::default();
    let http = || Http::with(asked.clone());
    let trace = TraceId::w3c();
    log.under(|| {
        tracing::info!(target: "others", "somebody listens");
        let inbound = trace.layer_for(http()).inbound().layer(service_fn(bare));
        let attempt = trace.attempt_layer_for(http()).layer(service_fn(bare));
        let outbound = trace.layer_for(http()).layer(attempt);
        let allocations = [allocations(inbound, request), allocations(outbound, request)];
        (allocations, asked.0.load(Relaxed))
    })
}

#[test]
fn a_subscriber_that_wants_other_targets_costs_a_call_nothing() {
    let log = Log::down_to(Level::TRACE).of(&["others"]);
    let (allocations, asked) = told(&log);
    assert_eq!(log.entries().len(), 1, "it listens, and hears nothing of ours");
    assert_eq!(allocations, [RESPONSE + EXTENSION + 1; 2]);
    assert_eq!(asked, 0, "nothing is looked up that nobody is told");
}

#[test]
fn an_access_log_that_is_switched_off_is_not_written_beside_spans() {
    let log = Log::down_to(Level::TRACE).of(&["others", "buttress::trace_id"]);
    let (allocations, asked) = told(&log);
    assert!(log.lines().is_empty());
    assert!(
        log.entries()
            .iter()
            .any(|entry| entry.metadata.name() == "request")
    );
    assert!(
        allocations[0] > RESPONSE + EXTENSION + 1 && asked > 0,
        "spans are told"
    );
}

#[test]
fn ten_thousand_requests_leave_nothing_behind() {
    let layer = TraceId::w3c().layer_for(Http::new()).inbound();
    let mut service = layer.layer(service_fn(bare));
    drop(answered(&mut service, request()));
    let count = allocation_counter::measure(|| {
        for _ in 0..10_000 {
            drop(answered(&mut service, request()));
        }
    });
    assert_eq!(count.count_current, 0);
}
