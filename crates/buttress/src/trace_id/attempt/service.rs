use std::task::{Context, Poll};

use tower_service::Service;
use tracing::{Level, Span, level_filters::LevelFilter};

use super::AttemptFuture;
use crate::{
    context::{self, CallContext, Trace},
    outcome::Plain,
    trace_id::{
        Carrier, Id, TraceId, beginning,
        origin::{Whose, whose},
        record::{SpanId, TRACE},
    },
};

/// A service whose requests say which trace they are part of, each with a span-id of its own.
///
/// Its readiness is that of the inner service.
#[derive(Clone, Debug)]
pub struct AttemptService<S, P = Plain> {
    inner: S,
    policy: Option<TraceId>,
    protocol: P,
}

impl<S, P> AttemptService<S, P> {
    pub(super) fn new(inner: S, policy: Option<TraceId>, protocol: P) -> Self {
        Self {
            inner,
            policy,
            protocol,
        }
    }
}

impl<S, P, Request> Service<Request> for AttemptService<S, P>
where
    S: Service<Request>,
    P: Carrier<Request>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = AttemptFuture<S::Future>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, mut request: Request) -> Self::Future {
        let span = match &self.policy {
            Some(policy) => policy.attempt(&self.protocol, &mut request),
            None => Span::none(),
        };
        if span.is_none() {
            return AttemptFuture::new(self.inner.call(request), Span::none());
        }
        call_told(&mut self.inner, request, span)
    }
}

// Apart, so that a call that nobody hears of is not moved about for it.
#[inline(never)]
fn call_told<S: Service<Request>, Request>(
    service: &mut S,
    request: Request,
    span: Span,
) -> AttemptFuture<S::Future> {
    let inner = span.in_scope(|| service.call(request));
    AttemptFuture::new(inner, span)
}

impl TraceId {
    /// Writes the ids into a request that is going out, as the [attempt's layer](Self::attempt_layer_for) does: for
    /// hosts that let one change a request but have no place for a layer, as gRPC's interceptors.
    pub fn write<P, Request>(&self, protocol: &P, request: &mut Request)
    where
        P: Carrier<Request>,
    {
        // There is nothing that the attempt's span could be around.
        drop(self.attempt(protocol, request));
    }

    /// Writes the ids into the request, and begins the attempt's span if one is wanted.
    #[inline]
    fn attempt<P, Request>(&self, protocol: &P, request: &mut Request) -> Span
    where
        P: Carrier<Request>,
    {
        let sends = P::CARRIES && self.propagates();
        let tells = self.has_spans()
            && LevelFilter::current() >= LevelFilter::DEBUG
            && tracing::enabled!(target: TRACE, Level::DEBUG);
        if !sends && !tells {
            return Span::none();
        }
        let look = |context: Option<&CallContext>| {
            let known = context.and_then(CallContext::trace);
            (known.map(Trace::child), whose(protocol.sending(request), known))
        };
        let (trace, writer) = match protocol.context(request) {
            Some(context) => look(Some(context)),
            None => context::with_current(|context| look(Some(context))).unwrap_or_else(|| look(None)),
        };
        let trace = trace.unwrap_or_else(|| self.begin());
        let span = if tells {
            begin_span(protocol, request, &trace)
        } else {
            Span::none()
        };
        match writer {
            Whose::Ours if sends => protocol.send(request, &trace),
            Whose::Theirs(_) if sends => protocol.send_request_id(request, &trace),
            _ => {}
        }
        span
    }
}

#[cold]
fn begin_span<P, Request>(protocol: &P, request: &Request, trace: &Trace) -> Span
where
    P: Carrier<Request>,
{
    let current = CallContext::current();
    let context = protocol.context(request).or(current.as_ref());
    let span = tracing::debug_span!(
        target: TRACE,
        "attempt",
        otel.kind = "client",
        trace_id = %Id::from(trace.id()),
        span_id = %SpanId(trace.span()),
        parent_id = trace.parent().map(|id| tracing::field::display(SpanId(id))),
        attempt = context.map_or(1, CallContext::attempt),
    );
    beginning::begin(&span, trace);
    span
}
