use std::fmt;

use tower_layer::Layer;

use super::{Pool, reach::Through, service::PoolService};
use crate::{outcome::Plain, replay::Same};

/// Puts a [`Pool`] of addresses above one transport that reaches them all; from [`Pool::layer`] and
/// [`layer_for`](Pool::layer_for).
///
/// # Clone
///
/// Clones, and all the services that they make, share the pool.
pub struct PoolLayer<T, F, P = Plain, M = Same> {
    pool: Pool<T>,
    address: F,
    protocol: P,
    mode: M,
}

impl<T, F, P, M> PoolLayer<T, F, P, M> {
    /// The layer of a pool; `address` writes an endpoint's [address](super::Address) into a request, and `mode` says which
    /// [body](crate::replay) the transport takes.
    pub fn new(pool: Pool<T>, address: F, protocol: P, mode: M) -> Self {
        Self {
            pool,
            address,
            protocol,
            mode,
        }
    }
}

impl<S, T, F: Clone, P: Clone, M: Clone> Layer<S> for PoolLayer<T, F, P, M> {
    type Service = PoolService<T, Through<S, F>, P, M>;

    fn layer(&self, transport: S) -> Self::Service {
        let address = self.address.clone();
        let reach = Through { transport, address };
        PoolService::new(self.pool.clone(), reach, self.protocol.clone(), self.mode.clone())
    }
}

impl<T, F: Clone, P: Clone, M: Clone> Clone for PoolLayer<T, F, P, M> {
    fn clone(&self) -> Self {
        Self {
            pool: self.pool.clone(),
            address: self.address.clone(),
            protocol: self.protocol.clone(),
            mode: self.mode.clone(),
        }
    }
}

impl<T, F, P, M> fmt::Debug for PoolLayer<T, F, P, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PoolLayer").field(&self.pool).finish()
    }
}
