use std::{
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;

use super::MetricsToken;
use crate::outcome::Protocol;

pin_project! {
    /// The future of [`MetricsService`](super::MetricsService) and of [`Metrics::call`](super::Metrics::call).
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct MetricsFuture<F, P> {
        #[pin]
        inner: F,
        protocol: P,
        token: Option<MetricsToken>,
    }
}

impl<F, P> MetricsFuture<F, P> {
    #[inline]
    pub(super) fn new(inner: F, protocol: P, token: Option<MetricsToken>) -> Self {
        Self {
            inner,
            protocol,
            token,
        }
    }
}

impl<F, P, R, E> Future for MetricsFuture<F, P>
where
    F: Future<Output = Result<R, E>>,
    P: Protocol<R, E>,
{
    type Output = Result<P::Response<MetricsToken>, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        // Held here, where it can be in registers, not there, where it would have to be in memory.
        let mut token = this.token.take();
        if let Some(token) = &mut token {
            token.inner_is_running(true);
        }
        let polled = this.inner.poll(cx);
        if let Some(token) = &mut token {
            token.inner_is_running(false);
        }
        match polled {
            Poll::Ready(result) => Poll::Ready(this.protocol.observe(result, token)),
            Poll::Pending => {
                *this.token = token;
                Poll::Pending
            }
        }
    }
}
