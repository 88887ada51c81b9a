use std::{
    fmt, mem,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::{
    SavedBody,
    first::{First, Then},
    memory::Memory,
};
use crate::error::BoxError;

/// A request body that can be sent again.
///
/// The first attempt streams: what the caller's body gives is passed on as it comes, and remembered on the way.
/// Once its end has gone out too, later attempts read from memory: the same bytes in the same frames (without
/// empty ones) and the same trailers, and they know their size exactly if the first did, so that HTTP/1 frames them
/// alike. An empty body, and one of known size that is there in one piece, are kept without an allocation.
///
/// # What the caller's body notices
///
/// Nothing, but for two polls. One of *exactly* known size within the limit is asked for its first frame when it is
/// saved, to find out whether that is all: where such a body comes from the network, this is where a client that
/// waits for `100 Continue` is told to go on, though a layer further in may refuse the call yet. All others are
/// not touched before the transport asks. And after the last byte of a body that knows its size it is asked for its
/// end at once, because a transport that counts bytes would not.
///
/// # Errors
///
/// The caller's body's own, boxed. A body that broke off is not sent again.
pub struct ReplayBody<B>(Kind<B>);

enum Kind<B> {
    /// Sent once.
    Pass(B),
    /// What there is yet to send of a body that is one frame, or none.
    Whole(Option<Bytes>),
    First(First<B>),
    /// Of a memory that is complete, what comes from a frame on; trailers count as the frame after the last.
    Remembered {
        memory: Arc<OnceLock<Memory>>,
        at: usize,
        bytes: u64,
    },
    Broken(Option<BoxError>),
}

impl<B> ReplayBody<B> {
    /// A body that is sent once and not remembered.
    pub const fn pass(body: B) -> Self {
        Self(Kind::Pass(body))
    }

    pub(super) const fn whole(data: Option<Bytes>) -> Self {
        Self(Kind::Whole(data))
    }

    /// Of a memory that is complete.
    pub(super) fn remembered(memory: Arc<OnceLock<Memory>>, at: usize) -> Self {
        let bytes = memory.get().map_or(0, |memory| memory.bytes_from(at));
        Self(Kind::Remembered { memory, at, bytes })
    }

    /// The caller's own body, if this one does no more than pass it on.
    ///
    /// # Errors
    ///
    /// This body, if it does.
    pub fn try_into_passed(self) -> Result<B, Self> {
        match self.0 {
            Kind::Pass(body) => Ok(body),
            kind => Err(Self(kind)),
        }
    }

    /// All of the body, where it is there in one piece: for a host that can take bytes without a box.
    ///
    /// # Errors
    ///
    /// This body, where it is not.
    pub fn try_into_bytes(self) -> Result<Bytes, Self> {
        match self.0 {
            Kind::Whole(data) => Ok(data.unwrap_or_default()),
            kind => Err(Self(kind)),
        }
    }

    fn go_on(&mut self, then: Then) {
        // Nobody sees what stands here in between.
        let Kind::First(first) = mem::replace(&mut self.0, Kind::Whole(None)) else {
            return;
        };
        self.0 = match then {
            Then::GoOn => Kind::First(first),
            Then::Pass => Kind::Pass(first.into_source()),
            Then::Remembered { at } => Self::remembered(Arc::clone(first.complete()), at).0,
            Then::Broken(error) => Kind::Broken(error),
        };
    }
}

impl<B> ReplayBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    /// The body for a first attempt, and what later ones are made of: nothing where the body is known to be longer
    /// than `limit` bytes, and so is not remembered. Never waits.
    pub fn save(mut body: B, limit: usize) -> (Self, Option<SavedBody>) {
        if body.is_end_stream() {
            return (Self::whole(None), Some(SavedBody::whole(None)));
        }
        let hint = body.size_hint();
        if hint.lower() > limit as u64 {
            return (Self::pass(body), None);
        }
        let size = hint.exact();
        let mut memory = Memory::of_promised(size);
        let mut ended = false;
        if size.is_some_and(|size| size > 0) {
            // There is no task here to wake. The transport's first poll leaves its own waker.
            match Pin::new(&mut body).poll_frame(&mut Context::from_waker(Waker::noop())) {
                Poll::Pending => {}
                Poll::Ready(None) => return (Self::pass(body), None),
                Poll::Ready(Some(Err(error))) => return (Self(Kind::Broken(Some(error.into()))), None),
                Poll::Ready(Some(Ok(frame))) => ended = memory.take(frame) || body.is_end_stream(),
            }
        }
        if ended && memory.keeps_promise() {
            // One poll, one frame.
            if let Some(data) = memory.frame(0) {
                let saved = SavedBody::whole(Some(data.clone()));
                return (Self::whole(Some(data.clone())), Some(saved));
            }
        }
        let complete = Arc::new(OnceLock::new());
        let saved = SavedBody::remembered(Arc::clone(&complete));
        let mut first = First::new(body, memory, limit, complete);
        let then = if ended { first.finish(0) } else { Then::GoOn };
        let mut body = Self(Kind::First(first));
        body.go_on(then);
        (body, Some(saved))
    }
}

