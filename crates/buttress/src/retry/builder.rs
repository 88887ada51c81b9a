use std::{sync::Arc, time::Duration};

use super::{
    Backoff, Jitter, Retry,
    backoff::Waits,
    conditions::{Attempt, Predicate, RetryOn},
};
use crate::{
    budget::Budget,
    config::{ConfigError, Problems},
    duration::Human,
    replay::MAX_BODY,
    size,
};

/// The options of a [`Retry`], from [`Retry::builder`] or, for one that runs, [`Retry::options`].
#[derive(Clone, Debug, PartialEq)]
#[must_use = "a builder does nothing until it is built"]
pub struct RetryBuilder {
    pub(super) name: Option<Arc<str>>,
    pub(super) max_attempts: u32,
    pub(super) waits: Waits,
    pub(super) max_elapsed: Option<Duration>,
    pub(super) max_retry_after: Option<Duration>,
    pub(super) budget: Option<Budget>,
    pub(super) retry_on: RetryOn,
    pub(super) retry_if: Option<Predicate>,
    pub(super) retry_non_idempotent: bool,
    pub(super) max_body: u64,
    pub(super) attempt_header: bool,
    pub(super) seed: Option<u64>,
}

/// The longest wait that there can be.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl Default for RetryBuilder {
    fn default() -> Self {
        Self {
            name: None,
            max_attempts: 3,
            waits: Waits {
                backoff: Backoff::Exponential,
                initial: Duration::from_millis(100),
                multiplier: 2.0,
                cap: Duration::from_secs(10),
                jitter: Jitter::Full,
            },
            max_elapsed: Some(Duration::from_secs(30)),
            max_retry_after: None,
            budget: Some(Budget::default()),
            retry_on: RetryOn::default(),
            retry_if: None,
            retry_non_idempotent: false,
            max_body: 64 << 10,
            attempt_header: false,
            seed: None,
        }
    }
}

impl RetryBuilder {
    // ===== presets =====

    /// Three attempts, after up to 100 ms and up to 200 ms. The default.
    pub fn standard() -> Self {
        Self::default()
    }

    /// For calls that must get through: five attempts, after 50 ms and up to 5 s.
    pub fn aggressive() -> Self {
        Self::default()
            .max_attempts(5)
            .initial_backoff(Duration::from_millis(50))
            .max_backoff(Duration::from_secs(5))
    }

    /// For services that are easily overrun: two attempts, the second after half a second to a whole, and at most
    /// 10 % of the calls and 5 a second are repeated.
    pub fn conservative() -> Self {
        Self::default()
            .max_attempts(2)
            .initial_backoff(Duration::from_secs(1))
            .jitter(Jitter::Equal)
            .budget(Budget::new(0.1, 5))
    }

    /// For services with many calls at a time: three attempts, after 500 ms and up to 5 s.
    pub fn high_concurrency() -> Self {
        Self::default()
            .initial_backoff(Duration::from_millis(500))
            .max_backoff(Duration::from_secs(5))
    }

    /// For services that must answer fast: two attempts, after 200 ms and up to 1 s.
    pub fn low_latency() -> Self {
        Self::default()
            .max_attempts(2)
            .initial_backoff(Duration::from_millis(200))
            .max_backoff(Duration::from_secs(1))
    }

    /// One attempt: a policy that is off.
    pub fn none() -> Self {
        Self::default().max_attempts(1)
    }

    // ===== how often, and when =====

