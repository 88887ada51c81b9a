//! Counters that several threads add to without fighting for one cache line.
//!
//! Each thread adds to a stripe of its own (threads beyond the number of stripes share); a reader adds the
//! stripes up. A counter only ever grows, so that every exporter may read it; [`Striped::rebase`] makes it
//! *read* as zero again without losing a concurrent addition.

use std::{
    array,
    sync::atomic::{
        AtomicU64, AtomicUsize,
        Ordering::{Acquire, Relaxed, Release},
    },
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
        array::from_fn(|i| {
            // First what it is counted from: a total that is read after it holds all that it was taken from, while one
            // that is read before may be short of it by whatever was added meanwhile.
            let base = self.base[i].load(Acquire);
            self.total(i).wrapping_sub(base)
        })
    }

    pub(crate) fn rebase(&self) {
        for (i, base) in self.base.iter().enumerate() {
            base.store(self.total(i), Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

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

    #[test]
    fn no_read_beside_a_rebase_falls_below_nothing() {
        let (counters, over) = (Striped::<1>::new(), AtomicBool::new(false));
        let until_over = |work: &dyn Fn()| {
            while !over.load(Relaxed) {
                work();
            }
        };
        std::thread::scope(|s| {
            s.spawn(|| until_over(&|| counters.add(0, 1)));
            s.spawn(|| until_over(&|| counters.rebase()));
            let most = (0..300_000).map(|_| counters.read()[0]).max();
            over.store(true, Relaxed);
            assert!(most <= Some(counters.total(0)), "{most:?}");
        });
    }
}
