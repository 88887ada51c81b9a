use std::task::{Context, Poll, ready};

use tower_service::Service;

use super::{RespondBody, RespondFuture, Responder};
use crate::error::{Rejected, SplitError};

/// The service that [`RespondLayer`](super::RespondLayer) makes.
#[derive(Debug)]
pub struct RespondService<S, R> {
    pub(super) inner: S,
    responder: R,
    /// What `poll_ready` was refused with and the next call is answered with.
    refused: Option<Rejected>,
}

impl<S, R> RespondService<S, R> {
    pub(super) const fn new(inner: S, responder: R) -> Self {
        Self {
            inner,
            responder,
            refused: None,
        }
    }
}

/// A clone is not ready, whether the original is or not, so it does not know of its refusal either.
impl<S: Clone, R: Clone> Clone for RespondService<S, R> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), self.responder.clone())
    }
}

impl<S, R, Request, B> Service<Request> for RespondService<S, R>
where
    S: Service<Request, Response = http::Response<B>>,
    S::Error: SplitError,
    R: Responder + Clone,
{
    type Response = http::Response<RespondBody<B>>;
    type Error = <S::Error as SplitError>::Inner;
    type Future = RespondFuture<S::Future, R>;

    /// A rejection is no reason to throw the service away, which is what an error means here: the service
    /// counts as ready, and the next call is the one that is refused, without the inner service being called.
    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        if self.refused.is_none() {
            if let Err(error) = ready!(self.inner.poll_ready(cx)) {
                self.refused = Some(error.split()?);
            }
        }
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn call(&mut self, request: Request) -> Self::Future {
        let responder = self.responder.clone();
        match self.refused.take() {
            None => RespondFuture::called(self.inner.call(request), responder),
            Some(rejected) => RespondFuture::refused(rejected, responder),
        }
    }
}