    /// The name in events and the registry. Without one it is named by the stack it is put into.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// How often a call is tried, the first time included (3).
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts;
        self
    }

    /// How the wait grows (exponentially).
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.waits.backoff = backoff;
        self
    }

    /// The wait before the second attempt, before jitter (100 ms).
    pub fn initial_backoff(mut self, wait: Duration) -> Self {
        self.waits.initial = wait;
        self
    }

    /// By what exponential backoff multiplies the wait each time (2).
    pub fn multiplier(mut self, multiplier: f64) -> Self {
        self.waits.multiplier = multiplier;
        self
    }

    /// The longest wait, jitter included (10 s; at most a day), unless the service [asks](Self::max_retry_after) for a
    /// longer one.
    pub fn max_backoff(mut self, wait: Duration) -> Self {
        self.waits.cap = wait;
        self
    }

    /// How the wait is spread (full jitter).
    pub fn jitter(mut self, jitter: Jitter) -> Self {
        self.waits.jitter = jitter;
        self
    }

    /// How long a call may have taken when its last wait ends (30 s): one that would end later is not begun. How long
    /// the service then takes to be ready is not in it; that is bounded by a [`Deadline`](crate::timeout::Deadline) around
    /// the retry. `None` is no limit but that of the call's own [deadline](crate::CallContext::deadline), which is
    /// obeyed in any case.
    pub fn max_elapsed(mut self, elapsed: impl Into<Option<Duration>>) -> Self {
        self.max_elapsed = elapsed.into();
        self
    }

    /// The longest wait that a service may ask for by `Retry-After` or `grpc-retry-pushback-ms` (`max_backoff`; at
    /// most a day).
    ///
    /// What a service asks for is waited in full, if the backoff is not longer anyway, and what jitter adds to the least
    /// wait there could be is added to it: not all whom it has told the same come back together. If it is more than
    /// this, the call is not repeated: to come back earlier than asked is to be sent away again, and its caller, who gets
    /// the answer at once, may know something better.
    pub fn max_retry_after(mut self, wait: Duration) -> Self {
        self.max_retry_after = Some(wait);
        self
    }

    /// How many of the calls may be repeated, over all (20 % of the recent ones and 10 a second besides). `None` is
    /// no limit: in an outage it makes every call as many as there are attempts.
    pub fn budget(mut self, budget: impl Into<Option<Budget>>) -> Self {
        self.budget = budget.into();
        self
    }

    // ===== what =====

    /// Which failures are worth another attempt; see [`RetryOn`] for the default.
    pub fn retry_on(mut self, on: RetryOn) -> Self {
        self.retry_on = on;
        self
    }

    /// Decides by `predicate` instead, from how the attempt ended, its number and the time it all has taken. It is
    /// not asked about successes, nor does it overrule [limits](Self::max_attempts) or a service that
    /// [forbids](crate::Outcome::retry_forbidden) it.
    ///
    /// ```
    /// use std::time::Duration;
    /// use buttress::{retry::Retry, outcome::Reason};
    ///
    /// let retry = Retry::builder()
    ///     .retry_if(|attempt| match attempt.outcome.reason() {
    ///         Reason::HttpStatus(409) => attempt.number == 1,
    ///         _ => attempt.elapsed < Duration::from_secs(1),
    ///     })
    ///     .build()?;
    /// # Ok::<(), buttress::ConfigError>(())
    /// ```
    ///
    /// What the response itself says is the protocol's to judge: see [`Plain::classify`](crate::Plain::classify)
    /// and those of HTTP and gRPC.
    pub fn retry_if(mut self, predicate: impl Fn(&Attempt) -> bool + Send + Sync + 'static) -> Self {
        self.retry_if = Some(Predicate(Arc::new(predicate)));
        self
    }

    /// Repeats requests that are not [repeatable](crate::RequestProtocol::repeatable) as well (no): for HTTP, those
    /// whose method is not idempotent and that have no `Idempotency-Key`; for gRPC, whose methods do not say, attempts
    /// that timed out, which may have done their work. Whoever bills by `POST` bills twice.
    pub fn retry_non_idempotent(mut self, on: bool) -> Self {
        self.retry_non_idempotent = on;
        self
    }

    /// How many bytes of a request's body are remembered for another attempt (64 KiB; at most 1 GiB). A request
    /// with a longer one is sent once.
    pub fn max_body(mut self, bytes: u64) -> Self {
        self.max_body = bytes;
        self
    }

    /// Tells the service which attempt it is (no): `x-retry-attempt` in HTTP, `grpc-previous-rpc-attempts` in gRPC.
    pub fn attempt_header(mut self, on: bool) -> Self {
        self.attempt_header = on;
        self
    }

    /// Draws jitter from this seed, so that a test can foretell every wait.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Checks the options and makes the policy.
    ///
    /// # Errors
    ///
    /// Every option that makes no sense, all at once.
    pub fn build(self) -> Result<Retry, ConfigError> {
        self.check()?;
        Ok(Retry::from_checked(self))
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let mut problems = Problems::new();
        problems.check(
            self.max_attempts >= 1,
            "max_attempts",
            self.max_attempts,
            "1 or more",
        );
        self.check_waits(&mut problems);
        let positive = |problems: &mut Problems, key, time: Option<Duration>| {
            if let Some(time) = time {
                problems.check(!time.is_zero(), key, Human(time), "a duration above zero, or off");
            }
        };
        positive(&mut problems, "max_elapsed", self.max_elapsed);
        if let Some(longest) = self.max_retry_after {
            problems.check(
                !longest.is_zero() && longest <= DAY,
                "max_retry_after",
                Human(longest),
                "above zero, at most 1d",
            );
        }
        if let Some(budget) = &self.budget {
            budget.check(&mut problems);
        }
        self.retry_on.check(&mut problems);
        problems.check(
            self.max_body <= MAX_BODY,
            "max_body",
            size::Human(self.max_body),
            "at most 1GiB",
        );
        problems.into_result()
    }

    fn check_waits(&self, problems: &mut Problems) {
        let waits = &self.waits;
        problems.check(
            !waits.initial.is_zero(),
            "initial_backoff",
            Human(waits.initial),
            "a duration above zero",
        );
        problems.check(
            waits.cap >= waits.initial && waits.cap <= DAY,
            "max_backoff",
            Human(waits.cap),
            "at least `initial_backoff`, at most 1d",
        );
        problems.check(
            waits.multiplier >= 1.0 && waits.multiplier.is_finite(),
            "multiplier",
            waits.multiplier,
            "a factor of 1 or more",
        );
        match waits.jitter {
            Jitter::Range(share) => {
                problems.check(
                    share > 0.0 && share <= 1.0,
                    "jitter.range",
                    share,
                    "a share above 0, up to 1",
                );
            }
            Jitter::Decorrelated => {
                problems.check(
                    waits.backoff == Backoff::Exponential,
                    "backoff",
                    format_args!("{:?} with decorrelated jitter", waits.backoff),
                    "nothing: that jitter takes the place of the backoff",
                );
                problems.check(
                    waits.cap > waits.initial,
                    "max_backoff",
                    Human(waits.cap),
                    "more than `initial_backoff`: decorrelated jitter lies between them",
                );
            }
            _ => {}
        }
    }

    // ===== what the options come to =====

    pub(super) fn effective_max_retry_after(&self) -> Duration {
        self.max_retry_after.unwrap_or(self.waits.cap)
    }
}
