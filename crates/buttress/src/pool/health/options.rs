use std::time::Duration;

use crate::{
    config::{ConfigError, Problems},
    duration::Human,
};

/// How often the health of endpoints is checked, and what follows from it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "options do nothing until a pool has them"]
pub struct HealthCheck {
    pub(super) interval: Duration,
    pub(super) timeout: Duration,
    pub(super) failure_threshold: u32,
    pub(super) recovery_threshold: u32,
    pub(super) rebalance_interval: Option<Duration>,
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(1),
            failure_threshold: 3,
            recovery_threshold: 2,
            rebalance_interval: Some(Duration::from_secs(5 * 60)),
        }
    }
}

pub(in crate::pool) const MAX_THRESHOLD: u32 = 1000;

impl HealthCheck {
    /// The default options.
    pub fn new() -> Self {
        Self::default()
    }

    /// The time between two checks of an endpoint that is well (10 s), shortened by up to a tenth at random; of one
    /// that is not, see the [module](super).
    pub fn interval(mut self, time: Duration) -> Self {
        self.interval = time;
        self
    }

    /// How long a check may take (1 s).
    pub fn timeout(mut self, time: Duration) -> Self {
        self.timeout = time;
        self
    }

    /// So many checks must fail, one after the other, before an endpoint is out (3).
    pub fn failure_threshold(mut self, checks: u32) -> Self {
        self.failure_threshold = checks;
        self
    }

    /// So many checks must be passed, one after the other, before an endpoint is back (2).
    pub fn recovery_threshold(mut self, checks: u32) -> Self {
        self.recovery_threshold = checks;
        self
    }

    /// How often the weights are set by how the endpoints do (5 minutes), besides whenever one recovers; see
    /// [`Pool::rebalance`](crate::pool::Pool::rebalance). `None` is never: the weights stay what they are.
    pub fn rebalance_interval(mut self, time: impl Into<Option<Duration>>) -> Self {
        self.rebalance_interval = time.into();
        self
    }

    pub(in crate::pool) fn checked(&self) -> Result<(), ConfigError> {
        let mut problems = Problems::new();
        let mut positive = |key, time: Duration| {
            problems.check(!time.is_zero(), key, Human(time), "a duration above zero");
        };
        positive("interval", self.interval);
        positive("timeout", self.timeout);
        if let Some(time) = self.rebalance_interval {
            positive("rebalance_interval", time);
        }
        for (key, checks) in [
            ("failure_threshold", self.failure_threshold),
            ("recovery_threshold", self.recovery_threshold),
        ] {
            problems.check(
                (1..=MAX_THRESHOLD).contains(&checks),
                key,
                checks,
                "1 to 1000 checks",
            );
        }
        problems.into_result()
    }
}
