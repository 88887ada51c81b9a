//! A limiter with a limit for each key.

use std::sync::Arc;

use super::{
    Acquire, ByKey, Key, Limit, Permit, Quota, RateLimitLayer, RateLimiter, cell::NotNow, keys::Keys,
    quota::Refusal, spot::Spot,
};
use crate::{
    config::{ConfigError, Problems},
    context,
    error::Rejected,
};

impl RateLimiter {
    /// Takes permits of the limit of `key`, if there are enough, without waiting. A limiter without keys has one limit
    /// for all.
    ///
    /// # Errors
    ///
    /// As [`try_acquire`](Self::try_acquire).
    pub fn try_acquire_for<'a>(&self, key: impl Into<Key<'a>>, permits: u32) -> Result<Permit, Rejected> {
        self.try_take(Some(&key.into()), permits)
    }

    /// Takes permits of the limit of `key`, if need be when one's turn has come: see [`Acquire`].
    pub fn acquire_for<'a>(&self, key: impl Into<Key<'a>>, permits: u32) -> Acquire {
        let key = key.into();
        let spot = self.shared.keys.as_ref().map(|keys| keys.find(&key));
        Acquire::new(self.clone(), spot, permits, context::current_deadline())
    }

    /// What is left of the limit of `key`, without taking any and without making a place for it.
    #[must_use]
    pub fn peek_for<'a>(&self, key: impl Into<Key<'a>>) -> Quota {
        match &self.shared.keys {
            Some(keys) => keys.look(&key.into()).quota(self.shared.now()),
            None => self.peek(),
        }
    }

    /// Puts `key` under a limit of its own, from now on; `None` puts it under that of all again. What it has taken is
    /// forgotten, unless it had a limit of its own before and has one now. Without keys nothing happens.
    ///
    /// # Errors
    ///
    /// What makes no sense in the limit, all at once.
    pub fn set_limit_for<'a>(
        &self,
        key: impl Into<Key<'a>>,
        limit: impl Into<Option<Limit>>,
    ) -> Result<(), ConfigError> {
        let limit = limit.into();
        let mut problems = Problems::new();
        if let Some(limit) = &limit {
            limit.check(self.shared.one.tariff.algorithm, &mut problems);
        }
        problems.into_result()?;
        self.shared.set_limit_for(&key.into(), limit);
        Ok(())
    }

    /// The layer that takes the key of a request from `key`. Requests without one share a limit.
    ///
    /// ```
    /// use buttress::{outcome::Plain, rate_limit::{Key, RateLimiter}};
    ///
    /// struct Query { tenant: String }
    ///
    /// let limiter = RateLimiter::per_second(10).keyed().build()?;
    /// let layer = limiter.layer_by(Plain::new(), |query: &Query| Some(Key::from(&*query.tenant)));
    /// # let _ = layer;
    /// # Ok::<(), buttress::ConfigError>(())
    /// ```
    pub fn layer_by<P, F, Request>(&self, protocol: P, key: F) -> RateLimitLayer<P, ByKey<F>>
    where
        F: Fn(&Request) -> Option<Key<'_>>,
    {
        self.layer_for(protocol).key(key)
    }
}

pub(super) fn charge_key(
    keys: &Keys,
    key: &Key<'_>,
    permits: u32,
    now: u64,
) -> (Option<Arc<Spot>>, Result<u64, Refusal>) {
    loop {
        let spot = keys.find(key);
        match spot.charge(now, permits) {
            Ok(at) => return (Some(spot), Ok(at)),
            Err(NotNow::Refused(refusal)) => return (Some(spot), Err(refusal)),
            // It left the map just now; there is another one, or there will be.
            Err(NotNow::Sealed) => {}
        }
    }
}
