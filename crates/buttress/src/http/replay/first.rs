use std::{
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::memory::Memory;
use crate::error::BoxError;

/// The body of a first attempt: it streams, and remembers.
///
/// It owns the caller's body and, until the end, the memory too. Only what is complete is put where later attempts
/// find it, once, by the one who has read it all. So nothing is ever shared that still changes: there is no lock,
/// nobody to wake when another attempt begins, and two attempts that are alive together cannot take frames from
/// each other. It costs nothing that is wanted, for a body that is still being sent is not sent again.
pub(super) struct First<B> {
    source: B,
    memory: Memory,
    // How many of the remembered frames the reader has: all, but for what was read ahead.
    given: usize,
    limit: usize,
    complete: Arc<OnceLock<Memory>>,
}

/// What becomes of the body after a poll.
pub(super) enum Then {
    /// There is more to read.
    GoOn,
    /// It is too long to be remembered.
    Pass,
    /// Its end has been seen; whoever reads on reads from memory, from that frame on.
    Remembered { at: usize },
    /// It cannot be read further; the error, if the reader has yet to see it.
    Broken(Option<BoxError>),
}

type Polled = Poll<Option<Result<Frame<Bytes>, BoxError>>>;

impl<B> First<B> {
    /// The reader gets what is in `memory` already before anything else.
    pub(super) fn new(source: B, memory: Memory, limit: usize, complete: Arc<OnceLock<Memory>>) -> Self {
        Self {
            source,
            memory,
            given: 0,
            limit,
            complete,
        }
    }

    pub(super) fn into_source(self) -> B {
        self.source
    }

    pub(super) fn complete(&self) -> &Arc<OnceLock<Memory>> {
        &self.complete
    }

    /// The end has been seen: others may have it now. This reader has the frames before `at` already.
    pub(super) fn finish(&mut self, at: usize) -> Then {
        if !self.memory.keeps_promise() {
            // For this reader alone: others never find theirs.
            self.complete = Arc::default();
        }
        // The only writer, and it comes here once: never contended, never refused.
        let _ = self.complete.set(std::mem::take(&mut self.memory));
        Then::Remembered { at }
    }
}

impl<B> First<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> (Polled, Then) {
        if let Some(data) = self.memory.frame(self.given) {
            self.given += 1;
            return (Poll::Ready(Some(Ok(Frame::data(data.clone())))), Then::GoOn);
        }
        let frame = match Pin::new(&mut self.source).poll_frame(cx) {
            Poll::Pending => return (Poll::Pending, Then::GoOn),
            Poll::Ready(None) => {
                let then = self.finish(self.memory.frames() + 1);
                return (Poll::Ready(None), then);
            }
            Poll::Ready(Some(Err(error))) => {
                return (Poll::Ready(Some(Err(error.into()))), Then::Broken(None));
            }
            Poll::Ready(Some(Ok(frame))) => frame,
        };
        let then = if let Some(data) = frame.data_ref() {
            if self.memory.has_room(data, self.limit) {
                self.memory.push(data.clone());
                self.given = self.memory.frames();
                self.after_data(cx)
            } else {
                Then::Pass
            }
        } else if let Some(trailers) = frame.trailers_ref() {
            self.memory.set_trailers(trailers.clone());
            self.finish(self.memory.frames() + 1)
        } else {
            // A kind of frame that is not known here cannot be remembered.
            Then::Pass
        };
        (Poll::Ready(Some(Ok(frame))), then)
    }

    /// Some data has gone out: was it the last?
    ///
    /// A reader that knows the size, as HTTP/1 does by `content-length`, stops after the last byte and never asks
    /// for the end, so this does.
    fn after_data(&mut self, cx: &mut Context<'_>) -> Then {
        if self.source.is_end_stream() {
            return self.finish(self.given);
        }
        if self.source.size_hint().exact() != Some(0) {
            return Then::GoOn;
        }
        match Pin::new(&mut self.source).poll_frame(cx) {
            Poll::Pending if self.source.is_end_stream() => self.finish(self.given),
            Poll::Pending => Then::GoOn,
            Poll::Ready(None) => self.finish(self.given),
            Poll::Ready(Some(Err(error))) => Then::Broken(Some(error.into())),
            Poll::Ready(Some(Ok(frame))) => {
                if self.memory.take(frame) || self.source.is_end_stream() {
                    self.finish(self.given)
                } else {
                    Then::GoOn
                }
            }
        }
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.given == self.memory.frames() && self.source.is_end_stream()
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        let held = self.memory.bytes_from(self.given);
        let hint = self.source.size_hint();
        let mut sum = SizeHint::new();
        sum.set_lower(hint.lower().saturating_add(held));
        if let Some(upper) = hint.upper() {
            sum.set_upper(upper.saturating_add(held));
        }
        sum
    }
}
