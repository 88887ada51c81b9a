use std::{
    fmt,
    task::{Context, Poll},
};

use tower_service::Service;

use super::KeyedCircuitBreaker;
use crate::{
    circuit_breaker::{CircuitBreakerFuture, Permit, service::call_through},
    error::CallError,
    outcome::Protocol,
};

/// A service behind one breaker a key.
pub struct KeyedCircuitBreakerService<S, P, K> {
    pub(super) inner: S,
    pub(super) breakers: KeyedCircuitBreaker,
    pub(super) protocol: P,
    pub(super) key: K,
}

impl<S, P, K, Request> Service<Request> for KeyedCircuitBreakerService<S, P, K>
where
    S: Service<Request>,
    S::Error: CallError,
    P: Protocol<S::Response, S::Error>,
    K: Fn(&Request) -> Option<&str>,
{
    type Response = P::Response<Permit>;
    type Error = S::Error;
    type Future = CircuitBreakerFuture<S::Future, P>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let breaker = match (self.key)(&request) {
            Some(key) => self.breakers.get(key),
            None => self.breakers.shared.map.overflow().clone(),
        };
        call_through(&mut self.inner, request, Some(&breaker), &self.protocol)
    }
}

impl<S: Clone, P: Clone, K: Clone> Clone for KeyedCircuitBreakerService<S, P, K> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            breakers: self.breakers.clone(),
            protocol: self.protocol.clone(),
            key: self.key.clone(),
        }
    }
}

impl<S: fmt::Debug, P, K> fmt::Debug for KeyedCircuitBreakerService<S, P, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedCircuitBreakerService")
            .field("inner", &self.inner)
            .field("breakers", &self.breakers)
            .finish()
    }
}
