use std::{sync::Arc, time::Duration};

#[cfg(feature = "keyed")]
use super::keys::KeyOptions;
use super::{Algorithm, Limit, RateLimiter};
use crate::{
    config::{ConfigError, Problems},
    duration::Human,
};

/// The options of a [`RateLimiter`], from [`RateLimiter::per_second`] and its like, [`RateLimiter::builder`] or, for one
/// that runs, [`RateLimiter::options`].
#[derive(Clone, Debug, PartialEq)]
#[must_use = "a builder does nothing until it is built"]
pub struct RateLimiterBuilder {
    pub(super) name: Option<Arc<str>>,
    pub(super) algorithm: Algorithm,
    pub(super) permits: Option<u64>,
    pub(super) per: Duration,
    pub(super) burst: Option<u64>,
    pub(super) max_wait: Duration,
    pub(super) headers: bool,
    #[cfg(feature = "keyed")]
    pub(super) keys: Option<KeyOptions>,
}

/// A longer wait than that is none that anybody meant.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);

impl Default for RateLimiterBuilder {
    fn default() -> Self {
        Self {
            name: None,
            algorithm: Algorithm::TokenBucket,
            permits: None,
            per: Duration::from_secs(1),
            burst: None,
            max_wait: Duration::ZERO,
            headers: false,
            #[cfg(feature = "keyed")]
            keys: None,
        }
    }
}

impl RateLimiterBuilder {
    /// The name in rejections, events and the registry. Without one it is named by the stack it is put into.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// So many permits in that time. There is no default.
    pub fn rate(mut self, permits: u64, per: Duration) -> Self {
        self.permits = Some(permits);
        self.per = per;
        self
    }

    /// The rate and the burst of a [`Limit`].
    pub fn limit(mut self, limit: Limit) -> Self {
        self.burst = (limit.at_once() != limit.permits()).then_some(limit.at_once());
        self.rate(limit.permits(), limit.per())
    }

    /// How many permits may be taken at once after a quiet time (as many as the rate names). Only a token bucket has it.
    ///
    /// Timers are exact to a millisecond: for calls that wait to get all of a rate of more than a thousand a second, the
    /// burst must be at least what comes in a millisecond, and one more.
    pub fn burst(mut self, permits: u64) -> Self {
        self.burst = Some(permits);
        self
    }

    /// How calls are counted ([`Algorithm::TokenBucket`]).
    pub fn algorithm(mut self, algorithm: Algorithm) -> Self {
        self.algorithm = algorithm;
        self
    }

    /// How long a call may wait for its turn (zero: it is refused at once). Calls wait in the order in which they came,
    /// and one that would have to wait longer is refused at once and told how long.
    pub fn max_wait(mut self, time: Duration) -> Self {
        self.max_wait = time;
        self
    }

    /// Whether each response says what is left of the limit (it does not; refusals do), where the protocol has a way to
    /// say it. See [`headers`](super::headers).
    pub fn headers(mut self, say: bool) -> Self {
        self.headers = say;
        self
    }

    /// Checks the options and makes the limiter, unused.
    ///
    /// # Errors
    ///
    /// Every option that makes no sense, all at once.
    pub fn build(self) -> Result<RateLimiter, ConfigError> {
        let limit = self.check()?;
        Ok(RateLimiter::from_checked(self, limit))
    }

    pub(super) fn check(&self) -> Result<Limit, ConfigError> {
        let mut problems = Problems::new();
        let mut limit = Limit::new(self.permits.unwrap_or(1), self.per);
        if let Some(burst) = self.burst {
            limit = limit.burst(burst);
        }
        if self.permits.is_none() {
            problems.check(
                false,
                "rate",
                "nothing",
                "how many permits there are in each `per`",
            );
        }
        limit.check(self.algorithm, &mut problems);
        problems.check(
            self.max_wait <= LONGEST_WAIT,
            "max_wait",
            Human(self.max_wait),
            "at most 1d",
        );
        #[cfg(feature = "keyed")]
        if let Some(keys) = &self.keys {
            keys.check(self.algorithm, &mut problems);
        }
        problems.into_result().map(|()| limit)
    }
}

#[cfg(feature = "keyed")]
impl RateLimiterBuilder {
    /// A limit for each key instead of one for all. Calls without a key share one.
    pub fn keyed(mut self) -> Self {
        self.keys.get_or_insert_with(KeyOptions::default);
        self
    }

    /// Where the key of a request is found, by a layer that is not told otherwise.
    pub fn key_by(mut self, by: super::KeyBy) -> Self {
        self.keys.get_or_insert_with(KeyOptions::default).by = Some(by);
        self
    }

    /// The most keys that have a limit of their own at a time (100 000). Others share one, so that nobody is refused for
    /// being new and the map does not grow, whatever keys are made up.
    pub fn max_keys(mut self, keys: usize) -> Self {
        self.keys.get_or_insert_with(KeyOptions::default).max_keys = keys;
        self
    }

    /// How long a key must be unused before it may leave (10 minutes). It leaves within twice that, when other keys
    /// arrive; one that has something left to pay stays.
    pub fn idle(mut self, idle: Duration) -> Self {
        self.keys.get_or_insert_with(KeyOptions::default).idle = idle;
        self
    }

    /// A limit of its own for one key.
    pub fn limit_for<'a>(mut self, key: impl Into<super::Key<'a>>, limit: Limit) -> Self {
        let keys = self.keys.get_or_insert_with(KeyOptions::default);
        let key = key.into().to_owned();
        keys.limits.retain(|(known, _)| *known != key);
        keys.limits.push((key, limit));
        self
    }
}

impl RateLimiterBuilder {
    /// What is built into the state of a limiter that runs cannot be changed.
    pub(super) fn check_change(&self, next: &Self) -> Result<(), ConfigError> {
        let mut problems = Problems::new();
        problems.check(
            self.algorithm == next.algorithm,
            "algorithm",
            next.algorithm,
            "the one it was built with",
        );
        #[cfg(feature = "keyed")]
        {
            let fixed = |keys: &Option<KeyOptions>| keys.clone().map(|k| (k.by, k.max_keys, k.idle));
            problems.check(
                fixed(&self.keys) == fixed(&next.keys),
                "key",
                "another",
                "keys as it was built with: `key`, `max_keys` and `idle` stay",
            );
        }
        problems.into_result()
    }
}
