//! Luck, from a seed.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// Luck that many may draw from.
#[derive(Debug)]
pub struct Dice(Mutex<fastrand::Rng>);

impl Dice {
    /// The luck of that seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(fastrand::Rng::with_seed(seed)))
    }

    fn draw<T>(&self, draw: impl FnOnce(&mut fastrand::Rng) -> T) -> T {
        draw(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Luck of its own for somebody else.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self(Mutex::new(self.draw(fastrand::Rng::fork)))
    }

    /// From zero to below that.
    pub fn below(&self, end: u64) -> u64 {
        self.draw(|rng| rng.u64(..end))
    }

    /// Of those two and all between them.
    pub fn between(&self, least: u64, most: u64) -> u64 {
        self.draw(|rng| rng.u64(least..=most))
    }

    /// So many milliseconds, in steps of a tenth.
    pub fn millis(&self, least: u64, most: u64) -> Duration {
        Duration::from_micros(100 * self.between(10 * least, 10 * most))
    }

    /// One of them.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub fn of<'a, T>(&self, those: &'a [T]) -> &'a T {
        &those[self.below(those.len() as u64) as usize]
    }
}
