use std::cell::Cell;

use super::{
    CallContext,
    deadline::{DEADLINE, nearest},
    with_current,
};
use crate::clock::Instant;

thread_local! {
    /// Unlike a context it costs no allocation to set.
    pub(super) static MARK: Cell<Mark> = const { Cell::new(Mark { attempt: 0, is_hedged: false }) };

    /// Where the attempts before it have been, see [`Tally::tried`](super::Tally::tried).
    static TRIED: Cell<u64> = const { Cell::new(0) };
}

/// The attempt that is being polled.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    /// 0 for none.
    pub(super) attempt: u32,
    pub(super) is_hedged: bool,
}

/// What a layer that repeats calls has to know of what it runs in.
#[cfg_attr(not(any(feature = "hedge", feature = "retry")), allow(dead_code))]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Surroundings {
    /// Which attempt of a layer further out it is part of; 1 if there is none.
    pub(crate) attempt: u32,
    /// Whether a layer further out repeats the call if it fails.
    pub(crate) is_repeated: bool,
    /// Whether a layer further out hedges it.
    pub(crate) is_hedged: bool,
    /// That of the current context.
    pub(crate) deadline: Option<Instant>,
    /// Whether there is a current context.
    pub(crate) has_context: bool,
}

impl Surroundings {
    #[cfg_attr(not(any(feature = "hedge", feature = "retry")), allow(dead_code))]
    #[inline]
    pub(crate) fn look() -> Self {
        let nothing = Self {
            attempt: 1,
            is_repeated: false,
            is_hedged: false,
            deadline: None,
            has_context: false,
        };
        let mut around = with_current(|context| Self {
            attempt: context.attempt,
            is_repeated: context.is_repeated(),
            is_hedged: context.is_hedged,
            deadline: context.deadline,
            has_context: true,
        })
        .unwrap_or(nothing);
        let mark = MARK.get();
        if mark.attempt > 0 {
            around.attempt = mark.attempt;
            around.is_repeated = true;
            around.is_hedged |= mark.is_hedged;
        }
        around.deadline = nearest(around.deadline, DEADLINE.get());
        around
    }
}

/// Marks what runs until it is dropped as part of an attempt.
#[cfg_attr(not(any(feature = "hedge", feature = "retry")), allow(dead_code))]
#[derive(Debug)]
#[must_use = "the mark is gone when this is dropped"]
pub(crate) struct InAttempt {
    outer: Mark,
    /// `None` where the attempt is one of several that the layer further out takes for its one.
    outer_tried: Option<u64>,
}

impl InAttempt {
    #[cfg_attr(not(feature = "retry"), allow(dead_code))]
    #[inline]
    pub(crate) fn enter(attempt: u32) -> Self {
        let outer = MARK.get();
        MARK.set(Mark { attempt, ..outer });
        let outer_tried = Some(TRIED.replace(0));
        Self { outer, outer_tried }
    }

    /// The same, of a call that is hedged.
    #[cfg_attr(not(feature = "hedge"), allow(dead_code))]
    #[inline]
    pub(crate) fn enter_hedged(attempt: u32) -> Self {
        let mark = Mark {
            attempt,
            is_hedged: true,
        };
        let outer = MARK.replace(mark);
        // Inside of a retry, that remembers where both of its attempts have been.
        let outer_tried = (outer.attempt == 0).then(|| TRIED.replace(0));
        Self { outer, outer_tried }
    }

    /// Tells it where the attempts before it have been.
    #[cfg_attr(not(feature = "retry"), allow(dead_code))]
    #[inline]
    pub(crate) fn with_tried(self, tried: u64) -> Self {
        TRIED.set(tried);
        self
    }

    /// Removes the mark, and says where the attempts have been by now.
    #[cfg_attr(not(feature = "retry"), allow(dead_code))]
    #[inline]
    pub(crate) fn leave(self) -> u64 {
        TRIED.get()
    }
}

impl Drop for InAttempt {
    #[inline]
    fn drop(&mut self) {
        MARK.set(self.outer);
        if let Some(tried) = self.outer_tried {
            TRIED.set(tried);
        }
    }
}

/// Where the attempts at the current call have been, see [`Tally::tried`].
#[cfg_attr(not(feature = "pool"), allow(dead_code))]
#[inline]
pub(crate) fn tried() -> u64 {
    TRIED.get() | with_current(|context| context.tally.tried()).unwrap_or(0)
}

/// Notes that an attempt at the current call goes to the endpoint of that slot.
#[cfg_attr(not(feature = "pool"), allow(dead_code))]
#[inline]
pub(crate) fn add_tried(slot: u8) {
    // A mark that nobody will remove is not made.
    if MARK.get().attempt > 0 {
        TRIED.set(TRIED.get() | 1 << (slot & 63));
    }
    // Nobody keeps a tally where there is no context.
    let _ = with_current(|context| context.tally.add_tried(slot));
}

/// The number of the current attempt, 1 if nothing repeats the call.
#[cfg_attr(not(feature = "pool"), allow(dead_code))]
#[inline]
pub(crate) fn current_attempt() -> u32 {
    let marked = MARK.get().attempt;
    marked.max(with_current(CallContext::attempt).unwrap_or(1)).max(1)
}
