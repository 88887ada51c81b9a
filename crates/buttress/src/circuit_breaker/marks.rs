use std::fmt;

use super::state::Generation;

/// What part a call has in the state it was admitted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Ordinary,
    /// Holds a slot of the probation.
    Probe,
    /// Was a probe, and has counted for the probation: its stream goes on.
    Proven,
    /// Was not let in.
    Refused,
}

/// How much of a good answer has been seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    Nothing,
    /// Good headers that promise data.
    Promising,
    /// Good headers that are proof enough once nobody wants the body, or data after good headers.
    Proof,
}

/// The small things that are known of a call, in one word.
///
/// A call moves from its service into a future and on into a body, and each move copies it. Were these the small
/// fields that they are, the processor would have to wait each time, for it cannot read a word whose parts it has
/// only just written: this is what most of a call's time went into.
///
/// ```text
///   63   48  47  46 23   22      21     20  19    18 17  16 15           0
///  ┌───────┬────┬─────┬───────┬────────┬──────┬────────┬──────┬────────────┐
///  │ slot  │call│     │ begun │ inside │ slow │progress│ role │ generation │
///  └───────┴────┴─────┴───────┴────────┴──────┴────────┴──────┴────────────┘
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Marks(u64);

const ROLE: u32 = 16;
const PROGRESS: u32 = 18;
const SLOW: u64 = 1 << 20;
const INSIDE: u64 = 1 << 21;
const BEGUN: u64 = 1 << 22;
const SLOT: u32 = 48;
const TWO_BITS: u64 = 3;
/// Set where marks travel as a plain word, so that such a word is never 0.
const IS_CALL: u64 = 1 << 47;

impl Marks {
    /// An ordinary call of which nothing is known yet.
    #[inline]
    pub(super) const fn new(generation: Generation) -> Self {
        Self(generation as u64)
    }

    /// The word, which is not 0.
    #[inline]
    pub(super) const fn to_word(self) -> u64 {
        self.0 | IS_CALL
    }

    /// The marks in a word, unless it is 0.
    #[inline]
    pub(super) const fn of_word(word: u64) -> Option<Self> {
        if word == 0 {
            None
        } else {
            Some(Self(word & !IS_CALL))
        }
    }

    /// Is it an ordinary call that was not slow up to its headers?
    #[inline]
    pub(super) const fn is_usual(self) -> bool {
        self.0 & (TWO_BITS << ROLE | SLOW) == 0
    }

    #[inline]
    pub(super) const fn generation(self) -> Generation {
        self.0 as Generation
    }

    pub(super) fn set_generation(&mut self, generation: Generation) {
        self.0 = self.0 & !u64::from(Generation::MAX) | u64::from(generation);
    }

    /// Which of the probation's slots it holds, if it is a probe.
    pub(super) const fn slot(self) -> u16 {
        (self.0 >> SLOT) as u16
    }

    pub(super) const fn set_slot(&mut self, slot: u16) {
        self.0 = self.0 << 16 >> 16 | (slot as u64) << SLOT;
    }

    #[inline]
    pub(super) const fn role(self) -> Role {
        match self.0 >> ROLE & TWO_BITS {
            0 => Role::Ordinary,
            1 => Role::Probe,
            2 => Role::Proven,
            _ => Role::Refused,
        }
    }

    pub(super) const fn set_role(&mut self, role: Role) {
        self.0 = self.0 & !(TWO_BITS << ROLE) | (role as u64) << ROLE;
    }

    #[inline]
    pub(super) const fn progress(self) -> Progress {
        match self.0 >> PROGRESS & TWO_BITS {
            0 => Progress::Nothing,
            1 => Progress::Promising,
            _ => Progress::Proof,
        }
    }

    #[inline]
    pub(super) const fn set_progress(&mut self, progress: Progress) {
        self.0 = self.0 & !(TWO_BITS << PROGRESS) | (progress as u64) << PROGRESS;
    }

    #[inline]
    pub(super) const fn slow(self) -> bool {
        self.0 & SLOW != 0
    }

    #[inline]
    pub(super) const fn set_slow(&mut self) {
        self.0 |= SLOW;
    }

    /// Is the inner service being called or polled?
    pub(super) const fn inside(self) -> bool {
        self.0 & INSIDE != 0
    }

    #[inline]
    pub(super) const fn set_inside(&mut self, inside: bool) {
        self.0 = self.0 & !INSIDE | if inside { INSIDE } else { 0 };
    }

    /// Has anybody begun to make the call? One that was let in may be kept and never made.
    pub(super) const fn begun(self) -> bool {
        self.0 & BEGUN != 0
    }

    #[inline]
    pub(super) const fn set_begun(&mut self) {
        self.0 |= BEGUN;
    }

    /// [Begun](Self::set_begun), and [inside](Self::set_inside).
    #[inline]
    pub(super) const fn set_polled(&mut self) {
        self.0 |= BEGUN | INSIDE;
    }
}

impl fmt::Debug for Marks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Marks")
            .field("generation", &self.generation())
            .field("slot", &self.slot())
            .field("role", &self.role())
            .field("progress", &self.progress())
            .field("slow", &self.slow())
            .field("inside", &self.inside())
            .field("begun", &self.begun())
            .finish()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn marks_keep_their_parts_apart() {
        for generation in [0, 1, Generation::MAX] {
            for role in [Role::Ordinary, Role::Probe, Role::Proven, Role::Refused] {
                for progress in [Progress::Nothing, Progress::Promising, Progress::Proof] {
                    for (slow, inside) in [(false, false), (false, true), (true, false), (true, true)] {
                        let mut marks = Marks::new(!generation);
                        // Each is set over another, so that what was there must go.
                        marks.set_role(Role::Proven);
                        marks.set_progress(Progress::Promising);
                        marks.set_inside(!inside);
                        marks.set_slot(generation);
                        marks.set_generation(generation);
                        marks.set_role(role);
                        marks.set_progress(progress);
                        marks.set_inside(inside);
                        marks.set_slot(!generation);
                        if slow {
                            marks.set_slow();
                        }
                        assert_eq!(
                            (marks.generation(), marks.slot(), marks.role(), marks.progress()),
                            (generation, !generation, role, progress)
                        );
                        assert_eq!((marks.slow(), marks.inside()), (slow, inside));
                        assert!(!marks.begun());
                        assert_eq!(marks.is_usual(), role == Role::Ordinary && !slow);
                    }
                }
            }
        }
    }
}
