use std::sync::Arc;

use tower_layer::Identity;

use crate::{
    error::ErrorLayer,
    registry::{Policy, Registry},
};

/// Where a policy is put: what it is named after, and where it is listed.
#[derive(Clone, Debug)]
pub struct Place {
    name: Arc<str>,
    registry: Option<Registry>,
}

impl Place {
    pub(super) fn new(name: Arc<str>) -> Self {
        Self { name, registry: None }
    }

    pub(super) fn set_registry(&mut self, registry: &Registry) {
        self.registry = Some(registry.clone());
    }

    /// The stack's name.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Lists a policy, if the stack has a registry.
    pub fn list<P: Policy + Clone + 'static>(&self, name: impl Into<Arc<str>>, policy: &P) {
        if let Some(registry) = &self.registry {
            registry.register(name, policy);
        }
    }
}

/// What may stand in a slot: a policy, `None` for one that is off, or [`Identity`] for nothing at all.
pub trait Slot<P> {
    /// The layer it becomes.
    type Layer;

    /// Makes the layer, now that the protocol is known.
    fn into_layer(self, protocol: &P, place: &Place) -> Self::Layer;
}

impl<P> Slot<P> for Identity {
    type Layer = Self;

    fn into_layer(self, _: &P, _: &Place) -> Self {
        self
    }
}

impl<P> Slot<P> for ErrorLayer {
    type Layer = Self;

    fn into_layer(self, _: &P, _: &Place) -> Self {
        self
    }
}

/// Policies become their layers, named and listed on the way.
macro_rules! policy_slot {
    ($($feature:literal: $Policy:path => $Layer:path;)*) => {$(
        #[cfg(feature = $feature)]
        impl<P: Clone> Slot<P> for Option<$Policy> {
            type Layer = $Layer;

            fn into_layer(self, protocol: &P, place: &Place) -> Self::Layer {
                if let Some(policy) = &self {
                    policy.name_if_unnamed(place.name());
                    place.list(policy.name(), policy);
                }
                Self::Layer::new(self, protocol.clone())
            }
        }
    )*};
}

policy_slot! {
    "circuit-breaker": crate::circuit_breaker::CircuitBreaker => crate::circuit_breaker::CircuitBreakerLayer<P>;
    "metrics": crate::metrics::Metrics => crate::metrics::MetricsLayer<P>;
    "recover": crate::recover::Recover => crate::recover::RecoverLayer<P>;
}
