use std::{
    fmt,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;

use super::{Catcher, RecoverBody, catching::Catching};
use crate::{error::CallError, outcome::BodyProtocol};

pin_project! {
    /// The future of [`RecoverService`](super::RecoverService).
    ///
    /// A future that panicked is dropped at once; asked again, this one says
    /// [`Panicked`](crate::RejectionKind::Panicked) again.
    #[must_use = "futures do nothing unless polled"]
    pub struct RecoverFuture<F, P> {
        #[pin]
        inner: Catching<F>,
        protocol: PhantomData<fn() -> P>,
    }
}

impl<F, P> RecoverFuture<F, P> {
    /// Without an inner future it is that of a call that panicked, or was never made.
    #[inline]
    pub(super) fn new(inner: Option<F>, catcher: Catcher) -> Self {
        Self {
            inner: Catching::new(inner, catcher),
            protocol: PhantomData,
        }
    }
}

impl<F, P, R, E> Future for RecoverFuture<F, P>
where
    F: Future<Output = Result<R, E>>,
    P: BodyProtocol<R>,
    E: CallError,
{
    type Output = Result<P::Response<RecoverBody<P::Body>>, E>;

    // Always: an answer that is returned by a call has been in memory.
    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().inner.poll_into(
            cx,
            |response, catcher| P::map_body(response, |body| RecoverBody::new(body, catcher)),
            |error| error,
            E::from,
        )
    }
}

impl<F: fmt::Debug, P> fmt::Debug for RecoverFuture<F, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecoverFuture")
            .field("inner", &self.inner)
            .finish()
    }
}
