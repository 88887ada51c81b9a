use std::{sync::Arc, time::Duration};

use super::{
    CircuitBreaker,
    probes::MAX_PROBES,
    window::{MAX_CALLS, TimeWindow},
};
use crate::config::{ConfigError, Problems};

/// The options of a [`CircuitBreaker`], from [`CircuitBreaker::builder`] or, for one that runs,
/// [`CircuitBreaker::options`].
///
/// Several triggers may be on at once; the first that fires opens the circuit. Only the run of consecutive
/// failures is on by default.
#[derive(Clone, Debug, PartialEq)]
#[must_use = "a builder does nothing until it is built"]
pub struct CircuitBreakerBuilder {
    pub(super) name: Option<Arc<str>>,
    pub(super) consecutive_failures: Option<u32>,
    pub(super) failure_rate: Option<f64>,
    pub(super) slow_call_rate: Option<f64>,
    pub(super) slow_after: Option<Duration>,
    pub(super) window: WindowShape,
    pub(super) minimum_calls: Option<u32>,
    pub(super) open_for: Duration,
    pub(super) open_growth: f64,
    pub(super) max_open_for: Option<Duration>,
    pub(super) open_jitter: f64,
    pub(super) steady_after: Option<Duration>,
    pub(super) half_open_probes: u32,
    pub(super) success_threshold: u32,
    pub(super) probe_lease: Option<Duration>,
}

/// Over what a rate is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WindowShape {
    Calls(u32),
    Time(Duration),
}

const DEFAULT_SLOW_AFTER: Duration = Duration::from_secs(5);
const DEFAULT_MINIMUM: u32 = 20;
const DEFAULT_MAX_OPEN: Duration = Duration::from_secs(5 * 60);

impl Default for CircuitBreakerBuilder {
    fn default() -> Self {
        Self {
            name: None,
            consecutive_failures: Some(5),
            failure_rate: None,
            slow_call_rate: None,
            slow_after: None,
            window: WindowShape::Calls(100),
            minimum_calls: None,
            open_for: Duration::from_secs(60),
            open_growth: 1.0,
            max_open_for: None,
            open_jitter: 0.1,
            steady_after: None,
            half_open_probes: 3,
            success_threshold: 2,
            probe_lease: None,
        }
    }
}

impl CircuitBreakerBuilder {
    /// A usual [`failure_rate`](Self::failure_rate) or [`slow_call_rate`](Self::slow_call_rate), for who has no reason
    /// for another: half of the calls.
    pub const USUAL_RATE: f64 = 0.5;

    /// A usual [`time_window`](Self::time_window): 30 s.
    pub const USUAL_TIME_WINDOW: Duration = Duration::from_secs(30);

    /// For services with many calls at a time: 10 failures in a row open it for 30 s; 5 probes, 3 successes
    /// close it.
    pub fn high_concurrency() -> Self {
        Self::default()
            .consecutive_failures(10)
            .success_threshold(3)
            .open_for(Duration::from_secs(30))
            .half_open_probes(5)
    }

    /// For services that must answer fast: 3 failures in a row open it for 10 s; 2 probes, 2 successes close it.
    pub fn low_latency() -> Self {
        Self::default()
            .consecutive_failures(3)
            .success_threshold(2)
            .open_for(Duration::from_secs(10))
            .half_open_probes(2)
    }

    /// The name in rejections, events and the registry. Without one it is named by the stack it is put into.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Opens after so many failures in a row (5); `None` switches this trigger off. A success ends the run; a
    /// throttled, neutral or cancelled call neither adds to it nor ends it.
    pub fn consecutive_failures(mut self, failures: impl Into<Option<u32>>) -> Self {
        self.consecutive_failures = failures.into();
        self
    }

    /// Opens when this share (0 to 1) of the calls in the window failed or were throttled (off;
    /// [0.5](Self::USUAL_RATE) is usual), from [`minimum_calls`](Self::minimum_calls) on.
    pub fn failure_rate(mut self, rate: impl Into<Option<f64>>) -> Self {
        self.failure_rate = rate.into();
        self
    }

    /// Opens when this share (0 to 1) of the calls in the window were slow (off; [0.5](Self::USUAL_RATE) is usual), from
    /// [`minimum_calls`](Self::minimum_calls) on. It costs two clock reads a call.
    pub fn slow_call_rate(mut self, rate: impl Into<Option<f64>>) -> Self {
        self.slow_call_rate = rate.into();
        self
    }

