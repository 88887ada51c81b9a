//! The slots of a probation: who may probe, and for how long.
//!
//! A slot is one atomic word, reserved by compare-and-swap at admission, so "at most so many at a time" is
//! decided there and nowhere else. It holds the generation and the end of the lease. A slot of an older
//! generation is free (one of a newer is not: a thread that was held up must not take a slot from those who came
//! after); so is one whose lease is over, whoever still holds it: the holder finds out when it comes back,
//! because the word is no longer its own. No two holders of one slot ever write the same word, since a
//! lease that is taken over has ended before the new one begins to run.

use std::{num::NonZeroU64, sync::OnceLock};

use super::state::{Generation, is_newer};
use crate::sync::atomic::{
    AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed},
};

const CHUNK: usize = 8;
const LEASE_BITS: u32 = 48;
const LEASE: u64 = (1 << LEASE_BITS) - 1;
const FREE: u64 = 0;

/// The most probes that may be allowed at a time.
pub(super) const MAX_PROBES: u32 = 1024;

/// A chain of slots that grows at its end and never shrinks: eight are enough for almost everybody.
#[derive(Debug)]
pub(super) struct Probes {
    slots: [AtomicU64; CHUNK],
    more: OnceLock<Box<Probes>>,
}

/// A reserved slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reservation {
    /// Below [`MAX_PROBES`].
    pub(super) index: u16,
    pub(super) word: NonZeroU64,
}

impl Probes {
    pub(super) fn new() -> Self {
        Self {
            slots: std::array::from_fn(|_| AtomicU64::new(FREE)),
            more: OnceLock::new(),
        }
    }

    /// Takes one of the first `capacity` slots until tick `lease`, if one is free.
    pub(super) fn reserve(
        &self,
        generation: Generation,
        now: u64,
        lease: u64,
        capacity: u32,
    ) -> Option<Reservation> {
        let word = u64::from(generation) << LEASE_BITS | lease.clamp(1, LEASE);
        // The lease is never zero, so neither is the word.
        let word = NonZeroU64::new(word).unwrap_or(NonZeroU64::MIN);
        loop {
            let mut disturbed = false;
            for index in 0..capacity {
                let slot = self.slot(index);
                let found = slot.load(Acquire);
                if !is_free(found, generation, now) {
                    continue;
                }
                match slot.compare_exchange(found, word.get(), AcqRel, Relaxed) {
                    Ok(_) => {
                        let index = index as u16;
                        return Some(Reservation { index, word });
                    }
                    // Somebody took this slot, or gave it back: then the scan may have passed a free one.
                    Err(_) => disturbed = true,
                }
            }
            if !disturbed {
                return None;
            }
        }
    }

    /// Gives the slot back. `false` if the lease had been lost to another.
    pub(super) fn release(&self, reservation: Reservation) -> bool {
        self.slot(reservation.index.into())
            .compare_exchange(reservation.word.get(), FREE, AcqRel, Relaxed)
            .is_ok()
    }

    /// Is the slot still this holder's?
    pub(super) fn holds(&self, reservation: Reservation) -> bool {
        self.slot(reservation.index.into()).load(Acquire) == reservation.word.get()
    }

    /// Is one of the first `capacity` slots free?
    pub(super) fn has_free(&self, generation: Generation, now: u64, capacity: u32) -> bool {
        (0..capacity).any(|index| is_free(self.slot(index).load(Acquire), generation, now))
    }

    /// The tick at which the first of the leases ends.
    pub(super) fn next_free(&self, generation: Generation, now: u64, capacity: u32) -> Option<u64> {
        (0..capacity)
            .map(|index| self.slot(index).load(Acquire))
            .map(|word| {
                if is_free(word, generation, now) {
                    now
                } else {
                    word & LEASE
                }
            })
            .min()
    }

    fn slot(&self, index: u32) -> &AtomicU64 {
        let mut chunk = self;
        let mut index = index as usize;
        while index >= CHUNK {
            chunk = chunk.more.get_or_init(|| Box::new(Probes::new()));
            index -= CHUNK;
        }
        &chunk.slots[index]
    }
}

fn is_free(word: u64, generation: Generation, now: u64) -> bool {
    word == FREE || word & LEASE <= now || is_newer(generation, (word >> LEASE_BITS) as Generation)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn slots_are_limited_and_come_back() {
        let probes = Probes::new();
        let a = probes.reserve(1, 0, 100, 2).expect("free");
        let b = probes.reserve(1, 0, 100, 2).expect("free");
        assert_eq!(probes.reserve(1, 99, 200, 2), None);
        assert!(!probes.has_free(1, 99, 2));
        assert!(probes.release(a));
        assert!(!probes.release(a), "a slot comes back exactly once");
        assert!(probes.has_free(1, 99, 2));
        assert!(probes.holds(b));
    }

    #[test]
    fn a_hung_probe_loses_its_slot_when_the_lease_ends() {
        let probes = Probes::new();
        let hung = probes.reserve(1, 0, 100, 1).expect("free");
        assert_eq!(probes.next_free(1, 0, 1), Some(100));
        assert_eq!(probes.reserve(1, 99, 199, 1), None);
        let next = probes.reserve(1, 100, 200, 1).expect("the lease is over");
        assert!(!probes.holds(hung));
        assert!(!probes.release(hung));
        assert!(probes.holds(next));
    }

    #[test]
    fn another_generation_starts_with_free_slots() {
        let probes = Probes::new();
        let old = probes.reserve(1, 0, 100, 1).expect("free");
        assert!(probes.reserve(2, 0, 100, 1).is_some());
        assert!(!probes.release(old));
        assert_eq!(
            probes.reserve(1, 0, 100, 1),
            None,
            "one that comes late takes nothing from the new generation"
        );
    }

    #[test]
    fn many_probes_take_many_slots() {
        let probes = Probes::new();
        let held: Vec<_> = (0..100).map_while(|_| probes.reserve(1, 0, 100, 100)).collect();
        assert_eq!(held.len(), 100);
        assert_eq!(probes.reserve(1, 0, 100, 100), None);
        assert!(held.iter().all(|&r| probes.release(r)));
    }
}
