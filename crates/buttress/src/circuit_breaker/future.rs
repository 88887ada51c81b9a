use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;

use super::Permit;
use crate::{error::CallError, outcome::Protocol};

pin_project! {
    /// The future of [`CircuitBreakerService`](super::CircuitBreakerService).
    ///
    /// # Cancel safety
    ///
    /// Dropping it is a cancelled call; see [`Permit`].
    pub struct CircuitBreakerFuture<F, P> {
        // `None` if the breaker refused the call; the permit says so too.
        #[pin]
        inner: Option<F>,
        // Not here while the inner future is being polled, nor when it is done.
        permit: Permit,
        protocol: P,
    }
}

impl<F, P> CircuitBreakerFuture<F, P> {
    #[inline]
    pub(super) fn new(inner: Option<F>, permit: Permit, protocol: P) -> Self {
        Self {
            inner,
            permit,
            protocol,
        }
    }
}

impl<F, P, T, E> Future for CircuitBreakerFuture<F, P>
where
    F: Future<Output = Result<T, E>>,
    E: CallError,
    P: Protocol<T, E>,
{
    type Output = Result<P::Response<Permit>, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Some(inner) = this.inner.as_pin_mut() else {
            return match this.permit.take_refusal() {
                Some(rejected) => Poll::Ready(Err(rejected.into())),
                None => panic!("`CircuitBreakerFuture` polled after it was ready"),
            };
        };
        // Held here, where it can be in registers, not there, where it would have to be in memory.
        let mut held = this.permit.take();
        held.set_polled();
        let result = inner.poll(cx);
        held.set_inside(false);
        match result {
            Poll::Ready(result) => Poll::Ready(this.protocol.observe(result, held.into_token())),
            Poll::Pending => {
                // Only a call that must wait can be cut off for having taken too long, so only here does its start
                // matter.
                held.start();
                *this.permit = held;
                Poll::Pending
            }
        }
    }
}

impl<F, P> fmt::Debug for CircuitBreakerFuture<F, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CircuitBreakerFuture")
            .field("permit", &self.permit)
            .finish_non_exhaustive()
    }
}
