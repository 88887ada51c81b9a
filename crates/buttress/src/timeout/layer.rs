use tower_layer::Layer;

use super::{Timeout, TimeoutService};
use crate::outcome::Plain;

/// Puts a [`Timeout`] around a service; from [`Timeout::layer`] and [`layer_for`](Timeout::layer_for).
///
/// # Clone
///
/// Clones, and all the services that they make, share the policy.
#[derive(Clone, Debug)]
pub struct TimeoutLayer<P = Plain> {
    timeout: Option<Timeout>,
    protocol: P,
    inbound: bool,
}

impl<P> TimeoutLayer<P> {
    /// The layer of a policy, or of none: then it only keeps the types what they would be with one.
    pub fn new(timeout: impl Into<Option<Timeout>>, protocol: P) -> Self {
        Self {
            timeout: timeout.into(),
            protocol,
            inbound: false,
        }
    }

    /// For the handler of a server: the request has arrived and is not sent on, so its `grpc-timeout` is left as it
    /// came.
    #[must_use]
    pub fn inbound(mut self) -> Self {
        self.inbound = true;
        self
    }
}

impl<S, P: Clone> Layer<S> for TimeoutLayer<P> {
    type Service = TimeoutService<S, P>;

    fn layer(&self, inner: S) -> Self::Service {
        TimeoutService::new(inner, self.timeout.clone(), self.protocol.clone(), self.inbound)
    }
}
