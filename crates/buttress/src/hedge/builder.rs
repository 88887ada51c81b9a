use std::{sync::Arc, time::Duration};

use super::{After, Hedge};
use crate::{
    budget::Budget,
    config::{ConfigError, Problems},
    duration::Human,
    size,
};

/// The options of a [`Hedge`], from [`Hedge::builder`] or, for one that runs, [`Hedge::options`].
#[derive(Clone, Debug, PartialEq)]
#[must_use = "a builder does nothing until it is built"]
pub struct HedgeBuilder {
    pub(super) name: Option<Arc<str>>,
    pub(super) after: After,
    pub(super) min_delay: Duration,
    pub(super) max_delay: Option<Duration>,
    pub(super) initial_delay: Option<Duration>,
    pub(super) min_samples: u64,
    pub(super) window: Duration,
    pub(super) budget: Option<Budget>,
    pub(super) hedge_non_idempotent: bool,
    pub(super) idempotent_routes: Vec<String>,
    pub(super) max_body: u64,
    pub(super) attempt_header: bool,
}

/// The longest delay, and the longest window.
const HOUR: Duration = Duration::from_secs(60 * 60);

/// The least that a quantile may be of.
pub(super) const QUANTILES: std::ops::RangeInclusive<f64> = 0.5..=0.999;

/// The most durations that a quantile can be made to wait for.
pub(super) const MOST_SAMPLES: u64 = 1_000_000;

/// The longest body that can be remembered.
pub(super) const MAX_BODY: u64 = 1 << 30;

impl HedgeBuilder {
    /// A twentieth of the calls and one a second.
    pub(super) const BUDGET: Budget = Budget::new(0.05, 1);
}

impl Default for HedgeBuilder {
    fn default() -> Self {
        Self {
            name: None,
            after: After::Quantile(0.95),
            min_delay: Duration::from_millis(1),
            max_delay: None,
            initial_delay: None,
            min_samples: 100,
            window: Duration::from_secs(30),
            budget: Some(Self::BUDGET),
            hedge_non_idempotent: false,
            idempotent_routes: Vec::new(),
            max_body: 64 << 10,
            attempt_header: false,
        }
    }
}

impl HedgeBuilder {
    /// The name in events and the registry. Without one it is named by the stack it is put into.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    // ===== when =====

    /// When the second attempt is made (at the 95th percentile): a fixed delay, up to an hour, or a quantile from 0.5
    /// to 0.999.
    pub fn after(mut self, after: impl Into<After>) -> Self {
        self.after = after.into();
        self
    }

    /// The same, at a quantile of the recent latencies: `0.95`.
    pub fn after_quantile(self, quantile: f64) -> Self {
        self.after(After::Quantile(quantile))
    }

    /// The shortest delay that a quantile may come to (1 ms, which is as fine as timers are).
    pub fn min_delay(mut self, delay: Duration) -> Self {
        self.min_delay = delay;
        self
    }

    /// The longest delay that a quantile may come to (none): where more calls are slow than the quantile leaves, it is
    /// as slow as they are, and a hedge that comes so late is of no use.
    pub fn max_delay(mut self, delay: impl Into<Option<Duration>>) -> Self {
        self.max_delay = delay.into();
        self
    }

    /// The delay until the quantile is known (none: until then only a failure starts a second attempt).
    pub fn initial_delay(mut self, delay: impl Into<Option<Duration>>) -> Self {
        self.initial_delay = delay.into();
        self
    }

    /// How many latencies it takes to know a quantile (100).
    pub fn min_samples(mut self, samples: u64) -> Self {
        self.min_samples = samples;
        self
    }

    /// How far back the latencies go that a quantile is of (30 s; up to an hour), if there are enough of them. The last
    /// half of it at least is in it.
    pub fn window(mut self, window: Duration) -> Self {
        self.window = window;
        self
    }

