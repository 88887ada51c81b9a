use std::sync::Arc;

use super::{Algorithm, Limit, Quota};
use crate::{
    duration::Human,
    value::{Table, Value},
};

/// What a limiter knows of itself at one moment.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Snapshot {
    /// The limiter's name.
    pub name: Arc<str>,
    /// How it counts.
    pub algorithm: Algorithm,
    /// How much is allowed; with keys, to each that has no limit of its own.
    pub limit: Limit,
    /// What is left of it; with keys, to those that share the overflow limit.
    pub quota: Quota,
    /// Calls that were let through, those that waited included.
    pub allowed: u64,
    /// Calls that were refused.
    pub limited: u64,
    /// Calls that were let through after they had waited.
    pub waited: u64,
    /// Calls that were let through and gave their permits back, because they never reached the service.
    pub refunded: u64,
    /// Calls that wait now.
    pub waiting: u64,
    /// The keys, if there is a limit for each.
    pub keys: Option<KeySnapshot>,
}

/// What a limiter knows of its keys at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeySnapshot {
    /// How many have a limit of their own.
    pub keys: usize,
    /// How many can have.
    pub max_keys: usize,
    /// How often a key found no room and shared the overflow limit.
    pub overflowed: u64,
}

impl From<&Snapshot> for Table {
    fn from(s: &Snapshot) -> Self {
        let mut table = Table::new()
            .with("algorithm", s.algorithm.as_str())
            .with("rate", s.limit.permits())
            .with("per", Human(s.limit.per()).to_string())
            .with("burst", s.quota.limit)
            .with("remaining", s.quota.remaining)
            .with("reset", Value::Float(s.quota.reset.as_secs_f64() * 1000.0))
            .with("allowed", s.allowed)
            .with("limited", s.limited)
            .with("waited", s.waited)
            .with("refunded", s.refunded)
            .with("waiting", s.waiting);
        if let Some(keys) = s.keys {
            table.insert("keys", keys.keys);
            table.insert("maxKeys", keys.max_keys);
            table.insert("overflowed", keys.overflowed);
        }
        table
    }
}
