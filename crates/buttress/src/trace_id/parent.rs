use std::num::{NonZeroU64, NonZeroU128};

use super::hex;
use crate::context::Trace;

/// `traceparent`: the trace that a request is part of, and the piece of work that sent it.
///
/// # Reading
///
/// By the letter of W3C [Trace Context], level 2: `version-trace_id-parent_id-flags`, all in hexadecimal digits in
/// lower case, neither id all zeroes. Version `00` is that and nothing more; a later one may go on after another dash,
/// and is read as far as it is known; `ff` is none. Of the flags, those that are known are kept.
///
/// [Trace Context]: https://www.w3.org/TR/trace-context-2/
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TraceParent {
    /// The trace's id.
    pub trace_id: NonZeroU128,
    /// The id of the piece of work that sent the request.
    pub parent_id: NonZeroU64,
    /// [`Trace::SAMPLED`] and [`Trace::RANDOM`].
    pub flags: u8,
}

/// The length of version 00, and of what every later one begins with.
pub(super) const LENGTH: usize = 55;
/// Where in it the trace-id stands.
pub(super) const TRACE_ID: std::ops::Range<usize> = 3..35;

impl TraceParent {
    /// Reads a header's value. Blanks around it are not part of it.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        let value = trim(value);
        let (head, rest) = value.split_first_chunk::<LENGTH>()?;
        let dashes = [head[2], head[35], head[52]];
        if dashes != *b"---" {
            return None;
        }
        let version = hex::read_8(head[..2].try_into().ok()?)?;
        let known = match version {
            0x00 => rest.is_empty(),
            0xff => false,
            _ => matches!(rest, [] | [b'-', ..]),
        };
        if !known {
            return None;
        }
        let trace_id = hex::read_128(head[TRACE_ID].try_into().ok()?)?;
        let parent_id = hex::read_64(head[36..52].try_into().ok()?)?;
        let flags = hex::read_8(head[53..].try_into().ok()?)?;
        Some(Self {
            trace_id: NonZeroU128::new(trace_id)?,
            parent_id: NonZeroU64::new(parent_id)?,
            flags: flags & (Trace::SAMPLED | Trace::RANDOM),
        })
    }

    /// Version 00 of the header, for work that is sent by the given place in a trace.
    #[must_use]
    pub fn of(trace: &Trace) -> Self {
        Self {
            trace_id: trace.id(),
            parent_id: trace.span(),
            flags: trace.flags(),
        }
    }

    /// The header's value, in version 00.
    #[inline]
    #[must_use]
    pub fn to_bytes(self) -> [u8; LENGTH] {
        let mut value = *b"00-00000000000000000000000000000000-0000000000000000-00";
        value[TRACE_ID].copy_from_slice(&hex::of_128(self.trace_id.get()));
        value[36..52].copy_from_slice(&hex::of_64(self.parent_id.get()));
        value[53..].copy_from_slice(&hex::of_8(self.flags));
        value
    }
}

/// Without the blanks around it, as HTTP has them: spaces and tabs.
pub(super) fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}
