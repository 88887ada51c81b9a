use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;

use super::{RespondBody, Responder};
use crate::error::{Rejected, SplitError};

pin_project! {
    /// The future of [`RespondService`](super::RespondService).
    #[derive(Debug)]
    pub struct RespondFuture<F, R> {
        #[pin]
        state: State<F>,
        responder: R,
    }
}

pin_project! {
    #[project = StateProj]
    #[derive(Debug)]
    enum State<F> {
        Called { #[pin] future: F },
        Refused { rejected: Rejected },
    }
}

impl<F, R> RespondFuture<F, R> {
    pub(super) const fn called(future: F, responder: R) -> Self {
        Self {
            state: State::Called { future },
            responder,
        }
    }

    pub(super) const fn refused(rejected: Rejected, responder: R) -> Self {
        Self {
            state: State::Refused { rejected },
            responder,
        }
    }
}

impl<F, R, B, E> Future for RespondFuture<F, R>
where
    F: Future<Output = Result<http::Response<B>, E>>,
    E: SplitError,
    R: Responder,
{
    type Output = Result<http::Response<RespondBody<B>>, E::Inner>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let rejected = match this.state.project() {
            StateProj::Called { future } => match ready!(future.poll(cx)) {
                Ok(response) => return Poll::Ready(Ok(response.map(RespondBody::inner))),
                Err(error) => error.split(),
            },
            StateProj::Refused { rejected } => Ok(rejected.clone()),
        };
        Poll::Ready(rejected.map(|rejected| refuse(this.responder, rejected)))
    }
}

/// Apart from `poll`, so that what seldom happens is not in the way of what always does.
#[cold]
fn refuse<B>(responder: &impl Responder, rejected: Rejected) -> http::Response<RespondBody<B>> {
    let mut response = responder.respond(&rejected);
    response.extensions_mut().insert(rejected);
    response.map(RespondBody::local)
}
