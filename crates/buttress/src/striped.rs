//! Counters that several threads add to without fighting for one cache line.
//!
//! Each thread adds to a stripe of its own (threads beyond the number of stripes share); a reader adds the
//! stripes up. A counter only ever grows, so that every exporter may read it; [`Striped::rebase`] makes it
//! *read* as zero again without losing a concurrent addition.

use std::{
    array,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
};

/// Enough to part the few threads that a machine runs truly at once from most of the others, and few enough
/// that a policy stays small.
const STRIPES: usize = 4;

static NEXT: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static STRIPE: usize = NEXT.fetch_add(1, Relaxed) % STRIPES;
}

/// `N` counters, at most 8, side by side in each stripe.
#[derive(Debug)]
pub(crate) struct Striped<const N: usize> {
    stripes: [Stripe<N>; STRIPES],
    base: [AtomicU64; N],
}

/// A cache line.
#[derive(Debug)]
#[repr(align(64))]
struct Stripe<const N: usize>([AtomicU64; N]);

impl<const N: usize> Striped<N> {
    pub(crate) fn new() -> Self {
        Self {
            stripes: array::from_fn(|_| Stripe(array::from_fn(|_| AtomicU64::new(0)))),
            base: array::from_fn(|_| AtomicU64::new(0)),
        }
    }

    #[inline]
    pub(crate) fn add(&self, counter: usize, n: u64) {
        self.count(counter, n);
    }

    /// [`add`](Self::add), and what the counter held before, in this thread's stripe alone.
    #[inline]
    pub(crate) fn count(&self, counter: usize, n: u64) -> u64 {
        let stripe = STRIPE.try_with(|s| *s).unwrap_or(0);
        self.stripes[stripe].0[counter].fetch_add(n, Relaxed)
    }

    /// Everything ever added.
    pub(crate) fn total(&self, counter: usize) -> u64 {
        self.stripes
            .iter()
            .map(|s| s.0[counter].load(Relaxed))
            .fold(0, u64::wrapping_add)
    }

    /// What was added since the last [`rebase`](Self::rebase).
    pub(crate) fn read(&self) -> [u64; N] {
        array::from_fn(|i| self.total(i).wrapping_sub(self.base[i].load(Relaxed)))
    }

    pub(crate) fn rebase(&self) {
        for (i, base) in self.base.iter().enumerate() {
            base.store(self.total(i), Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stripes_add_up_and_a_rebase_loses_nothing() {
        let counters = Striped::<2>::new();
        std::thread::scope(|s| {
            for _ in 0..6 {
                s.spawn(|| (0..1000).for_each(|_| counters.add(1, 1)));
            }
        });
        assert_eq!(counters.read(), [0, 6000]);
        counters.rebase();
        counters.add(1, 2);
        assert_eq!(counters.read(), [0, 2]);
        assert_eq!(counters.total(1), 6002);
    }
}
