//! What it tells.

use super::*;

impl Naive {
    // ===== what it tells =====

    fn counts(&self) -> bool {
        matches!(self.state, State::Closed | State::MetricsOnly)
    }

    pub(in super::super) fn told_state(&self) -> State {
        if self.state == State::Open && self.now >= self.open_until {
            State::HalfOpen
        } else {
            self.state
        }
    }

    pub(in super::super) fn told_streak(&self) -> u64 {
        if self.counts() { self.streak } else { 0 }
    }

    /// Failure rate and slow rate.
    pub(in super::super) fn rates(&self) -> Option<(f64, f64)> {
        let (calls, failed, slow) = self.tally();
        (self.counts() && self.config.watches_rates() && calls > 0)
            .then(|| (failed as f64 / calls as f64, slow as f64 / calls as f64))
    }

    pub(in super::super) fn retry_after(&self) -> Option<Ticks> {
        (self.state == State::Open && self.open_until > self.now).then(|| self.open_until - self.now)
    }

    pub(in super::super) fn mean_time_to_recover(&self) -> Option<Ticks> {
        let n = self.recoveries.len() as u64;
        (n > 0).then(|| self.recoveries.iter().sum::<Ticks>() / n)
    }
}
