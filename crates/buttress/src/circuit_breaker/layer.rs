use tower_layer::Layer;

use super::{CircuitBreaker, gate::GateLayer, service::CircuitBreakerService};
use crate::outcome::Plain;

/// Puts a [`CircuitBreaker`] around a service; from [`CircuitBreaker::layer`] and
/// [`layer_for`](CircuitBreaker::layer_for).
///
/// # Clone
///
/// Clones, and all the services that they make, share the breaker.
#[derive(Clone, Debug)]
pub struct CircuitBreakerLayer<P = Plain> {
    breaker: Option<CircuitBreaker>,
    protocol: P,
}

impl<P> CircuitBreakerLayer<P> {
    /// The layer of a breaker, or of none: then it only keeps the types what they would be with one.
    pub fn new(breaker: impl Into<Option<CircuitBreaker>>, protocol: P) -> Self {
        Self {
            breaker: breaker.into(),
            protocol,
        }
    }

    /// The same, whose services also show the breaker's state as readiness: for balancers that choose among
    /// ready services. See [`GateLayer`].
    #[must_use]
    pub fn gate(self) -> GateLayer<P> {
        GateLayer::new(self)
    }

    pub(super) fn breaker(&self) -> Option<&CircuitBreaker> {
        self.breaker.as_ref()
    }
}

impl<S, P: Clone> Layer<S> for CircuitBreakerLayer<P> {
    type Service = CircuitBreakerService<S, P>;

    fn layer(&self, inner: S) -> Self::Service {
        CircuitBreakerService::new(inner, self.breaker.clone(), self.protocol.clone())
    }
}
