use std::{
    fmt,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;

use super::{Answer, Direction, TraceToken};
use crate::context::Scoped;

pin_project! {
    /// The future of [`TraceIdService`](super::TraceIdService).
    ///
    /// # Cancel safety
    ///
    /// As cancel safe as the future inside. Dropped before that has ended, the call was cancelled, and the access log
    /// says so.
    #[must_use = "futures do nothing unless polled"]
    pub struct TraceIdFuture<F, P, D> {
        #[pin]
        inner: Scoped<F>,
        protocol: P,
        // None: nobody listens.
        token: Option<TraceToken>,
        answers: bool,
        direction: PhantomData<fn() -> D>,
    }
}

impl<F, P, D> TraceIdFuture<F, P, D> {
    #[inline]
    pub(super) fn new(inner: Scoped<F>, protocol: P, token: Option<TraceToken>, answers: bool) -> Self {
        Self {
            inner,
            protocol,
            token,
            answers,
            direction: PhantomData,
        }
    }

    /// Of a policy that is off.
    #[inline]
    pub(super) fn untraced(inner: F, protocol: P) -> Self {
        Self::new(Scoped::new(None, inner), protocol, None, false)
    }
}

impl<F, P, D, R, E> Future for TraceIdFuture<F, P, D>
where
    F: Future<Output = Result<R, E>>,
    P: Answer<R>,
    D: Direction<P, R, E>,
{
    type Output = Result<D::Response, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let mut result = ready!(match this.token {
            None => this.inner.as_mut().poll(cx),
            Some(token) => token.in_span(|| this.inner.as_mut().poll(cx)),
        });
        let context = this.inner.as_mut().take_context();
        if let (true, Ok(response), Some(context)) = (*this.answers, &mut result, &context) {
            if let Some(trace) = context.trace() {
                this.protocol.answer(response, trace);
            }
        }
        Poll::Ready(D::observe(this.protocol, result, this.token.take(), context))
    }
}

impl<F, P, D> fmt::Debug for TraceIdFuture<F, P, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TraceIdFuture")
            .field("context", &self.inner.context())
            .finish_non_exhaustive()
    }
}
