use std::{fmt, marker::PhantomData};

use tower_layer::Layer;

use super::{KeyedCircuitBreaker, KeyedCircuitBreakerService};

/// Sends each request through the breaker of its key; from [`KeyedCircuitBreaker::layer_by`].
pub struct KeyedCircuitBreakerLayer<P, K, Request> {
    pub(super) breakers: KeyedCircuitBreaker,
    pub(super) protocol: P,
    pub(super) key: K,
    pub(super) request: PhantomData<fn(&Request)>,
}

impl<S, P: Clone, K: Clone, Request> Layer<S> for KeyedCircuitBreakerLayer<P, K, Request> {
    type Service = KeyedCircuitBreakerService<S, P, K>;

    fn layer(&self, inner: S) -> Self::Service {
        KeyedCircuitBreakerService {
            inner,
            breakers: self.breakers.clone(),
            protocol: self.protocol.clone(),
            key: self.key.clone(),
        }
    }
}

impl<P: Clone, K: Clone, Request> Clone for KeyedCircuitBreakerLayer<P, K, Request> {
    fn clone(&self) -> Self {
        Self {
            breakers: self.breakers.clone(),
            protocol: self.protocol.clone(),
            key: self.key.clone(),
            request: PhantomData,
        }
    }
}

impl<P, K, Request> fmt::Debug for KeyedCircuitBreakerLayer<P, K, Request> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeyedCircuitBreakerLayer")
            .field(&self.breakers)
            .finish()
    }
}
