use std::{fmt, ops::Deref};

use super::{node::Node, token::PoolToken};
use crate::{
    context,
    outcome::{Outcome, Token},
};

/// An endpoint's client for one call, from [`Pool::try_acquire`](super::Pool::try_acquire).
///
/// Tell it how the call ended with [`record`](Self::record). Dropped untold, the call was cancelled.
#[must_use = "a lease that is dropped at once is a cancelled call"]
pub struct Lease<T> {
    client: T,
    token: PoolToken,
}

impl<T> Lease<T> {
    pub(super) fn new(node: &Node, client: &T, token: PoolToken) -> Self
    where
        T: Clone,
    {
        context::add_tried(node.slot);
        Self {
            client: client.clone(),
            token,
        }
    }

    /// The name of the endpoint.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        self.token.node().map_or("", |node| &node.name)
    }

    /// Records how the call ended.
    pub fn record(self, outcome: Outcome) {
        self.token.finish(outcome);
    }

    /// The client, and the token of the call.
    pub fn into_parts(self) -> (T, PoolToken) {
        (self.client, self.token)
    }
}

impl<T> Deref for Lease<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.client
    }
}

impl<T> fmt::Debug for Lease<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("token", &self.token)
            .finish_non_exhaustive()
    }
}
