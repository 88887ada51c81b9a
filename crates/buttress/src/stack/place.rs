use std::{sync::Arc, time::Duration};

use crate::{
    admission::{Both, MakeAdmission},
    config::ConfigError,
    registry::{Policy, Registry},
};

/// Where a policy is put: what it is named after, where it is listed, and what it should know of those beside it.
#[derive(Clone, Debug)]
pub struct Place {
    name: Arc<str>,
    registry: Option<Registry>,
    attempt_limit: Option<Duration>,
    total_limit: Option<Duration>,
    is_pooled: bool,
    guard: Option<Arc<dyn MakeAdmission>>,
    limit: Option<Arc<dyn MakeAdmission>>,
    #[cfg(all(feature = "http", feature = "rate-limit"))]
    pub(super) limiter: Option<crate::rate_limit::RateLimiter>,
}

impl Place {
    pub(super) fn new(name: Arc<str>) -> Self {
        Self {
            name,
            registry: None,
            attempt_limit: None,
            total_limit: None,
            is_pooled: false,
            guard: None,
            limit: None,
            #[cfg(all(feature = "http", feature = "rate-limit"))]
            limiter: None,
        }
    }

    pub(super) fn set_registry(&mut self, registry: &Registry) {
        self.registry = Some(registry.clone());
    }

    /// The stack's name.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// How long an attempt may take, if the stack limits that.
    #[must_use]
    pub fn attempt_limit(&self) -> Option<Duration> {
        self.attempt_limit
    }

    /// Says how long an attempt may take.
    pub fn set_attempt_limit(&mut self, limit: Option<Duration>) {
        self.attempt_limit = limit;
    }

    /// Says how long a call may take with all its attempts.
    pub fn set_total_limit(&mut self, limit: Option<Duration>) {
        self.total_limit = limit;
    }

    /// From when on a breaker of the stack takes a call for slow, unless its owner has said so: once it has had all the
    /// time that it may take. Where that is the total it ends a moment before, for an attempt begins after its call; and
    /// nobody waits longer than a breaker does of its own accord.
    #[must_use]
    pub fn slow_after(&self) -> Option<Duration> {
        /// See `CircuitBreakerBuilder::slow_after`.
        const UNSAID: Duration = Duration::from_secs(5);
        let longest = self.attempt_limit.unwrap_or(UNSAID);
        match self.total_limit.filter(|total| *total < longest) {
            Some(total) => Some(total / 10 * 9),
            None => self.attempt_limit,
        }
    }

    /// Whether there are several endpoints further in, so that a policy that judges one of them has to be there for each.
    #[must_use]
    pub fn is_pooled(&self) -> bool {
        self.is_pooled
    }

    /// Says that there are several endpoints.
    pub fn set_pooled(&mut self) {
        self.is_pooled = true;
    }

    /// What makes the breaker of each endpoint and its limit, if the stack has them.
    #[must_use]
    pub fn guard(&self) -> Option<Arc<dyn MakeAdmission>> {
        let (guard, limit, slow) = (self.guard.clone(), self.limit.clone(), self.slow_after());
        if guard.is_none() {
            return limit;
        }
        Some(Arc::new(move |target: &str| {
            let made = |make: &Option<Arc<dyn MakeAdmission>>| {
                make.as_ref().map(|make| make.make(target)).transpose()
            };
            let (Some(guard), limit) = (made(&guard)?, made(&limit)?) else {
                return Err(ConfigError::one("guard", "nothing", "a breaker"));
            };
            if let Some(slow) = slow {
                guard.slow_after_if_unset(slow);
            }
            Ok(match limit {
                Some(limit) => Arc::new(Both::new(guard, limit)),
                None => guard,
            })
        }))
    }

    /// Says what makes the limit of each endpoint.
    pub fn set_limit(&mut self, limit: impl MakeAdmission + 'static) {
        self.limit = Some(Arc::new(limit));
    }

    /// Says what makes the breaker of each endpoint.
    pub fn set_guard(&mut self, guard: impl MakeAdmission + 'static) {
        self.guard = Some(Arc::new(guard));
    }

    /// The limiter of the stack, if it has one.
    #[cfg(all(feature = "http", feature = "rate-limit"))]
    #[must_use]
    pub fn limiter(&self) -> Option<&crate::rate_limit::RateLimiter> {
        self.limiter.as_ref()
    }

    /// Lists a policy, if the stack has a registry.
    pub fn list<P: Policy + Clone + 'static>(&self, name: impl Into<Arc<str>>, policy: &P) {
        if let Some(registry) = &self.registry {
            registry.register(name, policy);
        }
    }
}
