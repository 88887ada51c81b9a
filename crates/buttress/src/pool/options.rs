use std::{fmt, sync::Arc, time::Duration};

use super::balance::Strategy;
use crate::{
    budget::Budget,
    config::{ConfigError, Problems},
    duration::Human,
    error::RejectionKind,
    outcome::{Outcome, Reason, Verdict},
};

/// The options of a [`Pool`](super::Pool) that do not depend on what its endpoints are; for one that runs, from
/// [`Pool::options`](super::Pool::options).
#[derive(Clone, Debug, PartialEq)]
#[must_use = "options do nothing until a pool has them"]
pub struct PoolOptions {
    pub(super) name: Option<Arc<str>>,
    pub(super) strategy: Strategy,
    pub(super) failover: u32,
    pub(super) failover_if: Option<Predicate>,
    pub(super) budget: Option<Budget>,
    pub(super) max_body: u64,
    pub(super) panic_mode: bool,
    pub(super) slow_start: Duration,
    pub(super) max_retry_after: Duration,
}

/// A judgement of the user's own over how a call ended.
#[derive(Clone)]
pub(super) struct Predicate(pub(super) Arc<dyn Fn(&Outcome) -> bool + Send + Sync>);

/// Two are equal if they are the same one.
impl PartialEq for Predicate {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Predicate")
    }
}

pub(super) const MAX_FAILOVER: u32 = 64;
pub(super) const MAX_BODY: u64 = 1 << 30;
pub(super) const DEFAULT_BUDGET: Budget = Budget::new(1.0, 100);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl Default for PoolOptions {
    fn default() -> Self {
        Self {
            name: None,
            strategy: Strategy::default(),
            failover: 2,
            failover_if: None,
            budget: Some(DEFAULT_BUDGET),
            max_body: 64 << 10,
            panic_mode: false,
            slow_start: Duration::from_secs(30),
            max_retry_after: Duration::from_secs(60),
        }
    }
}

impl PoolOptions {
    /// The name in rejections, events and the registry. Without one it is named by the stack it is put into.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// How an endpoint is chosen ([`P2cEwma`](Strategy::P2cEwma)).
    pub fn balance(mut self, strategy: Strategy) -> Self {
        self.strategy = strategy;
        self
    }

    /// How many other endpoints a call that failed, and may be repeated, is sent to (2; at most 64). 0 is off.
    ///
    /// Inside of a retry only the first attempt fails over: three attempts of three calls each would be nine on
    /// endpoints that may all be in trouble, and the retry asks the pool anew anyway.
    pub fn failover(mut self, endpoints: u32) -> Self {
        self.failover = endpoints;
        self
    }

    /// Decides by `predicate` which failures are worth another endpoint: not asked about successes. By default those
    /// that the endpoint may have to itself: its own errors (no connection, one that broke), a timeout, 502, 503, 504
    /// and 429, `UNAVAILABLE` and `RESOURCE_EXHAUSTED`, and refusals by the layers around it; not a panic, nor a 500.
    pub fn failover_if(mut self, predicate: impl Fn(&Outcome) -> bool + Send + Sync + 'static) -> Self {
        self.failover_if = Some(Predicate(Arc::new(predicate)));
        self
    }

    /// How many calls may fail over, over all (as many as there were calls in about the last second, and 100 a second
    /// besides). `None` is no limit: while every endpoint fails and none is open yet, every call is as many as there
    /// are endpoints to try.
    pub fn budget(mut self, budget: impl Into<Option<Budget>>) -> Self {
        self.budget = budget.into();
        self
    }

    /// How many bytes of a request's body are remembered for another endpoint (64 KiB; at most 1 GiB). A request with
    /// a longer one is sent once.
    pub fn max_body(mut self, bytes: u64) -> Self {
        self.max_body = bytes;
        self
    }

    /// If over half of the endpoints are out, chooses among all of them (no), for when so many are out it may be the
    /// judgement that is at fault, and the few that are left would go down under the load of all. An endpoint at its limit
    /// is not out, and its limit holds. It makes every choice look at every endpoint.
    pub fn panic_mode(mut self, on: bool) -> Self {
        self.panic_mode = on;
        self
    }

    /// For how long an endpoint that is back is eased in, from a tenth of its calls to all of them (30 s; zero is
    /// off; at most a day).
    pub fn slow_start(mut self, time: Duration) -> Self {
        self.slow_start = time;
        self
    }

    /// The longest time for which an endpoint that asked for it by a 429 is passed over (60 s; at most a day).
    pub fn max_retry_after(mut self, time: Duration) -> Self {
        self.max_retry_after = time;
        self
    }

    pub(super) fn check(&self, problems: &mut Problems) {
        problems.check(
            self.failover <= MAX_FAILOVER,
            "failover",
            self.failover,
            "0 to 64 endpoints",
        );
        if let Some(budget) = &self.budget {
            budget.check(problems);
        }
        problems.check(
            self.max_body <= MAX_BODY,
            "max_body",
            crate::size::Human(self.max_body),
            "at most 1GiB",
        );
        for (key, time) in [
            ("slow_start", self.slow_start),
            ("max_retry_after", self.max_retry_after),
        ] {
            problems.check(time <= DAY, key, Human(time), "at most 1d");
        }
    }

    pub(super) fn checked(self) -> Result<Self, ConfigError> {
        let mut problems = Problems::new();
        self.check(&mut problems);
        problems.into_result().map(|()| self)
    }

    /// Is a call that ended so worth another endpoint?
    pub(super) fn is_worth_another(&self, outcome: &Outcome) -> bool {
        if outcome.verdict() == Verdict::Success || outcome.retry_forbidden() {
            return false;
        }
        match &self.failover_if {
            Some(predicate) => (predicate.0)(outcome),
            None => is_its_own(outcome),
        }
    }
}

/// May another endpoint answer better? What the layers around an endpoint refuse has not even been asked; a panic, and
/// a 500, would most likely be the same elsewhere.
fn is_its_own(outcome: &Outcome) -> bool {
    match outcome.reason() {
        Reason::Error | Reason::Custom(_) => outcome.verdict() != Verdict::Neutral,
        Reason::HttpStatus(status) => matches!(status, 429 | 502 | 503 | 504),
        Reason::GrpcStatus(code) => matches!(code, 8 | 14),
        Reason::Rejected(kind) => !matches!(kind, RejectionKind::Panicked | RejectionKind::DeadlineExpired),
        _ => false,
    }
}
