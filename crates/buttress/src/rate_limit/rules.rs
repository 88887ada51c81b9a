//! The rule in force, and how it is changed while calls are being decided.
//!
//! A word of state means something only under the rule that it was written under. So each word carries the *epoch* of
//! its rule in its two lowest bits, and the last three rules are kept. Whoever finds a word of an older epoch than the
//! present one converts it in the same compare-and-swap by which it takes its permits; so a change is exact for each
//! call, whatever the moment, and costs the others nothing but the comparison.

use super::{Algorithm, Limit, gcra};
use crate::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

const EPOCH_BITS: u32 = u64::BITS - super::meter::STATE_BITS;
const EPOCHS: u64 = 3;
/// One more than is used, so that an index need not be checked.
const SLOTS: usize = 1 << EPOCH_BITS;

/// A word that nobody may write any more: its place in the map has been given up. Its epoch never is the present one.
pub(super) const SEALED: u64 = u64::MAX;

/// What an algorithm has to know of a limit, in numbers that it likes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    /// Units of account in a nanosecond.
    pub(super) speed: u64,
    /// Token bucket, leaky: units a permit. Windows: their nanoseconds.
    pub(super) price: u64,
    /// Token bucket: the units of a full bucket. Leaky: 0. Windows: the permits in one.
    pub(super) room: u64,
}

/// The last rules. They are changed by one thread at a time.
#[derive(Debug)]
pub(super) struct Rules {
    present: AtomicU64,
    slots: [[AtomicU64; 3]; SLOTS],
}

impl Rule {
    pub(super) fn of(limit: &Limit, algorithm: Algorithm) -> Self {
        let per = u64::try_from(limit.per().as_nanos()).unwrap_or(u64::MAX);
        match algorithm {
            Algorithm::TokenBucket => gcra::rule(limit.permits(), per, Some(limit.at_once())),
            Algorithm::Leaky => gcra::rule(limit.permits(), per, None),
            Algorithm::SlidingWindowLog | Algorithm::SlidingWindowCounter => Self {
                speed: 1,
                price: per,
                room: limit.permits(),
            },
        }
    }
}

impl Rules {
    pub(super) fn new(rule: Rule) -> Self {
        let slot = || [rule.speed, rule.price, rule.room].map(AtomicU64::new);
        Self {
            present: AtomicU64::new(0),
            slots: std::array::from_fn(|_| slot()),
        }
    }

    #[inline]
    pub(super) fn present(&self) -> u64 {
        self.present.load(Acquire)
    }

    /// A word of that epoch has to have been loaded before: so what is read here is its rule, and not one that has
    /// taken its slot since, or else the word has changed.
    #[inline]
    pub(super) fn of(&self, epoch: u64) -> Rule {
        let [speed, price, room] = &self.slots[epoch as usize % SLOTS];
        Rule {
            speed: speed.load(Relaxed),
            price: price.load(Relaxed),
            room: room.load(Relaxed),
        }
    }

    /// Puts a rule in force. No word may be left that is older than the present epoch by more than one.
    pub(super) fn change(&self, rule: Rule) {
        let next = (self.present() + 1) % EPOCHS;
        let [speed, price, room] = &self.slots[next as usize];
        speed.store(rule.speed, Relaxed);
        price.store(rule.price, Relaxed);
        room.store(rule.room, Relaxed);
        self.present.store(next, Release);
    }
}

#[inline]
pub(super) fn word(state: u64, epoch: u64) -> u64 {
    (state << EPOCH_BITS) | epoch
}

#[inline]
pub(super) fn state(word: u64) -> u64 {
    word >> EPOCH_BITS
}

#[inline]
pub(super) fn epoch(word: u64) -> u64 {
    word & ((1 << EPOCH_BITS) - 1)
}
