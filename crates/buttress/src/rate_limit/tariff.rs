use std::sync::{Mutex, PoisonError};

use super::{
    Algorithm, Limit,
    rules::{Rule, Rules},
};
use crate::clock::Instant;

/// The limit that some cells are under, and the clock by which it goes.
#[derive(Debug)]
pub(super) struct Tariff {
    pub(super) rules: Rules,
    pub(super) algorithm: Algorithm,
    origin: Instant,
    // Not on the way of a call, which goes by the rules.
    limit: Mutex<Limit>,
}

impl Tariff {
    /// Of a limit that has been checked.
    pub(super) fn new(limit: Limit, algorithm: Algorithm, origin: Instant) -> Self {
        Self {
            rules: Rules::new(Rule::of(&limit, algorithm)),
            algorithm,
            origin,
            limit: Mutex::new(limit),
        }
    }

    /// Another limit, by the same algorithm and clock.
    #[cfg(feature = "keyed")]
    pub(super) fn sibling(&self, limit: Limit) -> Self {
        Self::new(limit, self.algorithm, self.origin)
    }

    #[inline]
    pub(super) fn nanos(&self, now: Instant) -> u64 {
        let age = now.saturating_duration_since(self.origin);
        age.as_secs() * 1_000_000_000 + u64::from(age.subsec_nanos())
    }

    pub(super) fn instant(&self, nanos: u64) -> Instant {
        self.origin + std::time::Duration::from_nanos(nanos)
    }

    pub(super) fn limit(&self) -> Limit {
        *self.limit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts another limit in force. All cells are to be refreshed after it, before it is done again.
    pub(super) fn change(&self, limit: Limit) {
        let mut present = self.limit.lock().unwrap_or_else(PoisonError::into_inner);
        self.rules.change(Rule::of(&limit, self.algorithm));
        *present = limit;
    }
}
