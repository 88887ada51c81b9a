use std::{
    marker::PhantomData,
    task::{Context, Poll},
};

use tower_service::Service;

use super::{Answer, Carrier, Direction, Inbound, Outbound, TraceId, TraceIdFuture, TraceToken};
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

impl<S, P, Request> Service<Request> for TraceIdService<S, P, Outbound>
where
    S: Service<Request>,
    P: Carrier<Request> + Answer<S::Response> + Clone,
    Outbound: Direction<P, S::Response, S::Error>,
{
    type Response = <Outbound as Direction<P, S::Response, S::Error>>::Response;
    type Error = S::Error;
    type Future = TraceIdFuture<S::Future, P, Outbound>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, mut request: Request) -> Self::Future {
        let Some(policy) = &self.policy else {
            return TraceIdFuture::untraced(self.inner.call(request), self.protocol.clone());
        };
        let context = policy.depart(&self.protocol, &mut request);
        let token = policy.tell(&self.protocol, &request, &context, false);
        // A request that has room for the context carries it further in by itself.
        let mut context = self.protocol.set_context(&mut request, context).err();
        let inner = call(&mut self.inner, request, &mut context, &token);
        TraceIdFuture::new(Scoped::new(context, inner), self.protocol.clone(), token, false)
    }
}

impl<S, P, Request> Service<Request> for TraceIdService<S, P, Inbound>
where
    S: Service<Request>,
    P: Carrier<Request> + Answer<S::Response> + Clone,
    Inbound: Direction<P, S::Response, S::Error>,
{
    type Response = <Inbound as Direction<P, S::Response, S::Error>>::Response;
    type Error = S::Error;
    type Future = TraceIdFuture<S::Future, P, Inbound>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, mut request: Request) -> Self::Future {
        let Some(policy) = &self.policy else {
            return TraceIdFuture::untraced(self.inner.call(request), self.protocol.clone());
        };
        let context = policy.read_request(&self.protocol, &mut request);
        let token = policy.tell(&self.protocol, &request, &context, true);
        // Layers further in look into the request, a handler looks around itself: it gets both.
        let answers = policy.answers();
        let _ = self.protocol.set_context(&mut request, context.clone());
        let mut context = Some(context);
        let inner = call(&mut self.inner, request, &mut context, &token);
        TraceIdFuture::new(Scoped::new(context, inner), self.protocol.clone(), token, answers)
    }
}

/// Layers further in read the context in `call` as well as in their futures.
#[inline]
fn call<S: Service<Request>, Request>(
    service: &mut S,
    request: Request,
    context: &mut Option<CallContext>,
    token: &Option<TraceToken>,
) -> S::Future {
    let _entered = Entered::enter(context);
    match token {
        None => service.call(request),
        Some(token) => token.in_span(|| service.call(request)),
    }
}
