use tower_layer::Identity;

use super::Place;
// A build may leave out those who ask for them.
#[allow(unused_imports)]
use super::{Attempts, Client, Kind};
use crate::error::ErrorLayer;

/// What may stand in a slot of a stack of the kind `K`: a policy, `None` for one that is off, or [`Identity`] for
/// nothing at all.
#[diagnostic::on_unimplemented(message = "`{Self}` cannot stand in a slot of the stack of a `{K}`")]
pub trait Slot<K> {
    /// The layer it becomes.
    type Layer;

    /// Says what the others should know, before any layer is made.
    fn prepare(&self, place: &mut Place) {
        let _ = place;
    }

    /// Makes the layer, now that the kind of the stack is known. A policy that stands in two places is asked twice.
    fn to_layer(&self, kind: &K, place: &Place) -> Self::Layer;
}

impl<K> Slot<K> for Identity {
    type Layer = Self;

    fn to_layer(&self, _: &K, _: &Place) -> Self {
        Self::new()
    }
}

impl<K> Slot<K> for ErrorLayer {
    type Layer = Self;

    fn to_layer(&self, _: &K, _: &Place) -> Self {
        *self
    }
}

#[cfg(all(feature = "http", not(feature = "rate-limit")))]
impl<K, R: Clone> Slot<K> for crate::http::respond::RespondLayer<R> {
    type Layer = Self;

    fn to_layer(&self, _: &K, _: &Place) -> Self {
        self.clone()
    }
}

/// Refusals of a limiter say what is left of it, and they are made here.
#[cfg(all(feature = "http", feature = "rate-limit"))]
impl<K, R: Clone> Slot<K> for crate::http::respond::RespondLayer<R> {
    type Layer = crate::http::respond::RespondLayer<crate::rate_limit::headers::RateLimitResponder<R>>;

    fn to_layer(&self, _: &K, place: &Place) -> Self::Layer {
        let limiter = place.limiter().cloned();
        self.clone()
            .map(|inner| crate::rate_limit::headers::RateLimitResponder::new(limiter, inner))
    }
}

/// Names a policy after its stack, if it has no name, and lists it.
// A build may leave out every policy.
#[allow(unused_macros)]
macro_rules! settle {
    ($slot:expr, $place:expr) => {
        if let Some(policy) = $slot {
            policy.name_if_unnamed($place.name());
            $place.list(policy.name(), policy);
        }
    };
}

/// Policies become the layers of their protocol.
macro_rules! policy_slot {
    ($($feature:literal: $Policy:path => $Layer:path;)*) => {$(
        #[cfg(feature = $feature)]
        impl<K: Kind> Slot<K> for Option<$Policy> {
            type Layer = $Layer;

            fn to_layer(&self, kind: &K, place: &Place) -> Self::Layer {
                settle!(self, place);
                Self::Layer::new(self.clone(), kind.protocol().clone())
            }
        }
    )*};
}

policy_slot! {
    "metrics": crate::metrics::Metrics => crate::metrics::MetricsLayer<K::Protocol>;
    "recover": crate::recover::Recover => crate::recover::RecoverLayer<K::Protocol>;
    "priority": crate::priority::PriorityQueue => crate::priority::PriorityLayer<K::Protocol>;
}

/// Policies that may send a request again become the layers of their protocol, and of their body mode.
macro_rules! client_slot {
    ($($feature:literal: [$($generic:ident),*] $Policy:ty => $Layer:ty;)*) => {$(
        #[cfg(feature = $feature)]
        impl<P: Clone, M: Clone, $($generic: Send + Sync + 'static),*> Slot<Client<P, M>> for Option<$Policy> {
            type Layer = $Layer;

            fn to_layer(&self, kind: &Client<P, M>, place: &Place) -> Self::Layer {
                settle!(self, place);
                Self::Layer::new(self.clone(), kind.protocol.clone(), kind.mode.clone())
            }
        }
    )*};
}

client_slot! {
    "fallback": [A, W] crate::fallback::Fallback<A, W> => crate::fallback::FallbackLayer<A, W, P, M>;
    "retry": [] crate::retry::Retry => crate::retry::RetryLayer<P, M>;
    "hedge": [] crate::hedge::Hedge => crate::hedge::HedgeLayer<P, M>;
}

#[cfg(feature = "circuit-breaker")]
impl<K: Kind> Slot<K> for Option<crate::circuit_breaker::CircuitBreaker> {
    type Layer = crate::circuit_breaker::CircuitBreakerLayer<K::Protocol>;

    fn prepare(&self, place: &mut Place) {
        if let Some(breaker) = self {
            place.set_guard(breaker.options());
        }
    }

    fn to_layer(&self, kind: &K, place: &Place) -> Self::Layer {
        if place.is_pooled() {
            // Each endpoint has one like it, which the pool drives.
            return Self::Layer::new(None, kind.protocol().clone());
        }
        settle!(self, place);
        if let (Some(breaker), Some(slow)) = (self, place.slow_after()) {
            breaker.slow_after_if_unset(slow);
        }
        Self::Layer::new(self.clone(), kind.protocol().clone())
    }
}

/// The pool of a stack, its breakers made.
#[cfg(feature = "pool")]
pub(super) fn pooled<T: Send + Sync + 'static>(
    pool: &crate::pool::Pool<T>,
    place: &Place,
) -> crate::pool::Pool<T> {
    settle!(Some(pool), place);
    if let Some(guard) = place.guard() {
        pool.guard_if_unguarded(&guard);
    }
    pool.clone()
}

