use tower_layer::Layer;

use super::{By, Configured, Priority, PriorityQueue, PriorityService};
use crate::outcome::Plain;

/// Puts a [`PriorityQueue`] around a service; from [`PriorityQueue::layer`] and
/// [`layer_for`](PriorityQueue::layer_for).
///
/// # Clone
///
/// Clones, and all the services that they make, share the queue.
#[derive(Clone, Debug)]
pub struct PriorityLayer<P = Plain, C = Configured> {
    queue: Option<PriorityQueue>,
    protocol: P,
    classify: C,
}

impl<P> PriorityLayer<P> {
    /// The layer of a queue, or of none: then it only keeps the types what they would be with one.
    pub fn new(queue: impl Into<Option<PriorityQueue>>, protocol: P) -> Self {
        Self {
            queue: queue.into(),
            protocol,
            classify: Configured,
        }
    }

    /// Has `classify` say how important a request is, instead of the [classifier](super::Classifier) in the queue's
    /// options.
    ///
    /// ```
    /// use buttress::priority::{Priority, PriorityQueue};
    ///
    /// let queue = PriorityQueue::builder().concurrency(8).build()?;
    /// let layer = queue.layer().classify(|item: &u32| match item {
    ///     0 => Priority::CRITICAL,
    ///     _ => Priority::NORMAL,
    /// });
    /// # let _ = layer;
    /// # Ok::<(), buttress::ConfigError>(())
    /// ```
    pub fn classify<F, Request>(self, classify: F) -> PriorityLayer<P, By<F>>
    where
        F: Fn(&Request) -> Priority + Clone,
    {
        PriorityLayer {
            queue: self.queue,
            protocol: self.protocol,
            classify: By(classify),
        }
    }
}

impl<S, P: Clone, C: Clone> Layer<S> for PriorityLayer<P, C> {
    type Service = PriorityService<S, P, C>;

    fn layer(&self, inner: S) -> Self::Service {
        PriorityService::new(
            inner,
            self.queue.clone(),
            self.protocol.clone(),
            self.classify.clone(),
        )
    }
}
