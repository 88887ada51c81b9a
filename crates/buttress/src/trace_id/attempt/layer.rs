use tower_layer::Layer;

use super::AttemptService;
use crate::{outcome::Plain, trace_id::TraceId};

/// Writes the ids into each request that is sent; from [`TraceId::attempt_layer_for`].
///
/// # Clone
///
/// Clones, and all the services that they make, share the policy.
#[derive(Clone, Debug)]
pub struct AttemptLayer<P = Plain> {
    policy: Option<TraceId>,
    protocol: P,
}

impl<P> AttemptLayer<P> {
    /// The layer of a policy, or of none: then it only keeps the types what they would be with one.
    pub fn new(policy: impl Into<Option<TraceId>>, protocol: P) -> Self {
        Self {
            policy: policy.into(),
            protocol,
        }
    }
}

impl<S, P: Clone> Layer<S> for AttemptLayer<P> {
    type Service = AttemptService<S, P>;

    fn layer(&self, inner: S) -> Self::Service {
        AttemptService::new(inner, self.policy.clone(), self.protocol.clone())
    }
}
