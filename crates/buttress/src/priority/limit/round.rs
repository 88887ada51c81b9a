use std::time::Duration;

use super::Sample;
use crate::histogram::nanos;

/// The most samples of a round.
const MOST: usize = 64;

/// The fewest.
const FEWEST: usize = 10;

/// Gathers the samples of a round.
///
/// A call that began before the last change of the limit tells of the time before it: whoever counted those would go on
/// correcting what is corrected already. With so many in flight it is a round trip until the effect of a change is seen.
#[derive(Clone, Debug)]
pub(super) struct Rounds {
    /// Calls that began before this are of an older round.
    since: Duration,
    latencies: [u64; MOST],
    count: usize,
    in_flight: u32,
    limited: bool,
}

/// What a round says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Round {
    /// The median latency, in nanoseconds.
    pub(super) latency: f64,
    /// The most calls in flight.
    pub(super) in_flight: f64,
    /// Whether the limit was reached.
    pub(super) limited: bool,
}

impl Rounds {
    pub(super) const fn new() -> Self {
        Self {
            since: Duration::ZERO,
            latencies: [0; MOST],
            count: 0,
            in_flight: 0,
            limited: false,
        }
    }

    /// Adds a sample, and returns the round if that makes it complete: a quarter of the limit, at least 10 and at most 64.
    pub(super) fn add(&mut self, sample: &Sample, limit: f64) -> Option<Round> {
        if !self.is_current(sample) {
            return None;
        }
        self.latencies[self.count] = nanos(sample.latency);
        self.count += 1;
        self.in_flight = self.in_flight.max(sample.in_flight);
        self.limited |= sample.limited;
        let enough = ((limit / 4.0) as usize).clamp(FEWEST, MOST);
        if self.count < enough {
            return None;
        }
        let (_, median, _) = self.latencies[..self.count].select_nth_unstable(self.count / 2);
        let round = Round {
            latency: (*median).max(1) as f64,
            in_flight: f64::from(self.in_flight),
            limited: self.limited,
        };
        self.begin(self.since);
        Some(round)
    }

    /// Whether the call began after the last change.
    pub(super) fn is_current(&self, sample: &Sample) -> bool {
        sample.started >= self.since
    }

    /// The limit changes now, at the end of this call.
    pub(super) fn restart(&mut self, sample: &Sample) {
        self.begin(sample.started + sample.latency);
    }

    fn begin(&mut self, since: Duration) {
        (self.since, self.count, self.in_flight, self.limited) = (since, 0, 0, false);
    }
}