#[cfg(all(feature = "http", feature = "pool"))]
impl<P: Clone, M: Clone, T: Send + Sync + 'static> Slot<Client<P, M>> for crate::pool::Pool<T> {
    type Layer = crate::pool::PoolLayer<T, crate::pool::ToAuthority, P, M>;

    fn prepare(&self, place: &mut Place) {
        place.set_pooled();
    }

    fn to_layer(&self, kind: &Client<P, M>, place: &Place) -> Self::Layer {
        let address = crate::pool::ToAuthority;
        Self::Layer::new(
            pooled(self, place),
            address,
            kind.protocol.clone(),
            kind.mode.clone(),
        )
    }
}

#[cfg(feature = "pool")]
impl<P: Clone, M: Clone, T: Send + Sync + 'static, F: Clone> Slot<Client<P, M>>
    for crate::pool::PoolBy<T, F>
{
    type Layer = crate::pool::PoolLayer<T, F, P, M>;

    fn prepare(&self, place: &mut Place) {
        place.set_pooled();
    }

    fn to_layer(&self, kind: &Client<P, M>, place: &Place) -> Self::Layer {
        let (pool, address) = (pooled(&self.pool, place), self.address.clone());
        Self::Layer::new(pool, address, kind.protocol.clone(), kind.mode.clone())
    }
}

#[cfg(feature = "rate-limit")]
impl<K: Kind> Slot<K> for Option<crate::rate_limit::RateLimiter> {
    type Layer = crate::rate_limit::RateLimitLayer<K::Protocol>;

    fn prepare(&self, place: &mut Place) {
        #[cfg(feature = "http")]
        place.limiter.clone_from(self);
        if let Some(limiter) = self.as_ref().filter(|limiter| !limiter.is_keyed()) {
            place.set_limit(limiter.options());
        }
    }

    fn to_layer(&self, kind: &K, place: &Place) -> Self::Layer {
        if place.is_pooled() && self.as_ref().is_some_and(|limiter| !limiter.is_keyed()) {
            // Each endpoint has one like it. One by key is for the calls, wherever they go.
            return Self::Layer::new(None, kind.protocol().clone());
        }
        settle!(self, place);
        Self::Layer::new(self.clone(), kind.protocol().clone())
    }
}

#[cfg(feature = "timeout")]
impl<K: Kind> Slot<K> for Option<crate::timeout::Deadline> {
    type Layer = crate::timeout::DeadlineLayer<K::Protocol>;

    fn prepare(&self, place: &mut Place) {
        place.set_total_limit(self.as_ref().and_then(crate::timeout::Deadline::total_limit));
    }

    fn to_layer(&self, kind: &K, place: &Place) -> Self::Layer {
        settle!(self, place);
        Self::Layer::new(self.clone(), kind.protocol().clone())
    }
}

#[cfg(feature = "timeout")]
impl<K: Kind> Slot<K> for Option<crate::timeout::Timeout> {
    type Layer = crate::timeout::TimeoutLayer<K::Protocol>;

    fn prepare(&self, place: &mut Place) {
        place.set_attempt_limit(self.as_ref().and_then(crate::timeout::Timeout::attempt_limit));
    }

    fn to_layer(&self, kind: &K, place: &Place) -> Self::Layer {
        settle!(self, place);
        let layer = Self::Layer::new(self.clone(), kind.protocol().clone());
        if K::INBOUND { layer.inbound() } else { layer }
    }
}

#[cfg(feature = "trace-id")]
impl<P: Clone, M> Slot<Client<P, M>> for Option<crate::trace_id::TraceId> {
    type Layer = crate::trace_id::TraceIdLayer<P>;

    fn to_layer(&self, kind: &Client<P, M>, place: &Place) -> Self::Layer {
        settle!(self, place);
        Self::Layer::new(self.clone(), kind.protocol.clone())
    }
}

#[cfg(feature = "trace-id")]
impl<P: Clone, M> Slot<Attempts<Client<P, M>>> for Option<crate::trace_id::TraceId> {
    type Layer = crate::trace_id::AttemptLayer<P>;

    fn to_layer(&self, Attempts(kind): &Attempts<Client<P, M>>, _: &Place) -> Self::Layer {
        Self::Layer::new(self.clone(), kind.protocol.clone())
    }
}

#[cfg(all(feature = "http", feature = "trace-id"))]
impl<P: Clone> Slot<super::Server<P>> for Option<crate::trace_id::TraceId> {
    type Layer = crate::trace_id::TraceIdLayer<P, crate::trace_id::Inbound>;

    fn to_layer(&self, kind: &super::Server<P>, place: &Place) -> Self::Layer {
        settle!(self, place);
        crate::trace_id::TraceIdLayer::new(self.clone(), kind.protocol.clone()).inbound()
    }
}

/// Of a handler's panic the breaker and the time limits hear as of a failure. In a body it goes through them, each of which
/// ends its part of the call, to the same policy's other layer: a second guard in each answer would be one too many.
#[cfg(all(feature = "http", feature = "recover"))]
impl<P: Clone> Slot<Attempts<super::Server<P>>> for Option<crate::recover::Recover> {
    type Layer = crate::recover::RecoverLayer;

    fn to_layer(&self, _: &Attempts<super::Server<P>>, _: &Place) -> Self::Layer {
        Self::Layer::new(self.clone(), crate::outcome::Plain::new())
    }
}
