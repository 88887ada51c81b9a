#[cfg(feature = "http")]
use std::{
    pin::Pin,
    task::{Context, Poll},
};

#[cfg(feature = "http")]
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tracing::Span;

use crate::context::CallContext;
#[cfg(feature = "http")]
use crate::context::Entered;

pin_project! {
    /// The response body of a server: while it is asked for a frame, it is in the context and the span of its call,
    /// as the handler was.
    #[derive(Debug, Default)]
    #[cfg_attr(not(feature = "http"), allow(dead_code))]
    pub struct TraceBody<B> {
        #[pin]
        inner: B,
        context: Option<CallContext>,
        span: Option<Box<Span>>,
    }
}

impl<B> TraceBody<B> {
    #[inline]
    pub(super) fn new(inner: B, context: Option<CallContext>, span: Option<Box<Span>>) -> Self {
        Self { inner, context, span }
    }
}

#[cfg(feature = "http")]
impl<B: Body> Body for TraceBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    #[inline]
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = self.project();
        let _in_span = this.span.as_ref().map(|span| span.enter());
        let _in_context = Entered::enter(this.context);
        this.inner.poll_frame(cx)
    }

    #[inline]
    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    #[inline]
    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
