//! What a result does to the state.

use super::*;

impl Naive {
    // ===== decisions =====

    /// `false` if it comes too late.
    pub(super) fn decide(&mut self, life: u64, verdict: Verdict, slow: bool, asked: Option<Ticks>) -> bool {
        if life != self.life {
            return false;
        }
        match self.state {
            State::Closed | State::MetricsOnly => self.weigh(verdict, slow, asked),
            State::HalfOpen => match verdict {
                Verdict::Success => {
                    self.pass(life);
                }
                Verdict::Neutral => {}
                Verdict::Failure | Verdict::Throttled => {
                    self.failed_probations += 1;
                    self.open(asked);
                }
            },
            _ => {}
        }
        true
    }

    fn weigh(&mut self, verdict: Verdict, slow: bool, asked: Option<Ticks>) {
        match verdict {
            Verdict::Success => self.streak = 0,
            Verdict::Failure => self.streak += 1,
            Verdict::Throttled => {}
            Verdict::Neutral => return,
        }
        let failed = matches!(verdict, Verdict::Failure | Verdict::Throttled);
        if self.config.watches_rates() {
            let bucket = self.bucket();
            self.window.push_back(Recorded { bucket, failed, slow });
        }
        let streak = verdict == Verdict::Failure
            && self
                .config
                .consecutive_failures
                .is_some_and(|limit| self.streak >= limit.into());
        if self.state == State::Closed && (streak || self.a_rate_is_reached()) {
            self.forget_growth_if_steady();
            self.open(asked);
        }
    }

    fn a_rate_is_reached(&self) -> bool {
        let (calls, failed, slow) = self.tally();
        let reached = |part: usize, percent: Option<u64>| {
            percent.is_some_and(|p| part > 0 && part as u64 * 100 >= p * calls as u64)
        };
        self.config.watches_rates()
            && calls >= self.config.minimum()
            && (reached(failed, self.config.failure_rate) || reached(slow, self.config.slow_call_rate))
    }

    pub(super) fn bucket(&self) -> u64 {
        match self.config.window {
            Shape::Calls(_) => 0,
            Shape::Time(time) => self.now / time.div_ceil(10),
        }
    }

    /// Calls, failed, slow.
    pub(super) fn tally(&self) -> (usize, usize, usize) {
        let held: Vec<_> = match self.config.window {
            Shape::Calls(calls) => self.window.iter().rev().take(calls as usize).collect(),
            Shape::Time(_) => {
                let present = self.bucket();
                self.window.iter().filter(|r| r.bucket + 10 > present).collect()
            }
        };
        (
            held.len(),
            held.iter().filter(|r| r.failed).count(),
            held.iter().filter(|r| r.slow).count(),
        )
    }

    pub(super) fn pass(&mut self, life: u64) -> bool {
        if life != self.life || self.state != State::HalfOpen {
            return false;
        }
        self.passed_probes += 1;
        if self.passed_probes >= self.config.success_threshold {
            self.change(State::Closed);
        }
        true
    }

    pub(super) fn open(&mut self, asked: Option<Ticks>) {
        self.open_until = self.now + self.config.open_time(self.failed_probations, asked);
        self.change(State::Open);
    }

    pub(super) fn forget_growth_if_steady(&mut self) {
        let steady = self.config.steady_after.unwrap_or(self.config.open_for);
        if self.state == State::Closed && self.now - self.entered >= steady {
            self.failed_probations = 0;
        }
    }

    pub(super) fn change(&mut self, to: State) {
        self.state = to;
        self.life += 1;
        self.streak = 0;
        self.passed_probes = 0;
        self.window.clear();
        self.slots.fill(None);
        self.entered = self.now;
        match to {
            State::Open | State::ForcedOpen => {
                self.times_opened += 1;
                self.outage_since.get_or_insert(self.now);
            }
            State::Closed => {
                if let Some(since) = self.outage_since.take() {
                    self.recoveries.push(self.now - since);
                }
            }
            _ => {}
        }
    }
}
