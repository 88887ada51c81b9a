//! The state machine: one atomic word, changed by compare-and-swap alone.
//!
//! ```text
//!   63      61 60            45 44                                             0
//!  ┌──────────┬────────────────┬────────────────────────────────────────────────┐
//!  │  state   │   generation   │                    payload                     │
//!  └──────────┴────────────────┴────────────────────────────────────────────────┘
//!   closed, metrics-only    payload: failures in a row
//!   open                    payload: the tick at which it may be probed
//!   half-open               payload: successful probes
//!   forced-open, disabled   payload: nothing
//! ```
//!
//! State, generation and count change together or not at all, so there is no moment at which a result could be
//! booked to a state that has already ended: every change is a compare-and-swap against a word that still has
//! the generation the call was admitted in.

use std::fmt;

use crate::sync::atomic::{
    AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed},
};

/// The state of a circuit breaker. The table in the [module's documentation](super) says what each does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum State {
    /// Calls pass and are recorded.
    Closed,
    /// Calls are refused until the open time is over.
    Open,
    /// A few calls pass as probes; they decide what comes next.
    HalfOpen,
    /// Calls are refused until it is closed or reset by hand.
    ForcedOpen,
    /// Calls pass and nothing is recorded.
    Disabled,
    /// Calls pass and are recorded, and whatever they say, none is refused.
    MetricsOnly,
}

impl State {
    pub(super) const ALL: [Self; 6] = [
        Self::Closed,
        Self::Open,
        Self::HalfOpen,
        Self::ForcedOpen,
        Self::Disabled,
        Self::MetricsOnly,
    ];

    /// The state in `UPPER_CASE`, as it appears in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "CLOSED",
            Self::Open => "OPEN",
            Self::HalfOpen => "HALF_OPEN",
            Self::ForcedOpen => "FORCED_OPEN",
            Self::Disabled => "DISABLED",
            Self::MetricsOnly => "METRICS_ONLY",
        }
    }

    fn bits(self) -> u64 {
        self as u64
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which life of the breaker a call belongs to. It wraps around after 65 536 changes of state, so a call would
/// have to outlive exactly so many to be taken for a newer one.
pub(super) type Generation = u16;

/// Did `a` begin after `b`?
pub(super) fn is_newer(a: Generation, b: Generation) -> bool {
    let ahead = a.wrapping_sub(b);
    ahead != 0 && ahead < 1 << 15
}

const PAYLOAD_BITS: u32 = 45;
const PAYLOAD: u64 = (1 << PAYLOAD_BITS) - 1;
const STATE_SHIFT: u32 = 61;

/// One value of the machine's word.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Word(u64);

impl Word {
    pub(super) fn new(state: State, generation: Generation, payload: u64) -> Self {
        Self(state.bits() << STATE_SHIFT | u64::from(generation) << PAYLOAD_BITS | payload.min(PAYLOAD))
    }

    #[inline]
    pub(super) fn is_closed(self) -> bool {
        self.0 >> STATE_SHIFT == State::Closed.bits()
    }

    #[inline]
    pub(super) fn is_closed_in(self, generation: Generation) -> bool {
        self.0 >> PAYLOAD_BITS == Self::new(State::Closed, generation, 0).0 >> PAYLOAD_BITS
    }

    #[inline]
    pub(super) fn state(self) -> State {
        // The word is only ever made from a `State`; the table has one entry for each.
        let state = State::ALL.get((self.0 >> STATE_SHIFT) as usize);
        state.copied().unwrap_or(State::MetricsOnly)
    }

    #[inline]
    pub(super) fn generation(self) -> Generation {
        (self.0 >> PAYLOAD_BITS) as Generation
    }

    #[inline]
    pub(super) fn payload(self) -> u64 {
        self.0 & PAYLOAD
    }

    fn with_payload(self, payload: u64) -> Self {
        Self(self.0 & !PAYLOAD | payload.min(PAYLOAD))
    }

    /// The first word of the next generation.
    fn next(self, state: State, payload: u64) -> Self {
        Self::new(state, self.generation().wrapping_add(1), payload)
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.state(), self.generation(), self.payload())
    }
}

/// The state of one breaker.
#[derive(Debug)]
pub(super) struct Machine {
    word: AtomicU64,
}

/// What a success did to a probation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Probation {
    /// Not enough yet.
    GoesOn,
    /// This one closed the circuit.
    Passed,
    /// The generation is over; the success decides nothing.
    Stale,
}

impl Machine {
    pub(super) fn new() -> Self {
        Self {
            word: AtomicU64::new(Word::new(State::Closed, 0, 0).0),
        }
    }

    /// The word as it was at some moment: enough for a look, or for a first guess that a compare-and-swap will
    /// check.
    #[inline]
    pub(super) fn glance(&self) -> Word {
        Word(self.word.load(Relaxed))
    }

    /// The word, with everything that was written before it was.
    #[inline]
    pub(super) fn load(&self) -> Word {
        Word(self.word.load(Acquire))
    }

