use std::time::Duration;

use super::{LimitAlgorithm, Sample};

/// Additive increase, multiplicative decrease: what TCP has done since Jacobson (1988).
///
/// While the limit is reached and nothing is dropped, it grows by one for every five successes; a drop cuts it to nine
/// tenths, at most once a round trip: calls that had begun before the cut say nothing about it. So it swings closely below
/// what the service allows.
///
/// # When it fails
///
/// It must be told when it is too much. A service that takes ever longer but neither refuses nor times out lets it grow to
/// the maximum: name the latency that is too long, by [`slow_after`](Self::slow_after), or take another algorithm.
#[derive(Clone, Debug, PartialEq)]
pub struct Aimd {
    pub(super) backoff: f64,
    pub(super) slow_after: Option<Duration>,
}

/// So many successes make the limit grow by one.
const SUCCESSES: f64 = 5.0;

impl Default for Aimd {
    fn default() -> Self {
        Self::new()
    }
}

impl Aimd {
    /// Cut to nine tenths, by drops alone.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            backoff: 0.9,
            slow_after: None,
        }
    }

    /// By what a drop multiplies the limit (0.9): 0.5 up to, and without, 1.
    #[must_use]
    pub const fn backoff(mut self, factor: f64) -> Self {
        self.backoff = factor;
        self
    }

    /// A success that took longer than this is too much, too (never).
    #[must_use]
    pub fn slow_after(mut self, latency: impl Into<Option<Duration>>) -> Self {
        self.slow_after = latency.into();
        self
    }
}

#[derive(Debug)]
pub(super) struct State {
    options: Aimd,
    /// When it was last cut: calls that began before say nothing about it.
    cut: Duration,
}

impl State {
    pub(super) fn new(options: Aimd) -> Self {
        Self {
            options,
            cut: Duration::ZERO,
        }
    }
}

impl LimitAlgorithm for State {
    fn observe(&mut self, sample: &Sample, limit: f64) -> f64 {
        let is_slow = self.options.slow_after.is_some_and(|slow| sample.latency > slow);
        if sample.dropped || is_slow {
            if sample.started < self.cut {
                return limit;
            }
            self.cut = sample.started + sample.latency;
            limit * self.options.backoff
        } else if sample.limited {
            limit + 1.0 / SUCCESSES
        } else {
            limit
        }
    }
}
