use std::{fmt, ops::Deref};

use super::token::PoolToken;
use crate::outcome::{Outcome, Token};

/// An endpoint's client for one call, from [`Pool::try_acquire`](super::Pool::try_acquire).
///
/// Tell it how the call ended with [`record`](Self::record). Dropped untold, the call was cancelled.
#[must_use = "a lease that is dropped at once is a cancelled call"]
pub struct Lease<T> {
    pub(super) client: T,
    pub(super) token: PoolToken,
}

impl<T> Lease<T> {
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