    /// How many of the calls may be hedged, over all (5 % of the recent ones and 1 a second besides). `None` is no
    /// limit: in an outage that makes all calls slow, every call is made twice.
    pub fn budget(mut self, budget: impl Into<Option<Budget>>) -> Self {
        self.budget = budget.into();
        self
    }

    // ===== what =====

    /// Hedges requests that are not [idempotent](crate::RequestProtocol::idempotent) as well (no): for HTTP, those
    /// whose method is not and that have no `Idempotency-Key`; for gRPC, all, since its methods do not say. They *are*
    /// carried out twice, and often: do not for what is not read-only.
    pub fn hedge_non_idempotent(mut self, on: bool) -> Self {
        self.hedge_non_idempotent = on;
        self
    }

    /// Hedges requests of these [routes](crate::RequestProtocol::route) too (none): the gRPC methods that are
    /// idempotent, `"/catalog.Catalog/Get"`.
    pub fn idempotent_routes<R: Into<String>>(mut self, routes: impl IntoIterator<Item = R>) -> Self {
        self.idempotent_routes = routes.into_iter().map(Into::into).collect();
        self
    }

    /// How many bytes of a request's body are remembered for a second attempt (64 KiB; at most 1 GiB). A request with a
    /// longer one is sent once.
    pub fn max_body(mut self, bytes: u64) -> Self {
        self.max_body = bytes;
        self
    }

    /// Tells the service which attempt it is (no): `x-retry-attempt` in HTTP, `grpc-previous-rpc-attempts` in gRPC.
    pub fn attempt_header(mut self, on: bool) -> Self {
        self.attempt_header = on;
        self
    }

    /// Checks the options and makes the policy.
    ///
    /// # Errors
    ///
    /// Every option that makes no sense, all at once.
    pub fn build(self) -> Result<Hedge, ConfigError> {
        self.check()?;
        Ok(Hedge::from_checked(self))
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let mut problems = Problems::new();
        let delay = |problems: &mut Problems, key, delay: Duration| {
            let fits = !delay.is_zero() && delay <= HOUR;
            problems.check(fits, key, Human(delay), "above zero, at most 1h");
        };
        match self.after {
            After::Delay(after) => delay(&mut problems, "after", after),
            After::Quantile(quantile) => {
                problems.check(
                    QUANTILES.contains(&quantile),
                    "after",
                    quantile,
                    "a quantile, 0.5 to 0.999",
                );
            }
        }
        delay(&mut problems, "min_delay", self.min_delay);
        if let Some(longest) = self.max_delay {
            problems.check(
                longest >= self.min_delay && longest <= HOUR,
                "max_delay",
                Human(longest),
                "at least `min_delay`, at most 1h",
            );
        }
        if let Some(initial) = self.initial_delay {
            delay(&mut problems, "initial_delay", initial);
        }
        problems.check(
            (1..=MOST_SAMPLES).contains(&self.min_samples),
            "min_samples",
            self.min_samples,
            "1 to 1000000",
        );
        delay(&mut problems, "window", self.window);
        if let Some(budget) = &self.budget {
            budget.check(&mut problems);
        }
        for route in &self.idempotent_routes {
            let is_path = route.starts_with('/') && route.len() > 1;
            problems.check(
                is_path,
                "idempotent_routes",
                format_args!("\"{route}\""),
                "a route as the protocol has it, \"/package.Service/Method\"",
            );
        }
        problems.check(
            self.max_body <= MAX_BODY,
            "max_body",
            size::Human(self.max_body),
            "at most 1GiB",
        );
        problems.into_result()
    }

    // ===== what the options come to =====

    /// The delay that goes with a quantile, or with none that is known yet.
    pub(super) fn delay_at(&self, quantile: Option<Duration>) -> Option<Duration> {
        let Some(quantile) = quantile else {
            return self.initial_delay;
        };
        let delay = quantile.max(self.min_delay);
        Some(self.max_delay.map_or(delay, |longest| delay.min(longest)))
    }
}
