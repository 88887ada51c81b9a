use std::{
    num::{NonZeroU64, NonZeroU128},
    task::{Context, Poll},
};

use buttress::{
    CallContext, Plain,
    context::{Scoped, Trace},
    trace_id::{Carrier, TraceParent},
};
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use tower_layer::Layer;
use tower_service::Service;

/// Where the SDK's current span stands, if it has one.
#[must_use]
pub fn current_trace() -> Option<Trace> {
    let context = opentelemetry::Context::current();
    let span = context.span();
    let span = span.span_context();
    let id = NonZeroU128::new(u128::from_be_bytes(span.trace_id().to_bytes()))?;
    let span_id = NonZeroU64::new(u64::from_be_bytes(span.span_id().to_bytes()))?;
    let trace =
        Trace::of(id, span_id).with_flags(span.trace_flags().to_u8() & (Trace::SAMPLED | Trace::RANDOM));
    let state = span.trace_state().header();
    Some(if state.is_empty() {
        trace
    } else {
        trace.with_state(state)
    })
}

/// The sender of a request, as the SDK knows it.
fn remote(sender: TraceParent, state: Option<&str>) -> SpanContext {
    // One that is none is none here too.
    let state = state
        .and_then(|state| state.parse::<TraceState>().ok())
        .unwrap_or_default();
    SpanContext::new(
        TraceId::from(sender.trace_id.get()),
        SpanId::from(sender.parent_id.get()),
        TraceFlags::new(sender.flags),
        true,
        state,
    )
}

/// Has Buttress and the SDK be in one trace. It stands outside of Buttress's own trace-id layer.
///
/// * Inside of a span of the SDK's, which another layer has begun for the request, the layers further in go on with its
///   trace. If that layer makes a span for each request, switch Buttress's off by `spans(false)`, or there are two.
/// * Where there is none, the span that Buttress makes has the sender of the request for its parent when the SDK exports
///   it: the `traceparent`, read as strictly as the trace-id layer does. If that layer is not to believe what requests
///   say (`accept(false)`), leave this one out.
///
/// The parent is half of it: by the `Ids` of the feature `sdk` a request without any has its trace-id there too, and every
/// span its own id, which is what is sent on.
///
/// ```
/// use buttress::{Http, trace_id::TraceId};
/// use buttress_opentelemetry::AdoptLayer;
///
/// let layers = tower::ServiceBuilder::new()
///     .layer(AdoptLayer::new(Http::new()))
///     .layer(TraceId::w3c().layer_for(Http::new()).inbound());
/// # let _ = layers;
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct AdoptLayer<P = Plain> {
    protocol: P,
}

/// The service that [`AdoptLayer`] makes.
#[derive(Clone, Copy, Debug, Default)]
pub struct AdoptService<S, P = Plain> {
    inner: S,
    protocol: P,
}

impl<P> AdoptLayer<P> {
    /// The layer for requests of that protocol.
    pub const fn new(protocol: P) -> Self {
        Self { protocol }
    }
}

impl<S, P: Clone> Layer<S> for AdoptLayer<P> {
    type Service = AdoptService<S, P>;

    fn layer(&self, inner: S) -> Self::Service {
        AdoptService {
            inner,
            protocol: self.protocol.clone(),
        }
    }
}

impl<S, P, Request> Service<Request> for AdoptService<S, P>
where
    S: Service<Request>,
    P: Carrier<Request>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Scoped<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let Some(trace) = current_trace() else {
            // The span is made in here, and what is inside of it has that for its parent.
            let _attached = self.protocol.sending(&request).map(|sender| {
                let state = self.protocol.field(&request, "tracestate");
                let sender = remote(sender, state);
                opentelemetry::Context::current()
                    .with_remote_span_context(sender)
                    .attach()
            });
            return Scoped::new(None, self.inner.call(request));
        };
        let known = self.protocol.context(&request).cloned();
        let mut context = known.or_else(CallContext::current).unwrap_or_default();
        context.set_trace(trace);
        match self.protocol.set_context(&mut request, context) {
            Ok(()) => Scoped::new(None, self.inner.call(request)),
            Err(context) => {
                let inner = context.clone().sync_scope(|| self.inner.call(request));
                Scoped::new(Some(context), inner)
            }
        }
    }
}
