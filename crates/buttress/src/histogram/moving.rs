use std::{
    array, fmt,
    sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use super::{BUCKETS, index, lower};
use crate::clock::{self, Instant};

/// Durations of about the last so long, for a quantile that follows what is going on.
///
/// # How it moves
///
/// It is two histograms, the *halves*. One is recorded into, both are read; once the one is old enough and has enough
/// in it, the other is emptied and takes its place. So what is read is at least half a window old and at most a whole
/// one, or, where little goes on, at least so many durations: a quantile of five would say nothing. A rise shows as
/// soon as enough of what was recorded is higher, which for a p95 is a twentieth of a window; a fall shows when most
/// of what was higher is gone.
///
/// It is 2.1 KiB, whatever goes on. Recording is one relaxed addition. Reading is two rounds over the buckets,
/// about half a microsecond, and allocates nothing.
pub(crate) struct Moving {
    halves: [[AtomicU32; BUCKETS]; 2],
    /// In its lowest bit which half is recorded into; in the others when that began, in milliseconds of its life.
    turn: AtomicU64,
    born: Instant,
}

/// When a half has done its part.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    /// The time that both halves are to cover.
    pub(crate) time: Duration,
    /// How many durations there must be before they say anything.
    pub(crate) enough: u64,
}

impl Moving {
    pub(crate) fn new() -> Self {
        Self {
            halves: array::from_fn(|_| array::from_fn(|_| AtomicU32::new(0))),
            turn: AtomicU64::new(0),
            born: clock::now(),
        }
    }

    #[inline]
    pub(crate) fn record(&self, nanos: u64) {
        let half = (self.turn.load(Relaxed) & 1) as usize;
        self.halves[half][index(nanos)].fetch_add(1, Relaxed);
    }

    /// A bound that the part `q` of the durations did not exceed, at most an eighth above the shortest such; `None`
    /// if there are too few to tell. Whoever reads it moves the window on.
    ///
    /// It is the *upper* end of the bucket in question. The middle would be nearer to the quantile on average; but
    /// where most durations are alike they are all in one bucket, and then half of them could be beyond its middle.
    pub(crate) fn quantile(&self, q: f64, now: Instant, window: Window) -> Option<Duration> {
        let turn = self.turn.load(Relaxed);
        let half = (turn & 1) as usize;
        let mut all = [0_u64; BUCKETS];
        let (mut fresh, mut count) = (0, 0);
        for (i, bucket) in all.iter_mut().enumerate() {
            let here = u64::from(self.halves[half][i].load(Relaxed));
            *bucket = here + u64::from(self.halves[1 - half][i].load(Relaxed));
            fresh += here;
            count += *bucket;
        }
        let age = now.saturating_duration_since(self.born).as_millis() as u64;
        let half_time = window.time.as_millis() as u64 / 2;
        if fresh >= window.enough && age >= (turn >> 1).saturating_add(half_time) {
            self.begin(1 - half, turn, age);
        }
        if count < window.enough.max(1) {
            return None;
        }
        let rank = (q * count as f64).ceil() as u64;
        let mut seen = 0;
        let bucket = all.iter().position(|n| {
            seen += n;
            seen >= rank.max(1)
        });
        // The last bucket has no upper end.
        let bound = bucket.map_or(BUCKETS - 1, |bucket| (bucket + 1).min(BUCKETS - 1));
        Some(Duration::from_nanos(lower(bound)))
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        for bucket in self.halves.iter().flatten() {
            bucket.store(0, Relaxed);
        }
    }

    /// Empties a half and has it recorded into. Two that do this at once, or one that does it late, cost a few
    /// durations just recorded: nothing that a quantile of hundreds would notice.
    fn begin(&self, half: usize, turn: u64, age: u64) {
        let next = (age << 1) | half as u64;
        if self.turn.load(Relaxed) != turn {
            return;
        }
        for bucket in &self.halves[half] {
            bucket.store(0, Relaxed);
        }
        // If another thread was quicker, the half is as empty.
        let _ = self.turn.compare_exchange(turn, next, Relaxed, Relaxed);
    }
}

