use tower_layer::Layer;

use super::{Fallback, FallbackService, Nothing};
use crate::{outcome::Plain, replay::Same};

/// Puts a [`Fallback`] around a service; from [`Fallback::layer`] and [`layer_for`](Fallback::layer_for).
///
/// # Clone
///
/// Clones, and all the services that they make, share the policy.
#[derive(Debug)]
pub struct FallbackLayer<A, K = Nothing, P = Plain, M = Same> {
    fallback: Option<Fallback<A, K>>,
    protocol: P,
    mode: M,
}

impl<A, K, P, M> FallbackLayer<A, K, P, M> {
    /// The layer of a fallback, or of none: then it only keeps the types what they would be with one. `mode` says
    /// which [body](crate::replay) the service below takes where the whole request is kept, and means nothing
    /// elsewhere.
    pub fn new(fallback: impl Into<Option<Fallback<A, K>>>, protocol: P, mode: M) -> Self {
        Self {
            fallback: fallback.into(),
            protocol,
            mode,
        }
    }
}

impl<A, K, P: Clone, M: Clone> Clone for FallbackLayer<A, K, P, M> {
    fn clone(&self) -> Self {
        Self::new(self.fallback.clone(), self.protocol.clone(), self.mode.clone())
    }
}

impl<S, A, K, P: Clone, M: Clone> Layer<S> for FallbackLayer<A, K, P, M> {
    type Service = FallbackService<S, A, K, P, M>;

    fn layer(&self, inner: S) -> Self::Service {
        FallbackService::new(
            inner,
            self.fallback.clone(),
            self.protocol.clone(),
            self.mode.clone(),
        )
    }
}
