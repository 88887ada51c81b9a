use std::{
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;

use super::{CircuitBreaker, future::CircuitBreakerFuture};
use crate::{
    error::{Error, ErrorFuture},
    outcome::{Classify, OkIsSuccess, Plain},
};

pin_project! {
    /// A future behind a circuit breaker, from [`CircuitBreaker::call`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct CircuitBreakerCall<F, C = OkIsSuccess> {
        #[pin]
        inner: CircuitBreakerFuture<ErrorFuture<F>, Plain<C>>,
    }
}

impl<F, C> CircuitBreakerCall<F, C> {
    pub(super) fn new(breaker: &CircuitBreaker, protocol: Plain<C>, future: F) -> Self {
        let permit = breaker.admit();
        let future = (!permit.is_refused()).then(|| ErrorFuture::new(future));
        let inner = CircuitBreakerFuture::new(future, permit, protocol);
        Self { inner }
    }
}

impl<F, T, E, C> Future for CircuitBreakerCall<F, C>
where
    F: Future<Output = Result<T, E>>,
    C: Classify<T, Error<E>> + Clone,
{
    type Output = Result<T, Error<E>>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().inner.poll(cx)
    }
}
