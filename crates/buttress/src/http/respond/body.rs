use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

pin_project! {
    /// A response body: the service's own, or that of a refusal.
    ///
    /// Data and error type are the service's, and its body needs no `Default`.
    #[derive(Debug)]
    pub struct RespondBody<B> {
        #[pin]
        origin: Origin<B>,
    }
}

pin_project! {
    #[project = OriginProj]
    #[derive(Debug)]
    enum Origin<B> {
        Inner { #[pin] body: B },
        // What has yet to be sent, never empty.
        Local { rest: Option<Bytes> },
    }
}

impl<B> RespondBody<B> {
    /// The service's own body.
    pub(super) const fn inner(body: B) -> Self {
        Self {
            origin: Origin::Inner { body },
        }
    }

    /// The body of a refusal.
    pub(super) fn local(bytes: Bytes) -> Self {
        let rest = (!bytes.is_empty()).then_some(bytes);
        Self {
            origin: Origin::Local { rest },
        }
    }
}

impl<B: Body<Data = Bytes>> Body for RespondBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    #[inline]
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.project().origin.project() {
            OriginProj::Inner { body } => body.poll_frame(cx),
            OriginProj::Local { rest } => Poll::Ready(rest.take().map(|bytes| Ok(Frame::data(bytes)))),
        }
    }

    #[inline]
    fn is_end_stream(&self) -> bool {
        match &self.origin {
            Origin::Inner { body } => body.is_end_stream(),
            Origin::Local { rest } => rest.is_none(),
        }
    }

    #[inline]
    fn size_hint(&self) -> SizeHint {
        match &self.origin {
            Origin::Inner { body } => body.size_hint(),
            Origin::Local { rest } => {
                SizeHint::with_exact(rest.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
        }
    }
}