    /// From when on a call is slow (the stack's attempt timeout, else 5 s; where the stack's total is shorter, nine tenths of
    /// that), measured to the response headers. A
    /// call that is cancelled after so long counts as a slow failure, whether slow calls are watched or not.
    pub fn slow_after(mut self, slow: Duration) -> Self {
        self.slow_after = Some(slow);
        self
    }

    /// Takes the rates over the last so many calls (100).
    pub fn count_window(mut self, calls: u32) -> Self {
        self.window = WindowShape::Calls(calls);
        self
    }

    /// Takes the rates over the last so much time ([30 s](Self::USUAL_TIME_WINDOW) is usual), in ten buckets.
    pub fn time_window(mut self, time: Duration) -> Self {
        self.window = WindowShape::Time(time);
        self
    }

    /// How many calls the window must hold before a rate means anything (20, or the window if that is smaller).
    pub fn minimum_calls(mut self, calls: u32) -> Self {
        self.minimum_calls = Some(calls);
        self
    }

    /// How long it stays open before it lets probes through (60 s).
    pub fn open_for(mut self, time: Duration) -> Self {
        self.open_for = time;
        self
    }

    /// By what the open time is multiplied after each failed probation (1, which is constant).
    pub fn open_growth(mut self, factor: f64) -> Self {
        self.open_growth = factor;
        self
    }

    /// The longest it stays open (5 minutes, or `open_for` if that is longer), however much the time has grown
    /// and whatever `Retry-After` the service sends.
    pub fn max_open_for(mut self, time: Duration) -> Self {
        self.max_open_for = Some(time);
        self
    }

    /// By which share (0 to 1) of itself the open time may be shortened at random (0.1), so that a fleet does
    /// not reopen at the same moment. Drawn inside the cap, so it does not vanish there. A time that the service itself
    /// asks for by `Retry-After` is lengthened instead, within the cap, and shortened only if it is cut to that.
    pub fn open_jitter(mut self, share: f64) -> Self {
        self.open_jitter = share;
        self
    }

    /// How long it must have stayed closed before the growth of the open time is forgotten (`open_for`).
    pub fn steady_after(mut self, time: Duration) -> Self {
        self.steady_after = Some(time);
        self
    }

    /// How many probes may run at a time while half-open (3; at most 1024).
    pub fn half_open_probes(mut self, probes: u32) -> Self {
        self.half_open_probes = probes;
        self
    }

    /// How many probes must succeed before it closes (2).
    pub fn success_threshold(mut self, successes: u32) -> Self {
        self.success_threshold = successes;
        self
    }

    /// How long a probe may take before its slot may go to another (`open_for`). What it says once it has lost its
    /// slot is ignored.
    pub fn probe_lease(mut self, time: Duration) -> Self {
        self.probe_lease = Some(time);
        self
    }

