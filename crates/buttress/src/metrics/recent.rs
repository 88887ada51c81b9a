use std::{
    array,
    sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

const CALLS: usize = 100;

/// The durations of the last 100 calls, for their average.
pub(super) struct Recent {
    next: AtomicUsize,
    /// Microseconds, one more than they were, at most 71 minutes; 0 is a place that is still empty.
    micros: [AtomicU32; CALLS],
}

impl Recent {
    pub(super) fn new() -> Self {
        Self {
            next: AtomicUsize::new(0),
            micros: array::from_fn(|_| AtomicU32::new(0)),
        }
    }

    #[inline]
    pub(super) fn record(&self, nanos: u64) {
        let micros = u32::try_from(nanos / 1000).unwrap_or(u32::MAX);
        let place = self.next.fetch_add(1, Relaxed) % CALLS;
        self.micros[place].store(micros.saturating_add(1), Relaxed);
    }

    /// `None` as long as there was no call.
    pub(super) fn average(&self) -> Option<Duration> {
        let micros = self.micros.iter().map(|m| u64::from(m.load(Relaxed)));
        let (sum, count) = micros
            .filter(|&m| m > 0)
            .fold((0, 0), |(sum, count), m| (sum + m - 1, count + 1));
        (sum * 1000).checked_div(count).map(Duration::from_nanos)
    }
}
