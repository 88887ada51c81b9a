//! The windows over which a rate is taken: the last so many calls, or the last so many seconds.
//!
//! Both are a fixed piece of memory, written without a lock, and both stamp every word with the generation it
//! belongs to. A new generation therefore starts empty without anybody having to sweep the old one out, and a
//! late result cannot get into it.
//!
//! * [`CountWindow`] really slides: a ring with a slot for each call. What a call pushes out is subtracted as
//!   it is added, so the totals are those of the last *n* calls at any time.
//! * [`TimeWindow`] has ten buckets. Its cost is that of ten loads, whatever the traffic.
//!
//! Stamps wrap around, so they can be told apart only while they are less than half their range apart. A window
//! that is still empty takes any generation; one that has been in use is replaced after [`LIFETIME`] of them.

use std::time::Duration;

use super::state::{Generation, is_newer};
use crate::sync::atomic::{
    AtomicU32, AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed},
};

/// The most calls a count window may hold.
pub(super) const MAX_CALLS: u32 = 1 << 20;

/// For how many generations a window may be used: with some to spare, as long as `is_newer` can be trusted.
pub(super) const LIFETIME: Generation = 1 << 14;

const BUCKETS: u64 = 10;

/// What one call adds to a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    pub(super) failed: bool,
    pub(super) slow: bool,
}

/// What a window holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) calls: u64,
    pub(super) failed: u64,
    pub(super) slow: u64,
}

// There is one of it in a breaker, behind an `Arc`: a box inside would only add a step.
#[allow(clippy::large_enum_variant)]
#[derive(Debug)]
pub(super) enum Window {
    Count(CountWindow),
    Time(TimeWindow),
}

impl Window {
    /// Adds a call at tick `now` and returns what the window then holds; `None` if the generation is over.
    pub(super) fn record(&self, generation: Generation, now: u64, sample: Sample) -> Option<Tally> {
        match self {
            Self::Count(window) => window.record(generation, sample),
            Self::Time(window) => window.record(generation, now, sample),
        }
    }

    pub(super) fn tally(&self, generation: Generation, now: u64) -> Tally {
        match self {
            Self::Count(window) => window.tally(generation),
            Self::Time(window) => window.tally(generation, now),
        }
    }
}

// ===== count =====

/// The last `n` calls.
#[derive(Debug)]
pub(super) struct CountWindow {
    /// Generation in the upper 16 bits, the number of calls it has seen in the lower 48.
    head: AtomicU64,
    /// Generation in the upper 16 bits, then one bit each: filled, failed, slow.
    slots: Box<[AtomicU32]>,
    /// Generation in the upper 16 bits, then 24 bits each of failed and slow.
    ///
    /// Two calls that meet in one slot may subtract before the other has added, so that a total is negative for
    /// a moment: both fields are kept above zero by a bias.
    totals: AtomicU64,
}

const HEAD_BITS: u32 = 48;
const SLOT_BITS: u32 = 16;
const FILLED: u32 = 4;
const FAILED: u32 = 2;
const SLOW: u32 = 1;
const FIELD_BITS: u32 = 24;
const FIELD: u64 = (1 << FIELD_BITS) - 1;
const BIAS: u64 = 1 << (FIELD_BITS - 1);

impl CountWindow {
    /// A window of `calls`, at most [`MAX_CALLS`]. Four bytes a call.
    pub(super) fn new(calls: u32) -> Self {
        Self {
            head: AtomicU64::new(0),
            slots: (0..calls.clamp(1, MAX_CALLS))
                .map(|_| AtomicU32::new(0))
                .collect(),
            totals: AtomicU64::new(empty_totals(0)),
        }
    }

    fn record(&self, generation: Generation, sample: Sample) -> Option<Tally> {
        let seen = self.claim(generation)?;
        let removed = self.replace(seen, generation, sample)?;
        let failed = i64::from(sample.failed) - i64::from(removed & FAILED != 0);
        let slow = i64::from(sample.slow) - i64::from(removed & SLOW != 0);
        let totals = if failed == 0 && slow == 0 {
            self.totals.load(Acquire)
        } else {
            self.adjust(generation, failed, slow)?
        };
        Some(unpack(
            totals,
            generation,
            (seen + 1).min(self.slots.len() as u64),
        ))
    }