    /// Checks the options and makes the breaker, closed.
    ///
    /// # Errors
    ///
    /// Every option that makes no sense, all at once.
    pub fn build(self) -> Result<CircuitBreaker, ConfigError> {
        self.check()?;
        Ok(CircuitBreaker::from_checked(self))
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let mut problems = Problems::new();
        let positive = |problems: &mut Problems, key, time: Option<Duration>| {
            if let Some(time) = time {
                problems.check(
                    !time.is_zero(),
                    key,
                    crate::duration::Human(time),
                    "a duration above zero",
                );
            }
        };
        let rate = |problems: &mut Problems, key, rate: Option<f64>| {
            if let Some(rate) = rate {
                problems.check(rate > 0.0 && rate <= 1.0, key, rate, "a share above 0, up to 1");
            }
        };
        if let Some(n) = self.consecutive_failures {
            problems.check(n >= 1, "consecutive_failures", n, "1 or more, or off");
        }
        rate(&mut problems, "failure_rate", self.failure_rate);
        rate(&mut problems, "slow_call_rate", self.slow_call_rate);
        positive(&mut problems, "slow_after", self.slow_after);
        match self.window {
            WindowShape::Calls(calls) => {
                problems.check(
                    (1..=MAX_CALLS).contains(&calls),
                    "count_window",
                    calls,
                    "1 to 1048576 calls",
                );
                if let Some(minimum) = self.minimum_calls {
                    problems.check(
                        minimum <= calls,
                        "minimum_calls",
                        minimum,
                        "at most the calls of the window: it would never trip",
                    );
                }
            }
            WindowShape::Time(time) => {
                let shortest = TimeWindow::SHORTEST;
                problems.check(
                    time >= shortest,
                    "time_window",
                    crate::duration::Human(time),
                    "10ms or more",
                );
            }
        }
        if let Some(minimum) = self.minimum_calls {
            problems.check(minimum >= 1, "minimum_calls", minimum, "1 or more");
        }
        positive(&mut problems, "open_for", Some(self.open_for));
        problems.check(
            self.open_growth >= 1.0 && self.open_growth.is_finite(),
            "open_growth",
            self.open_growth,
            "a factor of 1 or more",
        );
        if let Some(max) = self.max_open_for {
            problems.check(
                max >= self.open_for,
                "max_open_for",
                crate::duration::Human(max),
                "at least `open_for`",
            );
        }
        problems.check(
            (0.0..=1.0).contains(&self.open_jitter),
            "open_jitter",
            self.open_jitter,
            "a share from 0 to 1",
        );
        problems.check(
            (1..=MAX_PROBES).contains(&self.half_open_probes),
            "half_open_probes",
            self.half_open_probes,
            "1 to 1024: with none it would never close again",
        );
        problems.check(
            self.success_threshold >= 1,
            "success_threshold",
            self.success_threshold,
            "1 or more",
        );
        positive(&mut problems, "probe_lease", self.probe_lease);
        problems.into_result()
    }

    // ===== what the options come to =====

    /// Does anything need the window?
    pub(super) fn uses_window(&self) -> bool {
        self.failure_rate.is_some() || self.slow_call_rate.is_some()
    }

    /// `assumed` is what its stack takes for slow.
    pub(super) fn effective_slow_after(&self, assumed: Option<Duration>) -> Duration {
        self.slow_after.or(assumed).unwrap_or(DEFAULT_SLOW_AFTER)
    }

    pub(super) fn effective_minimum(&self) -> u32 {
        match (self.minimum_calls, self.window) {
            (Some(minimum), _) => minimum,
            (None, WindowShape::Calls(calls)) => DEFAULT_MINIMUM.min(calls),
            (None, WindowShape::Time(_)) => DEFAULT_MINIMUM,
        }
    }

    pub(super) fn effective_max_open(&self) -> Duration {
        self.max_open_for.unwrap_or(DEFAULT_MAX_OPEN).max(self.open_for)
    }

    pub(super) fn effective_lease(&self) -> Duration {
        self.probe_lease.unwrap_or(self.open_for)
    }

    pub(super) fn effective_steady(&self) -> Duration {
        self.steady_after.unwrap_or(self.open_for)
    }

    /// How long to stay open after so many failed probations: grown, capped, shortened by `draw` (0 to 1) of the
    /// jitter, and no shorter than what the service itself asked for, up to the cap. That is lengthened by as much of the
    /// jitter, for all who ask the service are told the same.
    pub(super) fn open_time(&self, failed_probations: u32, draw: f64, asked: Option<Duration>) -> Duration {
        let cap = self.effective_max_open();
        let exponent = i32::try_from(failed_probations).unwrap_or(i32::MAX);
        let grown = self.open_for.as_secs_f64() * self.open_growth.powi(exponent);
        let time = if grown < cap.as_secs_f64() {
            Duration::from_secs_f64(grown)
        } else {
            cap
        };
        // As a float the longest durations round up to more than there is.
        let times = |time: Duration, factor: f64| {
            Duration::try_from_secs_f64(time.as_secs_f64() * factor).unwrap_or(time)
        };
        let shortened = |time| times(time, 1.0 - self.open_jitter * draw);
        let asked = match asked.unwrap_or_default() {
            // It does not get what it asked for anyway.
            asked if asked > cap => shortened(cap),
            asked => {
                let longest = times(asked, 1.0 + self.open_jitter).min(cap);
                asked + times(longest.saturating_sub(asked), draw)
            }
        };
        shortened(time).max(asked)
    }
}
