use std::{
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;
use tracing::Span;

pin_project! {
    /// The future of [`AttemptService`](super::AttemptService).
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct AttemptFuture<F> {
        #[pin]
        inner: F,
        span: Span,
    }
}

impl<F> AttemptFuture<F> {
    #[inline]
    pub(super) fn new(inner: F, span: Span) -> Self {
        Self { inner, span }
    }
}

impl<F: Future> Future for AttemptFuture<F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        if this.span.is_none() {
            return this.inner.poll(cx);
        }
        let _entered = this.span.enter();
        this.inner.poll(cx)
    }
}
