use tower_layer::Layer;

use super::{Retry, service::RetryService};
use crate::{outcome::Plain, replay::Same};

/// Puts a [`Retry`] around a service; from [`Retry::layer`] and [`layer_for`](Retry::layer_for).
///
/// # Clone
///
/// Clones, and all the services that they make, share the policy.
#[derive(Clone, Debug)]
pub struct RetryLayer<P = Plain, M = Same> {
    retry: Option<Retry>,
    protocol: P,
    mode: M,
}

impl<P, M> RetryLayer<P, M> {
    /// The layer of a retry, or of none: then it only keeps the types what they would be with one. `mode` says which
    /// [body](crate::replay) the service below takes.
    pub fn new(retry: impl Into<Option<Retry>>, protocol: P, mode: M) -> Self {
        Self {
            retry: retry.into(),
            protocol,
            mode,
        }
    }
}

impl<S, P: Clone, M: Clone> Layer<S> for RetryLayer<P, M> {
    type Service = RetryService<S, P, M>;

    fn layer(&self, inner: S) -> Self::Service {
        RetryService::new(
            inner,
            self.retry.clone(),
            self.protocol.clone(),
            self.mode.clone(),
        )
    }
}
