use std::{
    num::{NonZeroU64, NonZeroU128},
    sync::Arc,
};

use crate::random;

/// Where a call stands in a trace: the ids by which its work is found again, in W3C Trace Context's terms.
///
/// ```
/// use buttress::context::Trace;
///
/// let request = Trace::new();
/// let call = request.child();
/// assert_eq!(call.id(), request.id());
/// assert_eq!(call.parent(), Some(request.span()));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    id: NonZeroU128,
    span: NonZeroU64,
    parent: Option<NonZeroU64>,
    // Seldom there, so it is a pointer.
    carried: Option<Arc<Carried>>,
    flags: u8,
    /// The piece of work that sent the request which is being served, to be known again: in as much as there is room for
    /// without all of a trace being longer. Zeroes if there is none.
    sender: Sender,
}

type Sender = [u8; 7];

/// What came with a trace from outside and goes on as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Carried {
    state: Option<Box<str>>,
    request_id: Option<Box<str>>,
}

impl Trace {
    /// The flag that says that the caller may have recorded the trace, and that others should.
    pub const SAMPLED: u8 = 0b01;
    /// The flag that says that at least the last 56 bits of the id are random.
    pub const RANDOM: u8 = 0b10;

    /// A new trace, of random ids, sampled.
    #[must_use]
    pub fn new() -> Self {
        let (id, span) = random::trace_ids();
        Self::of(id, span).with_flags(Self::SAMPLED | Self::RANDOM)
    }

    /// The place with these ids, not sampled.
    #[must_use]
    pub const fn of(id: NonZeroU128, span: NonZeroU64) -> Self {
        Self {
            id,
            span,
            parent: None,
            carried: None,
            flags: 0,
            sender: [0; 7],
        }
    }

    /// The place of a new piece of work inside this one: a span-id of its own, and this one's as its parent.
    #[must_use]
    pub fn child(&self) -> Self {
        Self {
            span: random::span_id(),
            parent: Some(self.span),
            ..self.clone()
        }
    }

    /// The trace's id.
    #[must_use]
    pub const fn id(&self) -> NonZeroU128 {
        self.id
    }

    /// The id of this piece of work.
    #[must_use]
    pub const fn span(&self) -> NonZeroU64 {
        self.span
    }

    /// The id of the piece of work that this one is part of, here or in the process that called.
    #[must_use]
    pub const fn parent(&self) -> Option<NonZeroU64> {
        self.parent
    }

    /// The flags: [`SAMPLED`](Self::SAMPLED), [`RANDOM`](Self::RANDOM).
    #[must_use]
    pub const fn flags(&self) -> u8 {
        self.flags
    }

    /// Whether the trace is to be recorded.
    #[must_use]
    pub const fn is_sampled(&self) -> bool {
        self.flags & Self::SAMPLED != 0
    }

    /// What other tracing systems have given the trace along (`tracestate`).
    #[must_use]
    pub fn state(&self) -> Option<&str> {
        self.carried.as_ref()?.state.as_deref()
    }

    /// The id by which the caller knows its request (`x-request-id`), if it is another than that of the trace.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        self.carried.as_ref()?.request_id.as_deref()
    }

    /// The same with these flags.
    #[must_use]
    pub const fn with_flags(mut self, flags: u8) -> Self {
        self.flags = flags;
        self
    }

    /// The same in the course of a request that, as it says, was sent by that piece of work.
    #[cfg_attr(not(feature = "trace-id"), allow(dead_code))]
    pub(crate) fn sent_by(mut self, id: NonZeroU128, span: NonZeroU64) -> Self {
        self.sender = digest(id, span);
        self
    }

    /// Whether it was that piece of work which sent the request: so it is said here, and in whatever is done in the
    /// course of it, whoever has begun that.
    #[cfg_attr(not(feature = "trace-id"), allow(dead_code))]
    pub(crate) fn is_sent_by(&self, id: NonZeroU128, span: NonZeroU64) -> bool {
        self.sender == digest(id, span)
    }

    /// The same with a `tracestate`, which is sent on as it is: see that it is one.
    #[must_use]
    pub fn with_state(mut self, state: impl Into<Box<str>>) -> Self {
        self.carried().state = Some(state.into());
        self
    }

    /// The same with a request-id, which is sent on as it is: see that it is one.
    #[must_use]
    pub fn with_request_id(mut self, id: impl Into<Box<str>>) -> Self {
        self.carried().request_id = Some(id.into());
        self
    }

    fn carried(&mut self) -> &mut Carried {
        Arc::make_mut(self.carried.get_or_insert_default())
    }
}

/// Never zeroes. The best of a product are its high bits (Knuth, "The Art of Computer Programming", volume 3, 6.4; the
/// factor is 2⁶⁴ by the golden ratio).
fn digest(id: NonZeroU128, span: NonZeroU64) -> Sender {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let id = id.get();
    let id = (id as u64).wrapping_mul(FACTOR) ^ (id >> 64) as u64;
    let all = (id.wrapping_mul(FACTOR).rotate_left(32) ^ span.get()).wrapping_mul(FACTOR);
    let [_, sender @ ..] = (all | 0x100).to_le_bytes();
    sender
}

impl Default for Trace {
    fn default() -> Self {
        Self::new()
    }
}
