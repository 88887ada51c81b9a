use std::task::{Context, Poll};

use tower_service::Service;

use super::{Answer, Fallback, FallbackFuture, Keep, Nothing, Substitute};
use crate::{
    outcome::{Plain, Protocol},
    replay::Same,
};

/// A service whose failures are answered by a [`Fallback`].
///
/// Its readiness is that of the inner service, errors included: they mean that the service is no more, and there is
/// no call yet to be answered.
#[derive(Debug)]
pub struct FallbackService<S, A, K = Nothing, P = Plain, M = Same> {
    inner: S,
    fallback: Option<Fallback<A, K>>,
    protocol: P,
    mode: M,
}

impl<S, A, K, P, M> FallbackService<S, A, K, P, M> {
    pub(super) fn new(inner: S, fallback: Option<Fallback<A, K>>, protocol: P, mode: M) -> Self {
        Self {
            inner,
            fallback,
            protocol,
            mode,
        }
    }
}

impl<S: Clone, A, K, P: Clone, M: Clone> Clone for FallbackService<S, A, K, P, M> {
    fn clone(&self) -> Self {
        Self::new(
            self.inner.clone(),
            self.fallback.clone(),
            self.protocol.clone(),
            self.mode.clone(),
        )
    }
}

impl<S, A, K, P, M, Request> Service<Request> for FallbackService<S, A, K, P, M>
where
    K: Keep<P, M, Request>,
    S: Service<K::Request>,
    A: Answer<K::Given, S::Response, S::Error>,
    P: Protocol<S::Response, S::Error> + Substitute<S::Response, A::Response>,
    M: Clone,
{
    type Response = P::Substituted;
    type Error = S::Error;
    type Future = FallbackFuture<S::Future, A, K, P, M, Request>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: Request) -> Self::Future {
        let (protocol, mode) = (&self.protocol, &self.mode);
        let (request, kept) = match &self.fallback {
            None => (K::pass(protocol, mode, request), None),
            Some(fallback) => {
                let (request, kept) = fallback.keeper().keep(protocol, mode, request);
                (request, Some((fallback.clone(), kept)))
            }
        };
        FallbackFuture::new(self.inner.call(request), protocol.clone(), mode.clone(), kept)
    }
}
