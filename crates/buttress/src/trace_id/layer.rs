use std::marker::PhantomData;

use tower_layer::Layer;

use super::{Inbound, Outbound, TraceId, TraceIdService};
use crate::outcome::Plain;

/// Gives each call its place in a trace; from [`TraceId::layer`] and [`layer_for`](TraceId::layer_for).
///
/// # Clone
///
/// Clones, and all the services that they make, share the policy.
#[derive(Clone, Debug)]
pub struct TraceIdLayer<P = Plain, D = Outbound> {
    policy: Option<TraceId>,
    protocol: P,
    direction: PhantomData<D>,
}

impl<P> TraceIdLayer<P> {
    /// The layer of a policy, or of none: then it only keeps the types what they would be with one. It is for calls
    /// that go out.
    pub fn new(policy: impl Into<Option<TraceId>>, protocol: P) -> Self {
        Self {
            policy: policy.into(),
            protocol,
            direction: PhantomData,
        }
    }

    /// For the handler of a server: ids are read from the request, and the response tells which it was.
    #[must_use]
    pub fn inbound(self) -> TraceIdLayer<P, Inbound> {
        TraceIdLayer {
            policy: self.policy,
            protocol: self.protocol,
            direction: PhantomData,
        }
    }
}

impl<S, P: Clone, D> Layer<S> for TraceIdLayer<P, D> {
    type Service = TraceIdService<S, P, D>;

    fn layer(&self, inner: S) -> Self::Service {
        TraceIdService::new(inner, self.policy.clone(), self.protocol.clone())
    }
}