    fn tally(&self, generation: Generation) -> Tally {
        let head = self.head.load(Acquire);
        if (head >> HEAD_BITS) as Generation != generation {
            return Tally::default();
        }
        let calls = (head & ((1 << HEAD_BITS) - 1)).min(self.slots.len() as u64);
        unpack(self.totals.load(Acquire), generation, calls)
    }

    /// The number of calls that the generation has seen before this one.
    fn claim(&self, generation: Generation) -> Option<u64> {
        let mut head = self.head.load(Relaxed);
        loop {
            let at = (head >> HEAD_BITS) as Generation;
            let count = head & ((1 << HEAD_BITS) - 1);
            let (seen, to) = if at == generation {
                (count, head + 1)
            } else if is_newer(generation, at) || count == 0 {
                (0, u64::from(generation) << HEAD_BITS | 1)
            } else {
                return None;
            };
            match self.head.compare_exchange_weak(head, to, AcqRel, Relaxed) {
                Ok(_) => return Some(seen),
                Err(now) => head = now,
            }
        }
    }

    /// Writes the call into its slot; returns what it pushed out.
    fn replace(&self, seen: u64, generation: Generation, sample: Sample) -> Option<u32> {
        let slot = &self.slots[(seen % self.slots.len() as u64) as usize];
        let word = u32::from(generation) << SLOT_BITS
            | FILLED
            | if sample.failed { FAILED } else { 0 }
            | if sample.slow { SLOW } else { 0 };
        let mut found = slot.load(Relaxed);
        loop {
            let at = (found >> SLOT_BITS) as Generation;
            if is_newer(at, generation) && found & FILLED != 0 {
                return None;
            }
            match slot.compare_exchange_weak(found, word, AcqRel, Relaxed) {
                Ok(_) => return Some(if at == generation { found } else { 0 }),
                Err(now) => found = now,
            }
        }
    }

    fn adjust(&self, generation: Generation, failed: i64, slow: i64) -> Option<u64> {
        let mut totals = self.totals.load(Relaxed);
        loop {
            let at = (totals >> HEAD_BITS) as Generation;
            let base = if at == generation {
                totals
            } else if is_newer(generation, at) || totals == empty_totals(at) {
                empty_totals(generation)
            } else {
                return None;
            };
            let to = base
                .wrapping_add_signed(failed << FIELD_BITS)
                .wrapping_add_signed(slow);
            match self.totals.compare_exchange_weak(totals, to, AcqRel, Relaxed) {
                Ok(_) => return Some(to),
                Err(now) => totals = now,
            }
        }
    }
}

fn empty_totals(generation: Generation) -> u64 {
    u64::from(generation) << HEAD_BITS | BIAS << FIELD_BITS | BIAS
}

fn unpack(totals: u64, generation: Generation, calls: u64) -> Tally {
    if (totals >> HEAD_BITS) as Generation != generation {
        // No failure yet in this generation: the totals are still those of an older one.
        return Tally {
            calls,
            ..Tally::default()
        };
    }
    let field = |shift: u32| ((totals >> shift) & FIELD).saturating_sub(BIAS).min(calls);
    Tally {
        calls,
        failed: field(FIELD_BITS),
        slow: field(0),
    }
}

// ===== time =====

/// The last `width × 10` ticks.
#[derive(Debug)]
pub(super) struct TimeWindow {
    width: u64,
    buckets: [Bucket; BUCKETS as usize],
}

/// A tenth of the window: three counts, each with the stamp of what it belongs to (16 bits of generation and 24
/// of epoch, which is the number of the bucket since the breaker was made) and 24 bits of count.
#[derive(Debug)]
struct Bucket {
    calls: AtomicU64,
    failed: AtomicU64,
    slow: AtomicU64,
}

const STAMP_SHIFT: u32 = 24;
const COUNT: u64 = (1 << STAMP_SHIFT) - 1;
const EPOCH_BITS: u32 = 24;
const EPOCH: u64 = (1 << EPOCH_BITS) - 1;
/// How many buckets late a call may be that was held up between reading the clock and writing. All other distances
/// mean that the bucket is the old one, for epochs wrap around and a window may have rested for long: one of 10 ms
/// goes through half of them in two hours and a half.
const MOST_LATE: u64 = 256;

