//! How many run, how many may, and whether anybody waits: in one word, so that they are read and changed in one step.

use crate::sync::atomic::{
    AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed},
};

/// The slots of a queue.
///
/// | bits | |
/// |---|---|
/// | 0 to 30 | how many slots are taken |
/// | 31 to 61 | how many there are |
/// | 62 | the queue is closed: nobody new gets one |
/// | 63 | somebody waits: nobody takes one but with the line open |
///
/// # No wake-up is lost
///
/// Bit 63 is set, with the line open, *before* it is seen whether a slot is free; and whoever gives a slot back looks at
/// the same word in the same step. So either the one who wants to wait sees the free slot, or the one who frees it sees
/// that somebody waits, and then hands it on. The bit is cleared, with the line open, when the last has left.
///
/// # A cache line of its own
///
/// Every call writes the word. What is only read would have to be fetched anew each time if it were beside it.
#[repr(align(64))]
pub(super) struct Slots {
    word: AtomicU64,
}

/// The word at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word(u64);

const ONE: u64 = 1;
const SHIFT: u32 = 31;
const MASK: u64 = (1 << SHIFT) - 1;
const CLOSED: u64 = 1 << 62;
const WAITING: u64 = 1 << 63;

/// The most slots there can be.
pub(super) const MOST: u32 = 1_000_000;

impl Word {
    pub(super) fn taken(self) -> u32 {
        (self.0 & MASK) as u32
    }

    pub(super) fn limit(self) -> u32 {
        (self.0 >> SHIFT & MASK) as u32
    }

    pub(super) fn is_closed(self) -> bool {
        self.0 & CLOSED != 0
    }

    pub(super) fn anybody_waits(self) -> bool {
        self.0 & WAITING != 0
    }

    /// Is a slot free, if that many are to be left? One may always run.
    #[inline]
    pub(super) fn has_room(self, left: u32) -> bool {
        self.taken() < self.limit().saturating_sub(left).max(1)
    }
}

impl Slots {
    pub(super) fn new(limit: u32) -> Self {
        Self {
            word: AtomicU64::new(u64::from(limit) << SHIFT),
        }
    }

    #[inline]
    pub(super) fn load(&self) -> Word {
        Word(self.word.load(Acquire))
    }

    /// Takes a slot, leaving so many free, if nobody waits: the way of a call that need not wait.
    #[inline]
    pub(super) fn take(&self, left: u32) -> Option<Word> {
        self.take_unless(WAITING | CLOSED, left)
    }

    /// Takes a slot, leaving so many free, for somebody in the line, which is open.
    pub(super) fn take_for_waiter(&self, left: u32) -> Option<Word> {
        self.take_unless(0, left)
    }

    #[inline]
    fn take_unless(&self, flags: u64, left: u32) -> Option<Word> {
        let mut now = self.word.load(Relaxed);
        loop {
            if now & flags != 0 || !Word(now).has_room(left) {
                return None;
            }
            match self.word.compare_exchange_weak(now, now + ONE, Acquire, Relaxed) {
                Ok(_) => return Some(Word(now + ONE)),
                Err(other) => now = other,
            }
        }
    }

    /// Gives a slot back, and says what there was just before.
    #[inline]
    pub(super) fn give_back(&self) -> Word {
        Word(self.word.fetch_sub(ONE, AcqRel))
    }

    /// Notes that somebody is about to wait. The line is open.
    pub(super) fn note_waiting(&self) -> Word {
        Word(self.word.fetch_or(WAITING, AcqRel))
    }

    /// Notes that nobody waits. The line is open, and empty.
    pub(super) fn note_empty(&self) {
        self.word.fetch_and(!WAITING, AcqRel);
    }

    pub(super) fn close(&self) {
        self.word.fetch_or(CLOSED, AcqRel);
    }

    /// Changes how many there are; fewer than are taken is right: those are not filled again.
    pub(super) fn set_limit(&self, limit: u32) -> u32 {
        // Mostly it is what it was, and nothing is written.
        let with = |word| {
            (Word(word).limit() != limit).then_some(word & !(MASK << SHIFT) | u64::from(limit) << SHIFT)
        };
        let before = self.word.fetch_update(AcqRel, Relaxed, with);
        before.map_or(limit, |word| Word(word).limit())
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// A slot that is given back is free for a moment, until whoever gave it hands it on: who comes just then must not
    /// have it.
    #[test]
    fn while_somebody_waits_the_fast_way_is_closed() {
        let slots = Slots::new(1);
        assert!(slots.take(0).is_some());
        slots.note_waiting();
        assert!(slots.give_back().anybody_waits());
        assert_eq!(slots.take(0), None);
        assert!(slots.take_for_waiter(0).is_some());
        slots.note_empty();
        slots.give_back();
        assert!(slots.take(0).is_some());
        slots.give_back();
        slots.close();
        assert_eq!(slots.take(0), None);
    }
}