impl fmt::Debug for Moving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count =
            |half: &[AtomicU32; BUCKETS]| half.iter().map(|n| u64::from(n.load(Relaxed))).sum::<u64>();
        f.debug_struct("Moving")
            .field("count", &self.halves.iter().map(count).sum::<u64>())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Window = Window {
        time: Duration::from_secs(30),
        enough: 100,
    };

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn record(moving: &Moving, count: u64, time: Duration) {
        (0..count).for_each(|_| moving.record(super::super::nanos(time)));
    }

    /// The quantile, so many seconds after the beginning.
    fn at(moving: &Moving, seconds: u64, q: f64) -> Option<Duration> {
        moving.quantile(q, moving.born + Duration::from_secs(seconds), WINDOW)
    }

    #[test]
    fn a_few_durations_say_nothing() {
        let moving = Moving::new();
        assert_eq!(at(&moving, 0, 0.95), None);
        record(&moving, 99, ms(10));
        assert_eq!(at(&moving, 0, 0.95), None);
        record(&moving, 1, ms(10));
        assert!(at(&moving, 0, 0.95).is_some());
        moving.clear();
        assert_eq!(at(&moving, 0, 0.95), None);
    }

    #[test]
    fn no_more_than_the_rest_is_above_a_quantile_and_it_is_not_far_above() {
        let moving = Moving::new();
        (1..=1000).for_each(|i| record(&moving, 1, ms(i)));
        for (q, rank) in [(0.5, 500), (0.9, 900), (0.95, 950), (0.99, 990), (0.999, 999)] {
            let bound = at(&moving, 0, q).expect("enough");
            assert!(bound > ms(rank) && bound <= ms(rank) * 9 / 8, "{q}: {bound:?}");
        }
    }

    #[test]
    fn none_of_those_that_are_all_alike_is_above_a_quantile() {
        for nanos in [0, 1, 1023, 1024, 10_400_000, 10_900_000, (1 << 42) - 1] {
            let moving = Moving::new();
            record(&moving, 200, Duration::from_nanos(nanos));
            assert!(at(&moving, 0, 0.5).expect("enough") > Duration::from_nanos(nanos));
        }
        let moving = Moving::new();
        record(&moving, 200, Duration::from_secs(100_000));
        assert_eq!(at(&moving, 0, 0.5), Some(Duration::from_nanos(1 << 42)));
    }

    #[test]
    fn a_rise_shows_once_it_is_more_than_the_rest() {
        let moving = Moving::new();
        record(&moving, 1000, ms(10));
        record(&moving, 50, ms(500));
        assert!(at(&moving, 1, 0.95).expect("enough") < ms(12));
        record(&moving, 10, ms(500));
        assert!(at(&moving, 1, 0.95).expect("enough") > ms(500));
    }

    #[test]
    fn what_is_a_window_old_is_gone() {
        let moving = Moving::new();
        record(&moving, 1000, ms(500));
        // Half a window: what comes now goes into the other half.
        assert!(at(&moving, 15, 0.95).expect("enough") > ms(500));
        record(&moving, 1000, ms(10));
        assert!(
            at(&moving, 29, 0.95).expect("enough") > ms(500),
            "it is not gone yet"
        );
        assert!(
            at(&moving, 30, 0.95).expect("enough") > ms(500),
            "but is from now on"
        );
        assert!(at(&moving, 30, 0.95).expect("enough") < ms(12));
    }

    #[test]
    fn a_quiet_service_keeps_what_it_has() {
        let moving = Moving::new();
        record(&moving, 150, ms(500));
        assert!(at(&moving, 3600, 0.95).is_some());
        record(&moving, 60, ms(10));
        // An hour later the half is old, but holds too little to stand alone.
        assert!(at(&moving, 7200, 0.95).is_some());
        assert!(at(&moving, 7200, 0.95).expect("enough") > ms(500));
        record(&moving, 40, ms(10));
        assert!(at(&moving, 7200, 0.95).is_some());
        assert!(at(&moving, 7200, 0.95).expect("enough") < ms(12));
    }

    #[test]
    fn threads_record_together() {
        let moving = Moving::new();
        std::thread::scope(|s| {
            for _ in 0..4 {
                s.spawn(|| record(&moving, 1000, ms(10)));
            }
        });
        let count = |half: &[AtomicU32; BUCKETS]| half.iter().map(|n| n.load(Relaxed)).sum::<u32>();
        assert_eq!(moving.halves.iter().map(count).sum::<u32>(), 4000);
    }

    #[test]
    fn it_is_small() {
        assert!(size_of::<Moving>() <= 2100, "{}", size_of::<Moving>());
    }
}
