use tower_layer::Layer;

use super::{Metrics, MetricsService};
use crate::outcome::Plain;

/// Counts every call of a service in the books of a [`Metrics`]; made by [`Metrics::layer`] and
/// [`Metrics::layer_for`]. However often it is applied or cloned, the books are the same.
#[derive(Clone, Debug)]
pub struct MetricsLayer<P = Plain> {
    metrics: Option<Metrics>,
    protocol: P,
}

impl<P> MetricsLayer<P> {
    /// `None` is off: the types stay the same and nothing is counted.
    pub(crate) fn new(metrics: Option<Metrics>, protocol: P) -> Self {
        Self { metrics, protocol }
    }
}

impl<S, P: Clone> Layer<S> for MetricsLayer<P> {
    type Service = MetricsService<S, P>;

    fn layer(&self, inner: S) -> Self::Service {
        MetricsService::new(inner, self.protocol.clone(), self.metrics.clone())
    }
}
