//! Random numbers for jitter, balancing and identifiers: fast, per thread, seeded from the operating system.
//!
//! Not for secrets. The generator is fastrand's wyrand; its own default seed has no entropy from the operating
//! system, so two replicas started alike could draw alike. Here each thread's generator takes its seed from
//! `std`'s [`RandomState`], whose keys do.

use std::{
    cell::RefCell,
    hash::{BuildHasher, RandomState},
};

use fastrand::Rng;

thread_local! {
    static RNG: RefCell<Rng> = RefCell::new(Rng::with_seed(RandomState::new().hash_one(0x6275_7474_7265_7373_u64)));
}

/// A number between 0 and 1, 1 excluded.
pub(crate) fn unit() -> f64 {
    RNG.with_borrow_mut(Rng::f64)
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
    fn unit_stays_inside() {
        assert!((0..10_000).map(|_| unit()).all(|x| (0.0..1.0).contains(&x)));
    }
}