impl TimeWindow {
    /// Below this the buckets would be shorter than a clock is worth.
    pub(super) const SHORTEST: Duration = Duration::from_millis(10);

    /// A window of so many ticks, at least ten.
    pub(super) fn new(ticks: u64) -> Self {
        Self {
            width: ticks.div_ceil(BUCKETS).max(1),
            buckets: std::array::from_fn(|_| Bucket {
                calls: AtomicU64::new(0),
                failed: AtomicU64::new(0),
                slow: AtomicU64::new(0),
            }),
        }
    }

    fn record(&self, generation: Generation, now: u64, sample: Sample) -> Option<Tally> {
        let epoch = now / self.width;
        let stamp = u64::from(generation) << EPOCH_BITS | epoch & EPOCH;
        let bucket = &self.buckets[(epoch % BUCKETS) as usize];
        // A bucket that is full counts nothing more, failures neither: the rate stays true.
        if bump(&bucket.calls, stamp)? {
            if sample.failed {
                bump(&bucket.failed, stamp)?;
            }
            if sample.slow {
                bump(&bucket.slow, stamp)?;
            }
        }
        Some(self.tally(generation, now))
    }

    fn tally(&self, generation: Generation, now: u64) -> Tally {
        let epoch = now / self.width;
        let mut tally = Tally::default();
        for age in 0..BUCKETS.min(epoch + 1) {
            let epoch = epoch - age;
            let stamp = u64::from(generation) << EPOCH_BITS | epoch & EPOCH;
            let bucket = &self.buckets[(epoch % BUCKETS) as usize];
            let read = |count: &AtomicU64| {
                let word = count.load(Acquire);
                if word >> STAMP_SHIFT == stamp {
                    word & COUNT
                } else {
                    0
                }
            };
            tally.calls += read(&bucket.calls);
            tally.failed += read(&bucket.failed);
            tally.slow += read(&bucket.slow);
        }
        tally
    }
}

/// Adds one to a count of that stamp. `Some(false)` if the count is full, `None` if it has moved on to a newer
/// stamp already.
fn bump(count: &AtomicU64, stamp: u64) -> Option<bool> {
    let mut word = count.load(Relaxed);
    loop {
        let found = word >> STAMP_SHIFT;
        let to = if found == stamp {
            if word & COUNT == COUNT {
                return Some(false);
            }
            word + 1
        } else if follows(stamp, found) || word & COUNT == 0 {
            stamp << STAMP_SHIFT | 1
        } else {
            return None;
        };
        match count.compare_exchange_weak(word, to, AcqRel, Relaxed) {
            Ok(_) => return Some(true),
            Err(now) => word = now,
        }
    }
}

/// Is stamp `a` later than `b`: a newer generation, or a later epoch of the same?
fn follows(a: u64, b: u64) -> bool {
    let (generation_a, generation_b) = ((a >> EPOCH_BITS) as Generation, (b >> EPOCH_BITS) as Generation);
    if generation_a == generation_b {
        let ahead = a.wrapping_sub(b) & EPOCH;
        ahead != 0 && ahead < EPOCH - MOST_LATE
    } else {
        is_newer(generation_a, generation_b)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const FAILED: Sample = Sample {
        failed: true,
        slow: false,
    };

    #[test]
    fn a_call_that_comes_late_does_not_empty_the_bucket_of_a_newer_one() {
        // Ten buckets of ten ticks: 105 has the place that 5 had.
        let window = TimeWindow::new(100);
        assert!(window.record(3, 105, FAILED).is_some());
        assert_eq!(window.record(3, 5, FAILED), None, "a turn of the ring ago");
        assert_eq!(window.record(2, 105, FAILED), None, "of an older generation");
        let one = Tally {
            calls: 1,
            failed: 1,
            slow: 0,
        };
        assert_eq!(window.tally(3, 105), one);
        assert_eq!(window.record(4, 5, FAILED), Some(one), "a newer one begins anew");
    }
}
