use super::Ticks;

#[derive(Clone, Debug, PartialEq)]
pub(in super::super) struct Config {
    pub(in super::super) consecutive_failures: Option<u32>,
    /// In percent.
    pub(in super::super) failure_rate: Option<u64>,
    pub(in super::super) slow_call_rate: Option<u64>,
    pub(in super::super) slow_after: Ticks,
    pub(in super::super) window: Shape,
    pub(in super::super) minimum_calls: Option<u32>,
    pub(in super::super) open_for: Ticks,
    pub(in super::super) open_growth: u64,
    pub(in super::super) max_open_for: Option<Ticks>,
    pub(in super::super) steady_after: Option<Ticks>,
    pub(in super::super) half_open_probes: usize,
    pub(in super::super) success_threshold: u64,
    pub(in super::super) probe_lease: Option<Ticks>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(in super::super) enum Shape {
    Calls(u32),
    Time(Ticks),
}

impl Config {
    pub(super) fn watches_rates(&self) -> bool {
        self.failure_rate.is_some() || self.slow_call_rate.is_some()
    }

    pub(super) fn minimum(&self) -> usize {
        let default = match self.window {
            Shape::Calls(calls) => calls.min(20),
            Shape::Time(_) => 20,
        };
        self.minimum_calls.unwrap_or(default) as usize
    }

    pub(super) fn lease(&self) -> Ticks {
        self.probe_lease.unwrap_or(self.open_for)
    }

    pub(super) fn open_time(&self, failed_probations: u32, asked: Option<Ticks>) -> Ticks {
        let five_minutes = 5 * 60 * 100_000;
        let cap = self.max_open_for.unwrap_or(five_minutes).max(self.open_for);
        let mut time = self.open_for;
        for _ in 0..failed_probations {
            time = (time * self.open_growth).min(cap);
        }
        time.max(asked.unwrap_or(0).min(cap))
    }
}
