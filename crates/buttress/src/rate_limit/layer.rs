use tower_layer::Layer;

use super::{AsConfigured, ByKey, Key, RateLimitService, RateLimiter, Weighed};
use crate::outcome::Plain;

/// Puts a limit around a service; from [`RateLimiter::layer`] and [`layer_for`](RateLimiter::layer_for).
///
/// # Clone
///
/// Clones, and all the services that they make, share the limit.
#[derive(Clone, Debug)]
pub struct RateLimitLayer<P = Plain, C = AsConfigured, L = RateLimiter> {
    limiter: Option<L>,
    protocol: P,
    charge: C,
}

impl<P, L> RateLimitLayer<P, AsConfigured, L> {
    /// The layer of a limiter, or of none: then it only keeps the types what they would be with one. The limiter may be
    /// a [`Store`](super::Store) of another kind.
    pub fn new(limiter: impl Into<Option<L>>, protocol: P) -> Self {
        Self {
            limiter: limiter.into(),
            protocol,
            charge: AsConfigured::default(),
        }
    }

    /// Takes the key of a request from `key`, whatever the limiter's options say. Requests without one share a limit.
    #[must_use]
    pub fn key<F, Request>(self, key: F) -> RateLimitLayer<P, ByKey<F>, L>
    where
        F: Fn(&Request) -> Option<Key<'_>>,
    {
        RateLimitLayer {
            limiter: self.limiter,
            protocol: self.protocol,
            charge: ByKey(key),
        }
    }
}

impl<P, C, L> RateLimitLayer<P, C, L> {
    /// Takes as many permits for a request as `permits` says, instead of one. None at all lets it through; more than the
    /// limit can ever hold refuses it at once, as a fault of the call.
    ///
    /// ```
    /// use buttress::rate_limit::RateLimiter;
    ///
    /// // A hundred rows a second, however many a query.
    /// let layer = RateLimiter::per_second(100).build()?.layer().permits(|rows: &u32| *rows);
    /// # let _ = layer;
    /// # Ok::<(), buttress::ConfigError>(())
    /// ```
    #[must_use]
    pub fn permits<F, Request>(self, permits: F) -> RateLimitLayer<P, Weighed<C, F>, L>
    where
        F: Fn(&Request) -> u32,
    {
        RateLimitLayer {
            limiter: self.limiter,
            protocol: self.protocol,
            charge: Weighed {
                inner: self.charge,
                permits,
            },
        }
    }
}

impl<S, P: Clone, C: Clone, L: Clone> Layer<S> for RateLimitLayer<P, C, L> {
    type Service = RateLimitService<S, P, C, L>;

    fn layer(&self, inner: S) -> Self::Service {
        RateLimitService::new(
            inner,
            self.limiter.clone(),
            self.protocol.clone(),
            self.charge.clone(),
        )
    }
}
