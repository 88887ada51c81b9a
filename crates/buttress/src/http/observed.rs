use std::{
    fmt, mem,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Buf;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::Http;
use crate::{
    error::{CallError, RejectionKind},
    outcome::{Head, Outcome, Reason, Token},
};

/// What the end of a body says, where its headers have left that open.
///
/// [`Http`] and [`Grpc`](super::Grpc) are two answers; implement it to watch a body of another kind.
pub trait EndOfBody {
    /// The body has ended, without trailers.
    fn ended(&self) -> Outcome;

    /// The body has ended in these trailers.
    fn trailers(&self, trailers: &HeaderMap) -> Outcome;
}

pin_project! {
    /// A response body that carries the [`Token`] of its call and finishes it at the body's real end.
    ///
    /// It ends, once, at whatever comes first: trailers, the end, an error, or the inner body's
    /// [`is_end_stream`](Body::is_end_stream) turning true after a frame, because that is when hyper stops
    /// polling; or, of a body over plain HTTP whose length is known, all of it having come, which is when it stops as well.
    /// A body that panics is a failure. One that is dropped before any of these was cancelled: it
    /// drops its token.
    ///
    /// Data and error type are those of the inner body, frames and size hint go through untouched.
    /// There is no `into_inner`: taking the body out would end the watch, and the call would be booked as
    /// cancelled.
    pub struct Observed<B, T, J = Http> {
        #[pin]
        body: B,
        token: Option<T>,
        // Whether the token has been told of data.
        data: bool,
        // What is still to come of a body whose length is known; else `UNKNOWN`.
        left: u64,
        judge: J,
    }
}

const UNKNOWN: u64 = u64::MAX;

/// What the head of a response says.
pub(super) enum AtHead {
    /// All there is to say.
    Over(Outcome),
    /// The end of the body has yet to decide.
    GoesOn(Head),
}

impl AtHead {
    #[inline]
    pub(super) fn outcome(self) -> Option<Outcome> {
        match self {
            Self::Over(outcome) => Some(outcome),
            Self::GoesOn(_) => None,
        }
    }
}

impl<B, T, J> Observed<B, T, J> {
    /// Watches `body` for `token`; `None` watches nothing. The token should have been told of the
    /// [`head`](Token::head).
    pub const fn new(body: B, token: Option<T>, judge: J) -> Self {
        Self {
            body,
            token,
            data: false,
            left: UNKNOWN,
            judge,
        }
    }

    /// The inner body.
    pub const fn get_ref(&self) -> &B {
        &self.body
    }
}

/// Finishes the token where the result decides already, else sends it on in the body.
#[inline]
pub(super) fn observe<B, E, T, J>(
    result: Result<http::Response<B>, E>,
    token: Option<T>,
    judge: J,
    promised: impl FnOnce(&http::Response<B>) -> Option<u64>,
    at_head: impl FnOnce(&http::Response<B>) -> AtHead,
) -> Result<http::Response<Observed<B, T, J>>, E>
where
    E: CallError,
    T: Token,
    J: EndOfBody,
{
    let response = match result {
        Ok(response) => response,
        Err(error) => {
            if let Some(token) = token {
                token.finish(Outcome::of_error(&error));
            }
            return Err(error);
        }
    };
    let mut left = UNKNOWN;
    let token = token.and_then(|mut token| match at_head(&response) {
        AtHead::Over(outcome) => {
            token.finish(outcome);
            None
        }
        AtHead::GoesOn(head) => {
            token.head(head);
            left = promised(&response).unwrap_or(UNKNOWN);
            if left == 0 {
                // It will not even be asked.
                token.finish(judge.ended());
                return None;
            }
            Some(token)
        }
    });
    Ok(response.map(|body| Observed {
        body,
        token,
        data: false,
        left,
        judge,
    }))
}

impl<B, T, J> Body for Observed<B, T, J>
where
    B: Body,
    T: Token,
    J: EndOfBody,
{
    type Data = B::Data;
    type Error = B::Error;

    #[inline]
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let mut this = self.project();
        if this.token.is_none() {
            return this.body.poll_frame(cx);
        }

        // Whoever catches the panic of a body may hold on to it for long, or forget it: the token must not
        // wait for that.
        let guard = OnPanic(this.token);
        let polled = this.body.as_mut().poll_frame(cx);
        let at_end = match &polled {
            Poll::Ready(Some(Ok(frame))) => !frame.is_trailers() && this.body.is_end_stream(),
            _ => false,
        };
        mem::forget(guard);

        let outcome = match &polled {
            Poll::Pending => None,
            Poll::Ready(None) => Some(this.judge.ended()),
            Poll::Ready(Some(Err(_))) => Some(Outcome::failure(Reason::BodyError)),
            Poll::Ready(Some(Ok(frame))) => {
                let mut is_all = at_end;
                if let (Some(data), Some(token)) = (frame.data_ref(), this.token.as_mut()) {
                    // An empty frame is how some servers end a stream: it is no sign of work done.
                    if !*this.data && data.has_remaining() {
                        *this.data = true;
                        token.data();
                    }
                    if *this.left != UNKNOWN {
                        *this.left = this.left.saturating_sub(data.remaining() as u64);
                        is_all |= *this.left == 0;
                    }
                }
                match frame.trailers_ref() {
                    Some(trailers) => Some(this.judge.trailers(trailers)),
                    None if is_all => Some(this.judge.ended()),
                    None => None,
                }
            }
        };
        if let Some(outcome) = outcome {
            if let Some(token) = this.token.take() {
                token.finish(outcome);
            }
        }
        polled
    }

    #[inline]
    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    #[inline]
    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Finishes the token when it is dropped, which is only when the body panics.
struct OnPanic<'a, T: Token>(&'a mut Option<T>);

impl<T: Token> Drop for OnPanic<'_, T> {
    fn drop(&mut self) {
        if let Some(token) = self.0.take() {
            token.finish(Outcome::failure(Reason::Rejected(RejectionKind::Panicked)));
        }
    }
}

/// A default body that nobody watches. The `with_interceptor` of tonic's generated clients asks for it, to answer a
/// call that its interceptor refused.
impl<B: Default, T, J: Default> Default for Observed<B, T, J> {
    fn default() -> Self {
        Self::new(B::default(), None, J::default())
    }
}

impl<B: fmt::Debug, T, J> fmt::Debug for Observed<B, T, J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observed")
            .field("body", &self.body)
            .field("over", &self.token.is_none())
            .finish()
    }
}
