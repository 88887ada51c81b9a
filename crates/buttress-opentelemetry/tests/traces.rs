//! The SDK's trace is ours.

use std::convert::Infallible;

use buttress::{
    Http,
    context::Trace,
    trace_id::{self, TraceId},
};
use buttress_opentelemetry::AdoptLayer;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use opentelemetry::{
    Context,
    trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceState},
};
use tower::{Service, ServiceBuilder, service_fn};

fn sdk_span() -> Context {
    let state = TraceState::from_key_value([("vendor", "7")]).expect("valid");
    let span = SpanContext::new(
        opentelemetry::TraceId::from_bytes(0x4bf9_u128.to_be_bytes()),
        SpanId::from_bytes(0x00f0_u64.to_be_bytes()),
        TraceFlags::SAMPLED,
        true,
        state,
    );
    Context::new().with_remote_span_context(span)
}

fn served() -> (Trace, Response<()>) {
    let (sender, traces) = std::sync::mpsc::channel();
    let mut server = ServiceBuilder::new()
        .layer(AdoptLayer::new(Http::new()))
        .layer(TraceId::w3c().layer_for(Http::new()).inbound())
        .service(service_fn(move |_: Request<()>| {
            sender
                .send(trace_id::current_trace().expect("a trace"))
                .expect("somebody listens");
            std::future::ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())))
        }));
    let response = tokio_test::block_on(server.call(Request::new(()))).expect("infallible");
    (traces.recv().expect("it was called"), response.map(drop))
}

#[test]
fn a_request_is_part_of_the_sdks_trace() {
    let _entered = sdk_span().attach();
    let (trace, response) = served();
    assert_eq!(trace.id().get(), 0x4bf9);
    assert_eq!(trace.parent().map(|p| p.get()), Some(0x00f0));
    assert!(trace.is_sampled());
    assert_eq!(trace.state(), Some("vendor=7"));
    assert_eq!(response.headers()["x-request-id"], *format!("{:032x}", 0x4bf9));
}

#[test]
fn without_a_span_nothing_changes() {
    let (trace, _) = served();
    assert_eq!(trace.parent(), None);
    assert!(buttress_opentelemetry::current_trace().is_none());
}
