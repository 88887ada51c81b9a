use std::task::{Context, Poll};

use tower_service::Service;

use super::{CircuitBreaker, Permit, future::CircuitBreakerFuture};
use crate::{
    error::CallError,
    outcome::{Plain, Protocol},
};

/// A service behind a circuit breaker.
///
/// Its readiness is that of the inner service: a refusal comes from the future, since an error from
/// `poll_ready` would mean that the service is to be thrown away.
#[derive(Clone, Debug)]
pub struct CircuitBreakerService<S, P = Plain> {
    inner: S,
    breaker: Option<CircuitBreaker>,
    protocol: P,
}

impl<S, P> CircuitBreakerService<S, P> {
    pub(super) fn new(inner: S, breaker: Option<CircuitBreaker>, protocol: P) -> Self {
        Self {
            inner,
            breaker,
            protocol,
        }
    }

    /// The service inside.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service inside.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The service inside, without the breaker.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, P, Request> Service<Request> for CircuitBreakerService<S, P>
where
    S: Service<Request>,
    S::Error: CallError,
    P: Protocol<S::Response, S::Error>,
{
    type Response = P::Response<Permit>;
    type Error = S::Error;
    type Future = CircuitBreakerFuture<S::Future, P>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: Request) -> Self::Future {
        call_through(&mut self.inner, request, self.breaker.as_ref(), &self.protocol)
    }
}

/// Calls the inner service if the breaker admits the call, or if there is none.
#[inline]
pub(super) fn call_through<S, P, Request>(
    inner: &mut S,
    request: Request,
    breaker: Option<&CircuitBreaker>,
    protocol: &P,
) -> CircuitBreakerFuture<S::Future, P>
where
    S: Service<Request>,
    P: Clone,
{
    let mut permit = match breaker {
        None => Permit::unrecorded(),
        Some(breaker) => breaker.admit(),
    };
    // One place that calls, whoever let the call in: of two the compiler would inline neither.
    let future = (!permit.is_refused()).then(|| {
        permit.set_inside(true);
        let future = inner.call(request);
        permit.set_inside(false);
        future
    });
    CircuitBreakerFuture::new(future, permit, protocol.clone())
}
