//! A histogram of durations in fixed memory, which any number of threads record into without a lock.
//!
//! # How it works
//!
//! It is log-linear, as HdrHistogram and the DDSketch family are: every power of two of nanoseconds is cut into
//! 8 buckets of equal width, so a bucket is never wider than an eighth of its lower bound, and its midpoint
//! never further than **6.25 %** from any duration in it. Finding the bucket is a count of leading zeros and a
//! shift; recording is two relaxed additions, to the bucket and to the sum.
//!
//! The range is 1.024 µs (2¹⁰ ns) to 73 minutes (2⁴² ns). What is shorter falls into one bucket below, what is
//! as long or longer into one above; these two promise nothing finer. That makes 258 buckets of 8 bytes, 2.4 KiB
//! with the sum, and nothing grows with traffic or if nobody reads.
//!
//! The buckets are one copy for all threads; the sum, which every record would fight for, is one per stripe of
//! threads.
//!
//! ```
//! use std::time::Duration;
//! use buttress::histogram::Histogram;
//!
//! let histogram = Histogram::new();
//! for millis in 1..=100 {
//!     histogram.record(Duration::from_millis(millis));
//! }
//! let snapshot = histogram.snapshot();
//! assert_eq!(snapshot.count(), 100);
//! assert_eq!(snapshot.sum(), Duration::from_millis(5050));
//! let p95 = snapshot.quantile(0.95).expect("something was recorded").as_secs_f64();
//! assert!((p95 / 0.095 - 1.0).abs() <= 0.0625);
//! ```

use std::{
    array, fmt,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use crate::striped::Striped;

#[cfg_attr(not(feature = "hedge"), allow(dead_code))]
mod moving;
mod snapshot;
#[cfg(test)]
mod tests;

#[cfg_attr(not(feature = "hedge"), allow(unused_imports))]
pub(crate) use moving::{Moving, Window};

pub use snapshot::{Bucket, Snapshot};

/// A power of two of nanoseconds is cut into `1 << SUB_BITS` buckets.
const SUB_BITS: u32 = 3;
const SUBS: usize = 1 << SUB_BITS;
/// The range is `1 << MIN_EXP` nanoseconds up to, and without, `1 << MAX_EXP`.
const MIN_EXP: u32 = 10;
const MAX_EXP: u32 = 42;
/// One bucket below the range, those in it, one above.
const BUCKETS: usize = (MAX_EXP - MIN_EXP) as usize * SUBS + 2;

/// Durations, counted by how long they are. See the [module](self) for precision, range and size.
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    sum: Striped<1>,
}

impl Histogram {
    /// An empty histogram.
    #[must_use]
    pub fn new() -> Self {
        Self {
            buckets: array::from_fn(|_| AtomicU64::new(0)),
            sum: Striped::new(),
        }
    }

    /// Counts one duration.
    ///
    /// The sum is kept in 64 bits of nanoseconds, which is enough for durations of 584 years together; beyond
    /// that it wraps.
    #[inline]
    pub fn record(&self, duration: Duration) {
        self.record_nanos(nanos(duration));
    }

    /// The same, for those who need the nanoseconds themselves.
    #[inline]
    pub(crate) fn record_nanos(&self, nanos: u64) {
        self.buckets[index(nanos)].fetch_add(1, Relaxed);
        self.sum.add(0, nanos);
    }

    /// What has been recorded so far. One that is being recorded meanwhile may be in the count and not yet in
    /// the sum, or the other way round.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::from_parts(
            array::from_fn(|i| self.buckets[i].load(Relaxed)),
            self.sum.total(0),
        )
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.snapshot().fmt(f)
    }
}

/// A duration in nanoseconds; what does not fit is longer than 584 years, and reads as that.
#[inline]
pub(crate) fn nanos(duration: Duration) -> u64 {
    // In 64 bits all the way: `Duration::as_nanos` takes 128.
    let whole = duration.as_secs().saturating_mul(1_000_000_000);
    whole.saturating_add(u64::from(duration.subsec_nanos()))
}

/// The bucket of a duration.
#[inline]
fn index(nanos: u64) -> usize {
    if nanos < 1 << MIN_EXP {
        return 0;
    }
    let exp = nanos.ilog2();
    if exp >= MAX_EXP {
        return BUCKETS - 1;
    }
    let sub = (nanos >> (exp - SUB_BITS)) as usize & (SUBS - 1);
    1 + (exp - MIN_EXP) as usize * SUBS + sub
}

/// The shortest duration of a bucket, in nanoseconds.
fn lower(index: usize) -> u64 {
    if index == 0 {
        return 0;
    }
    let (octave, sub) = ((index - 1) / SUBS, (index - 1) % SUBS);
    ((SUBS + sub) as u64) << (octave as u32 + MIN_EXP - SUB_BITS)
}
