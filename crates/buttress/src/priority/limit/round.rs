use std::time::Duration;

use super::Sample;
use crate::histogram::nanos;

/// The most samples of a round.
const MOST: usize = 32;

/// The fewest.
const FEWEST: usize = 10;

/// Gathers the samples of a round.
///
/// A call that began before the limit last grew tells of the time before that: whoever counted those would go on growing for
/// a round trip after it was enough. (Shrinking needs no such care: how much is too much is told by how many were in flight
/// when a call began, so that older calls say the same as younger ones.)
#[derive(Clone, Debug)]
pub(super) struct Rounds {
    /// Calls that began before this are of an older round.
    since: Duration,
    latencies: [u64; MOST],
    count: usize,
    in_flight: u64,
    limited: bool,
}

/// What a round says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Round {
    /// The median latency, in nanoseconds.
    pub(super) latency: f64,
    /// How many calls were in flight when they began, on average; the limit, where that was not reached.
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

    /// Adds a sample, and returns the round if that makes it complete: half the limit, at least 10 and at most 32.
    pub(super) fn add(&mut self, sample: &Sample, limit: f64) -> Option<Round> {
        if !self.is_current(sample) {
            return None;
        }
        self.latencies[self.count] = nanos(sample.latency);
        self.count += 1;
        self.in_flight += u64::from(sample.in_flight);
        self.limited |= sample.limited;
        let enough = ((limit / 2.0) as usize).clamp(FEWEST, MOST);
        if self.count < enough {
            return None;
        }
        let (_, median, _) = self.latencies[..self.count].select_nth_unstable(self.count / 2);
        let round = Round {
            latency: (*median).max(1) as f64,
            in_flight: match self.limited {
                true => self.in_flight as f64 / self.count as f64,
                false => limit,
            },
            limited: self.limited,
        };
        self.begin(self.since);
        Some(round)
    }

    /// Whether the call began after the limit last grew, or was cut.
    pub(super) fn is_current(&self, sample: &Sample) -> bool {
        sample.started >= self.since
    }

    /// The limit grows now, or is cut, at the end of this call.
    pub(super) fn restart(&mut self, sample: &Sample) {
        self.begin(sample.started + sample.latency);
    }

    fn begin(&mut self, since: Duration) {
        (self.since, self.count, self.in_flight, self.limited) = (since, 0, 0, false);
    }
}

/// Notices that the limit is to shrink and does not: it is at its minimum. Then what looked like a queue is none, since
/// there is nobody left who could stand in it.
#[derive(Clone, Debug)]
pub(super) struct Bottom {
    at: Option<f64>,
    rounds: u32,
}

/// Rounds at the bottom until it is believed.
const ENOUGH: u32 = 3;

impl Bottom {
    pub(super) const fn new() -> Self {
        Self { at: None, rounds: 0 }
    }

    /// The limit is to shrink. Says whether that has been in vain for long enough.
    pub(super) fn is_reached(&mut self, limit: f64) -> bool {
        if self.at != Some(limit) {
            (self.at, self.rounds) = (Some(limit), 0);
        }
        self.rounds += 1;
        self.rounds > ENOUGH
    }

    pub(super) fn leave(&mut self) {
        self.at = None;
    }
}
