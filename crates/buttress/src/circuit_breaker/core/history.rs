use std::sync::atomic::{
    AtomicU16, AtomicU32, AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed},
};

use crate::circuit_breaker::state::State;

/// What is written only when the state changes, in ticks.
#[derive(Default)]
pub(super) struct History {
    pub(super) entered: AtomicU64,
    /// When it opened, if it has not closed since; 0 if it has.
    outage: AtomicU64,
    pub(super) failed_probations: AtomicU32,
    /// The generation in which the window was last made new.
    pub(super) window_born: AtomicU16,
    pub(super) opened: AtomicU64,
    /// How often each state was entered; no reset lowers it.
    pub(super) entries: [AtomicU32; State::ALL.len()],
    pub(super) recoveries: AtomicU64,
    pub(super) recovery_time: AtomicU64,
}

impl History {
    pub(super) fn entered(&self, to: State, now: u64) {
        self.entered.store(now, Relaxed);
        match to {
            State::Open | State::ForcedOpen => {
                self.opened.fetch_add(1, Relaxed);
                // One outage from the first opening to the closing, however many probations fail in between.
                let _ = self.outage.compare_exchange(0, now.max(1), AcqRel, Acquire);
            }
            State::Closed => {
                let since = self.outage.swap(0, AcqRel);
                if since != 0 {
                    self.recovery_time.fetch_add(now.saturating_sub(since), Relaxed);
                    self.recoveries.fetch_add(1, Relaxed);
                }
            }
            _ => {}
        }
    }

    pub(super) fn clear(&self) {
        for count in [&self.opened, &self.recoveries, &self.recovery_time, &self.outage] {
            count.store(0, Relaxed);
        }
        self.failed_probations.store(0, Relaxed);
    }
}
