use std::{
    marker::PhantomData,
    task::{Context, Poll},
};

use tower_service::Service;

use super::{Answer, Carrier, Direction, Outbound, TraceId, TraceIdFuture, TraceToken};
use crate::{
    context::{CallContext, Entered, Scoped},
    outcome::Plain,
};

/// A service whose calls have a place in a trace.
///
/// Its readiness is that of the inner service.
#[derive(Debug)]
pub struct TraceIdService<S, P = Plain, D = Outbound> {
    inner: S,
    policy: Option<TraceId>,
    protocol: P,
    direction: PhantomData<fn() -> D>,
}

impl<S, P, D> TraceIdService<S, P, D> {
    pub(super) fn new(inner: S, policy: Option<TraceId>, protocol: P) -> Self {
        Self {
            inner,
            policy,
            protocol,
            direction: PhantomData,
        }
    }
}

/// The direction need not be `Clone`.
impl<S: Clone, P: Clone, D> Clone for TraceIdService<S, P, D> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), self.policy.clone(), self.protocol.clone())
    }
}

impl<S, P, D, Request> Service<Request> for TraceIdService<S, P, D>
where
    S: Service<Request>,
    P: Carrier<Request> + Answer<S::Response> + Clone,
    D: Direction<P, S::Response, S::Error>,
{
    type Response = D::Response;
    type Error = S::Error;
    type Future = TraceIdFuture<S::Future, P, D>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, mut request: Request) -> Self::Future {
        let Some(policy) = &self.policy else {
            return TraceIdFuture::untraced(self.inner.call(request), self.protocol.clone());
        };
        let protocol = self.protocol.for_request(&request);
        let context = D::context(policy, &protocol, &mut request);
        let token = policy.tell(&protocol, &request, &context, D::IS_INBOUND);
        let answers = D::IS_INBOUND && policy.answers();
        let mut around = D::carry(&protocol, &mut request, context);
        if let Some(token) = token {
            return call_told(&mut self.inner, request, around, protocol, token, answers);
        }
        let inner = call_within(&mut self.inner, request, &mut around);
        TraceIdFuture::new(Scoped::new(around, inner), protocol, None, answers)
    }
}

/// Layers further in read the context in `call` as well as in their futures.
// Always: by a call of it request and future would be moved once more.
#[inline(always)]
fn call_within<S: Service<Request>, Request>(
    service: &mut S,
    request: Request,
    around: &mut Option<CallContext>,
) -> S::Future {
    let _entered = Entered::enter(around);
    service.call(request)
}

// Apart, so that a call that nobody hears of is not moved about for it.
#[inline(never)]
fn call_told<S: Service<Request>, Request, P, D>(
    service: &mut S,
    request: Request,
    mut around: Option<CallContext>,
    protocol: P,
    token: TraceToken,
    answers: bool,
) -> TraceIdFuture<S::Future, P, D> {
    let inner = token.in_span(|| call_within(service, request, &mut around));
    TraceIdFuture::new(Scoped::new(around, inner), protocol, Some(token), answers)
}