impl<B> ReplayBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    /// [`save`](Self::save) for a body that somebody may have saved before: then there is nothing more to be
    /// remembered, and what is remembered already is shared, whatever the limit. One that is only passed through is
    /// saved now.
    pub fn save_again(self, limit: usize) -> (Self, Option<SavedBody>) {
        let saved = match self.0 {
            Kind::Pass(body) => return Self::save(body, limit),
            Kind::Whole(ref data) => Some(SavedBody::whole(data.clone())),
            Kind::First(ref first) => Some(SavedBody::remembered(Arc::clone(first.complete()))),
            Kind::Remembered {
                ref memory, at: 0, ..
            } => Some(SavedBody::remembered(Arc::clone(memory))),
            Kind::Remembered { .. } | Kind::Broken(_) => None,
        };
        (self, saved)
    }
}

impl<B> Body for ReplayBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.0 {
            Kind::Pass(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            Kind::Whole(data) => Poll::Ready(data.take().map(|data| Ok(Frame::data(data)))),
            Kind::First(first) => {
                let (polled, then) = first.poll(cx);
                if !matches!(then, Then::GoOn) {
                    self.go_on(then);
                }
                polled
            }
            Kind::Remembered { memory, at, bytes } => {
                let frame = memory.get().and_then(|memory| match memory.frame(*at) {
                    Some(data) => {
                        *bytes -= data.len() as u64;
                        Some(Frame::data(data.clone()))
                    }
                    None if *at == memory.frames() => memory.trailers().cloned().map(Frame::trailers),
                    None => None,
                });
                *at += usize::from(frame.is_some());
                Poll::Ready(frame.map(Ok))
            }
            Kind::Broken(error) => Poll::Ready(error.take().map(Err)),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Pass(body) => body.is_end_stream(),
            Kind::Whole(data) => data.is_none(),
            Kind::First(first) => first.is_end_stream(),
            Kind::Remembered { memory, at, .. } => memory.get().is_none_or(|memory| {
                let frames = memory.frames() + usize::from(memory.trailers().is_some());
                *at >= frames
            }),
            Kind::Broken(error) => error.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Pass(body) => body.size_hint(),
            Kind::Whole(data) => SizeHint::with_exact(data.as_ref().map_or(0, |data| data.len() as u64)),
            Kind::First(first) => first.size_hint(),
            Kind::Remembered { memory, bytes, .. } => {
                let exact = memory.get().is_some_and(|memory| memory.promised().is_some());
                if exact || self.is_end_stream() {
                    SizeHint::with_exact(*bytes)
                } else {
                    // A size would make HTTP/1 send a `content-length` where the first attempt sent chunks, and
                    // behind a `content-length` there is no place for trailers.
                    let mut hint = SizeHint::new();
                    hint.set_lower(*bytes);
                    hint
                }
            }
            Kind::Broken(None) => SizeHint::with_exact(0),
            Kind::Broken(Some(_)) => SizeHint::new(),
        }
    }
}

/// Without the bytes: they may be secrets.
impl<B> fmt::Debug for ReplayBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::Pass(_) => "ReplayBody(passed through)",
            Kind::Whole(_) => "ReplayBody(whole)",
            Kind::First(_) => "ReplayBody(first attempt)",
            Kind::Remembered { .. } => "ReplayBody(remembered)",
            Kind::Broken(_) => "ReplayBody(broken)",
        })
    }
}
