use tower_layer::Layer;

use super::{Deadline, DeadlineService};
use crate::outcome::Plain;

/// Puts a [`Deadline`] around a service; from [`Deadline::layer`] and [`layer_for`](Deadline::layer_for).
///
/// # Clone
///
/// Clones, and all the services that they make, share the policy.
#[derive(Clone, Debug)]
pub struct DeadlineLayer<P = Plain> {
    deadline: Option<Deadline>,
    protocol: P,
}

impl<P> DeadlineLayer<P> {
    /// The layer of a policy, or of none: then it only keeps the types what they would be with one.
    pub fn new(deadline: impl Into<Option<Deadline>>, protocol: P) -> Self {
        Self {
            deadline: deadline.into(),
            protocol,
        }
    }
}

impl<S, P: Clone> Layer<S> for DeadlineLayer<P> {
    type Service = DeadlineService<S, P>;

    fn layer(&self, inner: S) -> Self::Service {
        DeadlineService::new(inner, self.deadline.clone(), self.protocol.clone())
    }
}
