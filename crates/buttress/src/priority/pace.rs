//! How fast the line moves, and so when it is worth coming back.

use std::{
    sync::atomic::{
        AtomicU64,
        Ordering::{Acquire, Relaxed, Release},
    },
    time::Duration,
};

/// What is asked of those who are refused before anybody knows how fast the line moves.
const UNKNOWN_PACE: Duration = Duration::from_secs(1);

/// The most and the least that is asked of them.
const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_secs(60);

/// How fast the line moves: the time between two who leave it with a slot, smoothed. Written with the line open.
#[derive(Default)]
pub(super) struct Pace {
    last: AtomicU64,
    between: AtomicU64,
}

impl Pace {
    /// Somebody leaves the line with a slot.
    pub(super) fn step(&self, now: u64) {
        let last = self.last.swap(now, Relaxed);
        if last == 0 {
            return;
        }
        let between = now.saturating_sub(last);
        let smoothed = match self.between.load(Acquire) {
            0 => between,
            old => old - old / 16 + between / 16,
        };
        self.between.store(smoothed.max(1), Release);
    }

    /// The line is empty: what comes next says nothing about how fast it moved.
    pub(super) fn stop(&self) {
        self.last.store(0, Relaxed);
    }

    /// How long it takes until all who wait are through, and one more.
    pub(super) fn time_for(&self, waiting: usize) -> Duration {
        match self.between.load(Acquire) {
            0 => UNKNOWN_PACE,
            between => {
                let all = between.saturating_mul(waiting as u64 + 1);
                Duration::from_nanos(all).clamp(SHORTEST, LONGEST)
            }
        }
    }
}
