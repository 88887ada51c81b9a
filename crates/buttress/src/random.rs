//! Random numbers for jitter, balancing and identifiers: fast, per thread, seeded from the operating system.
//!
//! Not for secrets. The generator is fastrand's wyrand; its own default seed has no entropy from the operating
//! system, so two replicas started alike could draw alike. Here each thread's generator takes its seed from
//! `std`'s [`RandomState`], whose keys do.

use std::{
    cell::RefCell,
    hash::{BuildHasher, RandomState},
    num::{NonZeroU64, NonZeroU128},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use fastrand::Rng;

thread_local! {
    static RNG: RefCell<Rng> = RefCell::new(seeded());
    /// A state has 64 bits, and after 2³² ids of one there would be two alike. So an id of a trace takes two states,
    /// each with a seed of its own; the third is for the work in it.
    static IDS: RefCell<[Rng; 3]> = RefCell::new([seeded(), seeded(), seeded()]);
}

fn seeded() -> Rng {
    // No two `RandomState`s of a process have the same keys.
    Rng::with_seed(RandomState::new().hash_one(0x6275_7474_7265_7373_u64))
}

/// An id for a new trace, and one for the first piece of work in it.
#[cfg_attr(not(feature = "trace-id"), allow(dead_code))]
#[inline]
pub(crate) fn trace_ids() -> (NonZeroU128, NonZeroU64) {
    loop {
        let (id, span) = IDS.with_borrow_mut(|[high, low, span]| {
            let id = u128::from(high.u64(..)) << 64 | u128::from(low.u64(..));
            (id, span.u64(..))
        });
        if let (Some(id), Some(span)) = (NonZeroU128::new(id), NonZeroU64::new(span)) {
            return (id, span);
        }
    }
}

/// An id for a piece of work in a trace.
#[cfg_attr(not(feature = "trace-id"), allow(dead_code))]
#[inline]
pub(crate) fn span_id() -> NonZeroU64 {
    loop {
        if let Some(id) = NonZeroU64::new(RNG.with_borrow_mut(|rng| rng.u64(..))) {
            return id;
        }
    }
}

/// A number between 0 and 1, 1 excluded.
pub(crate) fn unit() -> f64 {
    RNG.with_borrow_mut(Rng::f64)
}

/// Has this thread draw what it has drawn from the same seed before, so that a history can be told again.
#[cfg(test)]
#[allow(dead_code)]
pub(crate) fn foretell(seed: u64) {
    RNG.with_borrow_mut(|rng| *rng = Rng::with_seed(seed));
}

/// Where a policy takes its random numbers from: the thread, or a seed, so that a test can foretell them.
#[derive(Debug)]
pub(crate) enum Source {
    Thread,
    /// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014): its state is a
    /// counter, so threads share it by one addition.
    Seeded(AtomicU64),
}

impl Source {
    pub(crate) fn new(seed: Option<u64>) -> Self {
        seed.map_or(Self::Thread, |seed| Self::Seeded(AtomicU64::new(seed)))
    }

    /// A number between 0 and 1, 1 excluded.
    pub(crate) fn unit(&self) -> f64 {
        match self {
            Self::Thread => unit(),
            Self::Seeded(state) => mixed(state.fetch_add(GOLDEN, Relaxed)),
        }
    }
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// A number between 0 and 1, 1 excluded, that `seed` tells: SplitMix64's output after that state.
pub(crate) fn mixed(seed: u64) -> f64 {
    let mut z = seed.wrapping_add(GOLDEN);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 31;
    // The 53 bits that an `f64` holds exactly.
    (z >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_draw_differently() {
        let draw = || (0..4).map(|_| unit().to_bits()).collect::<Vec<_>>();
        let here = draw();
        let there = std::thread::spawn(draw).join().expect("no panic");
        assert_ne!(here, there);
    }

    #[test]
    fn a_seed_tells_the_numbers() {
        let draw = |seed| {
            let source = Source::new(Some(seed));
            (0..1000).map(|_| source.unit()).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        assert!(draw(0).iter().all(|x| (0.0..1.0).contains(x)));
        // The reference implementation's first output for the seed 1234567.
        let first = Source::new(Some(1_234_567)).unit();
        assert_eq!(
            first,
            (6_457_827_717_110_365_317_u64 >> 11) as f64 / (1_u64 << 53) as f64
        );
    }

    #[test]
    fn the_halves_of_an_id_are_drawn_apart() {
        let ids: Vec<u128> = (0..1000).map(|_| trace_ids().0.get()).collect();
        let highs: std::collections::HashSet<u64> = ids.iter().map(|id| (id >> 64) as u64).collect();
        let lows: std::collections::HashSet<u64> = ids.iter().map(|id| *id as u64).collect();
        assert_eq!((highs.len(), lows.len()), (1000, 1000));
        assert!(highs.is_disjoint(&lows));
        assert_ne!(span_id(), span_id());
    }

    #[test]
    fn unit_stays_inside() {
        assert!((0..10_000).map(|_| unit()).all(|x| (0.0..1.0).contains(&x)));
    }
}
