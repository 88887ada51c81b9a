use tower_layer::Layer;

use super::{Hedge, service::HedgeService};
use crate::{outcome::Plain, replay::Same};

/// Puts a [`Hedge`] around a service; from [`Hedge::layer`] and [`layer_for`](Hedge::layer_for).
///
/// # Clone
///
/// Clones, and all the services that they make, share the policy.
#[derive(Clone, Debug)]
pub struct HedgeLayer<P = Plain, M = Same> {
    hedge: Option<Hedge>,
    protocol: P,
    mode: M,
}

impl<P, M> HedgeLayer<P, M> {
    /// The layer of a hedge, or of none: then it only keeps the types what they would be with one. `mode` says which
    /// [body](crate::replay) the service below takes.
    pub fn new(hedge: impl Into<Option<Hedge>>, protocol: P, mode: M) -> Self {
        Self {
            hedge: hedge.into(),
            protocol,
            mode,
        }
    }
}

impl<S, P: Clone, M: Clone> Layer<S> for HedgeLayer<P, M> {
    type Service = HedgeService<S, P, M>;

    fn layer(&self, inner: S) -> Self::Service {
        HedgeService::new(
            inner,
            self.hedge.clone(),
            self.protocol.clone(),
            self.mode.clone(),
        )
    }
}
