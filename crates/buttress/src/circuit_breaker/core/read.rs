//! What there is to see of it.

use std::sync::atomic::Ordering::Relaxed;

use super::{Core, book};
use crate::circuit_breaker::{policy::from_ticks, snapshot::Snapshot, state::State, window::Tally};

impl Core {
    /// How often a state was ever entered.
    pub(in super::super) fn entries(&self, state: State) -> u64 {
        self.history.entries[state as usize].load(Relaxed).into()
    }

    pub(in super::super) fn snapshot(&self) -> Snapshot {
        let now = self.now();
        let word = self.machine.load();
        let open_until = (word.state() == State::Open).then_some(word.payload());
        let state = match open_until {
            Some(until) if now >= until => State::HalfOpen,
            _ => word.state(),
        };
        let counted = matches!(word.state(), State::Closed | State::MetricsOnly);
        let settings = self.settings.load();
        let tally = match &settings.window {
            Some(window) if counted => window.tally(word.generation(), now),
            _ => Tally::default(),
        };
        let rate = |part: u64| (tally.calls > 0).then(|| part as f64 / tally.calls as f64);
        let read = self.books.read();
        let recoveries = self.history.recoveries.load(Relaxed);
        Snapshot {
            name: self.name().clone(),
            state,
            total: read[..book::SLOW].iter().sum(),
            success: read[book::SUCCESS],
            failure: read[book::FAILURE],
            throttled: read[book::THROTTLED],
            neutral: read[book::NEUTRAL],
            cancelled: read[book::CANCELLED],
            rejected: read[book::REJECTED],
            stale: read[book::STALE],
            slow: read[book::SLOW],
            consecutive_failures: if counted { word.payload() } else { 0 },
            failure_rate: rate(tally.failed),
            slow_rate: rate(tally.slow),
            time_in_state: from_ticks(now.saturating_sub(self.history.entered.load(Relaxed))),
            retry_after: open_until
                .filter(|&until| until > now)
                .map(|until| from_ticks(until - now)),
            times_opened: self.history.opened.load(Relaxed),
            mean_time_to_recover: self
                .history
                .recovery_time
                .load(Relaxed)
                .checked_div(recoveries)
                .map(from_ticks),
        }
    }
}
