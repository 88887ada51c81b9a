use std::{fmt, sync::Arc, time::Duration};

use super::{
    Pool,
    balance::Strategy,
    endpoint::Endpoint,
    health::{Check, HealthCheck, watcher},
    options::PoolOptions,
    shared::{Shared, Watch},
};
use crate::{
    admission::MakeAdmission,
    config::{ConfigError, Problems},
};

/// A [`Pool`] being put together, from [`Pool::builder`].
#[must_use = "a builder does nothing until it is built"]
pub struct PoolBuilder<T> {
    options: PoolOptions,
    endpoints: Vec<Endpoint<T>>,
    make: Option<Arc<dyn MakeAdmission>>,
    health: Option<HealthCheck>,
    watch: Option<Watch<T>>,
}

impl<T> Default for PoolBuilder<T> {
    fn default() -> Self {
        Self {
            options: PoolOptions::default(),
            endpoints: Vec::new(),
            make: None,
            health: None,
            watch: None,
        }
    }
}

macro_rules! options {
    ($($name:ident: $type:ty;)*) => {$(
        #[doc = concat!("See [`PoolOptions::", stringify!($name), "`].")]
        pub fn $name(mut self, value: $type) -> Self {
            self.options = self.options.$name(value);
            self
        }
    )*};
}

impl<T> PoolBuilder<T> {
    // ===== endpoints =====

    /// Adds an endpoint of weight 1.
    pub fn endpoint(self, name: impl Into<Arc<str>>, target: T) -> Self {
        self.push(Endpoint::new(name, target))
    }

    /// Adds an endpoint.
    pub fn push(mut self, endpoint: Endpoint<T>) -> Self {
        self.endpoints.push(endpoint);
        self
    }

    /// Adds endpoints.
    pub fn extend(mut self, endpoints: impl IntoIterator<Item = Endpoint<T>>) -> Self {
        self.endpoints.extend(endpoints);
        self
    }

    /// Gives each endpoint a breaker of its own, those that are added later too: of these options, if it is a
    /// `CircuitBreakerBuilder`. It is called `{pool}:{endpoint}`. A `RateLimiterBuilder` gives each a limit instead, and a
    /// closure [both](crate::admission::Both).
    ///
    /// The pool drives it, so it must not stand in an endpoint's own stack as well.
    pub fn breaker(mut self, make: impl MakeAdmission + 'static) -> Self {
        self.make = Some(Arc::new(make));
        self
    }

    // ===== options =====

    /// All options that do not depend on what the endpoints are.
    pub fn options(mut self, options: PoolOptions) -> Self {
        self.options = options;
        self
    }

    options! {
        name: impl Into<Arc<str>>;
        balance: Strategy;
        failover: u32;
        failover_if: impl Fn(&crate::Outcome) -> bool + Send + Sync + 'static;
        budget: impl Into<Option<crate::budget::Budget>>;
        max_body: u64;
        panic_mode: bool;
        slow_start: Duration;
        max_retry_after: Duration;
    }

    /// Has the health of each endpoint checked; see [`health`](super::health).
    ///
    /// The checks run in tasks of the tokio runtime in which the pool is built or, if there is none, first used. They
    /// end with the pool, or with the endpoint's removal.
    pub fn health_check<C>(mut self, options: HealthCheck, check: C) -> Self
    where
        T: Clone + Send + Sync + 'static,
        C: Check<T>,
    {
        self.watch = Some(watcher(options.clone(), check));
        self.health = Some(options);
        self
    }

    /// Checks the options and makes the pool. It may have no endpoints yet.
    ///
    /// # Errors
    ///
    /// Every option that makes no sense, all at once; those of the endpoints by their names.
    pub fn build(self) -> Result<Pool<T>, ConfigError> {
        let mut problems = Problems::new();
        self.options.check(&mut problems);
        if let Some(health) = &self.health {
            problems.accept("health_check", health.checked());
        }
        let pool = Pool {
            shared: Arc::new(Shared::new(self.options, self.make, self.watch)),
        };
        for endpoint in self.endpoints {
            let key = format!("endpoints.{}", endpoint.name);
            problems.accept(&key, pool.add(endpoint));
        }
        problems.into_result()?;
        Ok(pool)
    }
}

impl<T> fmt::Debug for PoolBuilder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolBuilder")
            .field("options", &self.options)
            .field("endpoints", &self.endpoints)
            .field("health", &self.health)
            .finish_non_exhaustive()
    }
}
