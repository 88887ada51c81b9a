use std::{
    mem,
    task::{Context, Poll, Waker, ready},
};

use tower_service::Service;

use super::{
    AsConfigured, Charge, QuotaProtocol, RateLimitFuture, RateLimiter, Store, Taken,
    future::{Start, Unspent},
};
use crate::{
    context,
    error::CallError,
    outcome::{Plain, RequestProtocol},
};

/// A service behind a rate limit.
///
/// If calls may wait, it is ready at once: a call sees to the readiness of what is inside when it has its permits, so
/// that one that waits holds no place in there. Otherwise its readiness is that of the inner service. A refusal comes
/// from the future in either case.
#[derive(Debug)]
pub struct RateLimitService<S, P = Plain, C = AsConfigured, L = RateLimiter> {
    inner: S,
    limiter: Option<L>,
    protocol: P,
    charge: C,
    /// Whether the inner service has been found ready for the next call.
    is_inner_ready: bool,
}

impl<S, P, C, L> RateLimitService<S, P, C, L> {
    pub(super) fn new(inner: S, limiter: Option<L>, protocol: P, charge: C) -> Self {
        Self {
            inner,
            limiter,
            protocol,
            charge,
            is_inner_ready: false,
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

    /// The service inside, without the limit.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

/// A clone is not ready, whether the original is or not.
impl<S: Clone, P: Clone, C: Clone, L: Clone> Clone for RateLimitService<S, P, C, L> {
    fn clone(&self) -> Self {
        Self::new(
            self.inner.clone(),
            self.limiter.clone(),
            self.protocol.clone(),
            self.charge.clone(),
        )
    }
}

impl<S, P, C, L, Request> Service<Request> for RateLimitService<S, P, C, L>
where
    S: Service<Request> + Clone,
    S::Error: CallError,
    P: RequestProtocol<Request> + QuotaProtocol<S::Response> + Clone,
    C: Charge<P, Request>,
    L: Store,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = RateLimitFuture<S, Request, P, L>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        if self.limiter.as_ref().is_none_or(|limiter| !limiter.may_wait()) {
            ready!(self.inner.poll_ready(cx))?;
            self.is_inner_ready = true;
        }
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn call(&mut self, request: Request) -> Self::Future {
        let is_inner_ready = mem::take(&mut self.is_inner_ready);
        let Some(limiter) = &self.limiter else {
            return RateLimitFuture::calling(self.inner.call(request), None, self.protocol.clone());
        };
        #[cfg(feature = "keyed")]
        let by = limiter.key_by();
        #[cfg(not(feature = "keyed"))]
        let by = None;
        let key = self.charge.key(&self.protocol, by, &request);
        let permits = self.charge.permits(&request);
        let deadline = || match self.protocol.context(&request) {
            Some(context) => context.deadline(),
            None => context::current_deadline(),
        };
        let taken = limiter.take(key.as_ref(), permits, deadline);
        drop(key);
        match taken {
            Taken::Granted(permit) if is_inner_ready => {
                RateLimitFuture::calling(self.inner.call(request), Some(permit), self.protocol.clone())
            }
            Taken::Granted(permit) => self.call_when_ready(request, permit),
            Taken::Refused(rejected) => RateLimitFuture::refused(rejected, self.protocol.clone()),
            Taken::Wait(wait) => {
                let start = Start {
                    service: self.inner.clone(),
                    request,
                };
                RateLimitFuture::waiting(wait, start, self.protocol.clone())
            }
        }
    }
}

impl<S, P: Clone, C, L: Store> RateLimitService<S, P, C, L> {
    /// Calls the inner service if it is ready, and else has the future see to that.
    fn call_when_ready<Request>(
        &mut self,
        request: Request,
        permit: L::Permit,
    ) -> RateLimitFuture<S, Request, P, L>
    where
        S: Service<Request> + Clone,
    {
        let permit = Unspent::new(permit);
        let protocol = self.protocol.clone();
        // Nobody is woken by this look: if it is not ready, the future looks again, with a waker.
        match self.inner.poll_ready(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(())) => {
                RateLimitFuture::calling(self.inner.call(request), permit.spend(), protocol)
            }
            Poll::Ready(Err(error)) => RateLimitFuture::failed(error, protocol),
            Poll::Pending => {
                // The one that has begun to become ready is the one to go on with.
                let clone = self.inner.clone();
                let service = mem::replace(&mut self.inner, clone);
                RateLimitFuture::readying(permit, Start { service, request }, protocol)
            }
        }
    }
}