    /// Begins the next generation, if the word is still `from`.
    pub(super) fn advance(&self, from: Word, state: State, payload: u64) -> Result<Word, Word> {
        let to = from.next(state, payload);
        match self.word.compare_exchange(from.0, to.0, AcqRel, Acquire) {
            Ok(_) => Ok(to),
            Err(now) => Err(Word(now)),
        }
    }

    /// Begins the next generation, provided that `generation` still runs and is in `state`.
    pub(super) fn leave(&self, generation: Generation, state: State, to: State, payload: u64) -> bool {
        let mut word = self.load();
        while word.generation() == generation && word.state() == state {
            match self.advance(word, to, payload) {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
        false
    }

    /// Begins the next generation, whatever the present one is; returns the state that ended.
    pub(super) fn force(&self, to: State, payload: u64) -> State {
        let mut word = self.load();
        loop {
            match self.advance(word, to, payload) {
                Ok(_) => return word.state(),
                Err(now) => word = now,
            }
        }
    }

    /// Makes the run of failures so long, in one attempt: `false` if the word is no longer `from`.
    #[inline]
    pub(super) fn set_streak(&self, from: Word, streak: u64) -> bool {
        // Nothing is written where nothing changes: healthy traffic shares the word by reading.
        from.payload() == streak
            || self
                .word
                .compare_exchange(from.0, from.with_payload(streak).0, Relaxed, Relaxed)
                .is_ok()
    }

    /// Ends a run of failures, in a generation that counts them. `false` if it is over.
    #[inline]
    pub(super) fn clear_streak(&self, generation: Generation) -> bool {
        let mut word = self.glance();
        loop {
            if word.generation() != generation {
                return false;
            }
            // Nothing is written where there is nothing to clear: healthy traffic shares the word by reading.
            if word.payload() == 0 {
                return true;
            }
            let to = word.with_payload(0);
            match self.word.compare_exchange_weak(word.0, to.0, Relaxed, Relaxed) {
                Ok(_) => return true,
                Err(now) => word = Word(now),
            }
        }
    }

    /// Adds a failure to the run, in a generation that counts them; returns its length. `None` if it is over.
    pub(super) fn extend_streak(&self, generation: Generation) -> Option<u64> {
        let mut word = self.glance();
        loop {
            if word.generation() != generation {
                return None;
            }
            let to = word.with_payload(word.payload() + 1);
            match self.word.compare_exchange_weak(word.0, to.0, Relaxed, Relaxed) {
                Ok(_) => return Some(to.payload()),
                Err(now) => word = Word(now),
            }
        }
    }

    /// Adds a success to the probation of `generation`; at `threshold` the circuit closes.
    pub(super) fn pass_probe(&self, generation: Generation, threshold: u64) -> Probation {
        let mut word = self.load();
        loop {
            if word.generation() != generation || word.state() != State::HalfOpen {
                return Probation::Stale;
            }
            let passed = word.payload() + 1;
            let (to, result) = if passed >= threshold {
                (word.next(State::Closed, 0), Probation::Passed)
            } else {
                (word.with_payload(passed), Probation::GoesOn)
            };
            match self.word.compare_exchange_weak(word.0, to.0, AcqRel, Acquire) {
                Ok(_) => return result,
                Err(now) => word = Word(now),
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_word_keeps_its_three_parts_apart() {
        for state in State::ALL {
            for generation in [0, 1, u16::MAX] {
                for payload in [0, 1, PAYLOAD] {
                    let word = Word::new(state, generation, payload);
                    assert_eq!(
                        (word.state(), word.generation(), word.payload()),
                        (state, generation, payload)
                    );
                }
            }
        }
        assert_eq!(Word::new(State::Open, 3, u64::MAX).payload(), PAYLOAD);
    }

    #[test]
    fn of_two_generations_one_is_newer_at_most() {
        assert!(is_newer(1, 0) && is_newer(0, Generation::MAX));
        for apart in [0, 1, 100, 1 << 15, Generation::MAX] {
            let (a, b) = (7_u16.wrapping_add(apart), 7);
            assert!(!(is_newer(a, b) && is_newer(b, a)), "{apart} apart");
        }
    }

    #[test]
    fn a_streak_belongs_to_its_generation() {
        let machine = Machine::new();
        assert_eq!(machine.extend_streak(0), Some(1));
        assert_eq!(machine.extend_streak(0), Some(2));
        assert!(machine.clear_streak(0));
        assert_eq!(machine.extend_streak(0), Some(1));
        machine.force(State::Closed, 0);
        assert_eq!(machine.extend_streak(0), None);
        assert!(!machine.clear_streak(0));
        assert_eq!(machine.extend_streak(1), Some(1));
    }

    #[test]
    fn a_probation_passes_once() {
        let machine = Machine::new();
        machine.force(State::HalfOpen, 0);
        assert_eq!(machine.pass_probe(1, 2), Probation::GoesOn);
        assert_eq!(machine.pass_probe(0, 2), Probation::Stale);
        assert_eq!(machine.pass_probe(1, 2), Probation::Passed);
        assert_eq!(machine.pass_probe(1, 2), Probation::Stale);
        assert_eq!(machine.load().state(), State::Closed);
    }
}
