use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Buf;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::{ClassifyCode, ClassifyHead, EndOfBody, Grpc, Http};
use crate::{
    error::CallError,
    outcome::{Outcome, Protocol, Reason},
    replay::Peek,
};

pin_project! {
    /// A response body that may have been read one frame ahead; its reader does not notice.
    pub struct Peeked<B: Body> {
        #[pin]
        body: B,
        ahead: Option<Ahead<B::Data, B::Error>>,
    }
}

/// What has been read ahead.
enum Ahead<D, E> {
    Data(D),
    // A box, so that a body that has none of it is not the larger for it.
    Trailers(Box<HeaderMap>),
    Error(E),
    /// The end. It stays.
    End,
}

impl<B: Body> Peeked<B> {
    /// A body of which nothing has been read.
    pub const fn new(body: B) -> Self {
        Self { body, ahead: None }
    }

    /// The inner body. What has been read ahead is no longer in it.
    pub const fn get_ref(&self) -> &B {
        &self.body
    }

    /// The trailers, if they are what comes next.
    pub fn trailers(&self) -> Option<&HeaderMap> {
        match &self.ahead {
            Some(Ahead::Trailers(trailers)) => Some(trailers),
            _ => None,
        }
    }
}

/// Of an empty body. tonic's interceptors ask for it.
impl<B: Body + Default> Default for Peeked<B> {
    fn default() -> Self {
        Self::new(B::default())
    }
}

impl<B: Body + Unpin> Peeked<B> {
    /// Polls the body, if nothing of it has been read ahead, and says what `judge` thinks of what came: `None` if
    /// nothing has, or data.
    fn look<J: EndOfBody>(&mut self, judge: &J, cx: &mut Context<'_>) -> Option<Outcome> {
        if self.ahead.is_none() {
            self.ahead = match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Pending => None,
                Poll::Ready(None) => Some(Ahead::End),
                Poll::Ready(Some(Err(error))) => Some(Ahead::Error(error)),
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => Some(Ahead::Data(data)),
                    // There are only these two kinds of frames.
                    Err(frame) => frame.into_trailers().ok().map(Box::new).map(Ahead::Trailers),
                },
            };
        }
        match self.ahead.as_ref()? {
            Ahead::Data(_) => None,
            Ahead::Trailers(trailers) => Some(judge.trailers(trailers)),
            Ahead::Error(_) => Some(Outcome::failure(Reason::BodyError)),
            Ahead::End => Some(judge.ended()),
        }
    }
}

impl<B: Body> Body for Peeked<B> {
    type Data = B::Data;
    type Error = B::Error;

    #[inline]
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = self.project();
        match this.ahead.take() {
            None => this.body.poll_frame(cx),
            Some(Ahead::Data(data)) => Poll::Ready(Some(Ok(Frame::data(data)))),
            Some(Ahead::Trailers(trailers)) => Poll::Ready(Some(Ok(Frame::trailers(*trailers)))),
            Some(Ahead::Error(error)) => Poll::Ready(Some(Err(error))),
            Some(Ahead::End) => {
                // A body need not bear to be asked again after its end.
                *this.ahead = Some(Ahead::End);
                Poll::Ready(None)
            }
        }
    }

    #[inline]
    fn is_end_stream(&self) -> bool {
        match &self.ahead {
            None => self.body.is_end_stream(),
            Some(Ahead::End) => true,
            Some(_) => false,
        }
    }

    #[inline]
    fn size_hint(&self) -> SizeHint {
        match &self.ahead {
            Some(Ahead::Data(data)) => {
                let (ahead, rest) = (data.remaining() as u64, self.body.size_hint());
                let mut hint = SizeHint::new();
                hint.set_lower(rest.lower().saturating_add(ahead));
                if let Some(upper) = rest.upper() {
                    hint.set_upper(upper.saturating_add(ahead));
                }
                hint
            }
            Some(Ahead::End) => SizeHint::with_exact(0),
            _ => self.body.size_hint(),
        }
    }
}

impl<B: Body + fmt::Debug> fmt::Debug for Peeked<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peeked")
            .field("body", &self.body)
            .field("read_ahead", &self.ahead.is_some())
            .finish()
    }
}

/// In HTTP the head says whether to call again: no body is looked at, and none is wrapped.
impl<B, E, C> Peek<http::Response<B>, E> for Http<C>
where
    B: Body,
    E: CallError,
    C: ClassifyHead + Clone,
{
    type Peeked = http::Response<B>;

    #[inline]
    fn unread(&self, response: http::Response<B>) -> Self::Peeked {
        response
    }

    #[inline]
    fn peek(
        &self,
        result: Result<http::Response<B>, E>,
        _: &mut Context<'_>,
    ) -> (Result<Self::Peeked, E>, Option<Outcome>) {
        let outcome = self.verdict(&result);
        (result, outcome)
    }
}

/// Trailers that are there already decide as those would that came with the head, and so does a stream that is at
/// its end, or broken, already.
impl<B, E, C> Peek<http::Response<B>, E> for Grpc<C>
where
    B: Body + Unpin,
    E: CallError,
    C: ClassifyCode + Clone,
{
    type Peeked = http::Response<Peeked<B>>;

    #[inline]
    fn unread(&self, response: http::Response<B>) -> Self::Peeked {
        response.map(Peeked::new)
    }

    #[inline]
    fn peek(
        &self,
        result: Result<http::Response<B>, E>,
        cx: &mut Context<'_>,
    ) -> (Result<Self::Peeked, E>, Option<Outcome>) {
        let at_head = self.verdict(&result);
        let mut result = result.map(|response| response.map(Peeked::new));
        let outcome = match &mut result {
            Ok(response) if at_head.is_none() => response.body_mut().look(self, cx),
            _ => at_head,
        };
        (result, outcome)
    }
}
