use std::{
    fmt,
    task::{Context, Poll},
};

use tower_service::Service;

use super::{
    Pool,
    future::PoolFuture,
    reach::{Own, Reach},
    token::PoolToken,
};
use crate::{
    error::CallError,
    outcome::{Plain, Protocol},
    replay::{Peek, Replay, Same},
};

/// A pool as one service; from [`Pool::service`] and [`service_for`](Pool::service_for).
///
/// It is ready at once. An endpoint is chosen when the call's future is first polled; the future drives the readiness
/// of its own clone of the endpoint's service, and takes another endpoint if that one is not ready and another is, be it
/// one that is back, or due for a trial, while the call waits (where one is out, that takes a timer of tokio's). So one slow
/// endpoint holds up nobody, and a call that has not chosen holds no place anywhere.
///
/// # Errors
///
/// From the call's future: [`NoEndpoint`](crate::RejectionKind::NoEndpoint) if no endpoint may be used,
/// [`RateLimited`](crate::RejectionKind::RateLimited) if all that may are at their limits for too long, else the last
/// endpoint's own.
///
/// # Clone
///
/// Clones share the pool.
pub struct PoolService<T, R = Own, P = Plain, M = Same> {
    pool: Pool<T>,
    reach: R,
    protocol: P,
    mode: M,
}

impl<T, R, P, M> PoolService<T, R, P, M> {
    /// The pool as a service that speaks `protocol`, whose endpoints are reached by `reach`, and which sends on the
    /// [body](crate::replay) that `mode` says.
    pub fn new(pool: Pool<T>, reach: R, protocol: P, mode: M) -> Self {
        Self {
            pool,
            reach,
            protocol,
            mode,
        }
    }

    /// The pool.
    pub fn pool(&self) -> &Pool<T> {
        &self.pool
    }
}

impl<T, R, P, M, Request, S> Service<Request> for PoolService<T, R, P, M>
where
    R: Reach<T, Service = S> + Clone,
    S: Service<P::Request>,
    S::Error: CallError,
    P: Replay<Request, M> + Peek<S::Response, S::Error>,
    P: Protocol<<P as Peek<S::Response, S::Error>>::Peeked, S::Error>,
    M: Clone,
{
    type Response =
        <P as Protocol<<P as Peek<S::Response, S::Error>>::Peeked, S::Error>>::Response<PoolToken>;
    type Error = S::Error;
    type Future = PoolFuture<T, R, P, M, Request>;

    #[inline]
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn call(&mut self, request: Request) -> Self::Future {
        PoolFuture::new(
            self.pool.shared.clone(),
            None,
            self.reach.clone(),
            self.protocol.clone(),
            self.mode.clone(),
            request,
        )
    }
}

impl<T, R: Clone, P: Clone, M: Clone> Clone for PoolService<T, R, P, M> {
    fn clone(&self) -> Self {
        Self {
            pool: self.pool.clone(),
            reach: self.reach.clone(),
            protocol: self.protocol.clone(),
            mode: self.mode.clone(),
        }
    }
}

impl<T, R, P, M> fmt::Debug for PoolService<T, R, P, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PoolService").field(&self.pool).finish()
    }
}
