use std::fmt;

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;

/// A body of more frames than that is not remembered. A frame is a handle of four words besides its bytes, so
/// that a body sent byte by byte would cost many times its limit.
pub(super) const MOST_FRAMES: usize = 1024;

/// What a body has given so far: its frames as they came, without the empty ones.
#[derive(Default)]
pub(super) struct Memory {
    // Most bodies that are remembered are one frame: the list is for the second.
    first: Option<Bytes>,
    rest: Vec<Bytes>,
    trailers: Option<Box<HeaderMap>>,
    bytes: u64,
    // The size that the body said it had before anything was read, if it knew.
    promised: Option<u64>,
}

impl Memory {
    pub(super) fn of_promised(promised: Option<u64>) -> Self {
        Self {
            promised,
            ..Self::default()
        }
    }

    pub(super) fn promised(&self) -> Option<u64> {
        self.promised
    }

    pub(super) fn frames(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest.len()
    }

    pub(super) fn frame(&self, at: usize) -> Option<&Bytes> {
        match at.checked_sub(1) {
            None => self.first.as_ref(),
            Some(at) => self.rest.get(at),
        }
    }

    /// The bytes of all frames from that one on.
    pub(super) fn bytes_from(&self, at: usize) -> u64 {
        (at..self.frames())
            .filter_map(|at| self.frame(at))
            .map(|data| data.len() as u64)
            .sum()
    }

    pub(super) fn trailers(&self) -> Option<&HeaderMap> {
        self.trailers.as_deref()
    }

    /// Is there room for that much more?
    pub(super) fn has_room(&self, data: &Bytes, limit: usize) -> bool {
        let bytes = self.bytes.saturating_add(data.len() as u64);
        bytes <= limit as u64 && (data.is_empty() || self.frames() < MOST_FRAMES)
    }

    pub(super) fn push(&mut self, data: Bytes) {
        if data.is_empty() {
            return;
        }
        self.bytes = self.bytes.saturating_add(data.len() as u64);
        if self.first.is_none() {
            self.first = Some(data);
        } else {
            self.rest.push(data);
        }
    }

    /// Takes a frame that has not been given to the reader yet. Whether it was the last one.
    pub(super) fn take(&mut self, frame: Frame<Bytes>) -> bool {
        match frame.into_data() {
            Ok(data) => {
                self.push(data);
                false
            }
            Err(frame) => {
                self.trailers = frame.into_trailers().ok().map(Box::new);
                true
            }
        }
    }

    pub(super) fn set_trailers(&mut self, trailers: HeaderMap) {
        self.trailers = Some(Box::new(trailers));
    }

    /// Is it as long as the body said that it would be? One that ended early was cut off somewhere: sent again
    /// it would look whole.
    pub(super) fn keeps_promise(&self) -> bool {
        self.promised.is_none_or(|promised| promised == self.bytes)
    }
}

/// Without the bytes: they may be secrets.
impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory")
            .field("frames", &self.frames())
            .field("bytes", &self.bytes)
            .field("trailers", &self.trailers.is_some())
            .finish()
    }
}
