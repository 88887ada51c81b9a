use std::sync::Arc;

use crate::value::Table;

/// What a fallback knows of itself at one moment, since it was made or [reset](crate::registry::Drill::Reset).
///
/// Calls that succeeded, or that ended in something that it is not for, are in none of the counts.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// The policy's name.
    pub name: Arc<str>,
    /// Calls that it answered.
    pub answered: u64,
    /// The same, by what they had ended in: the kind of a rejection (`circuit_open`), `error` for the service's own,
    /// else the verdict on the service's answer (`failure`). All that there are, those that never happened too.
    pub answered_for: Vec<(&'static str, u64)>,
    /// Calls for which it had nothing, so that they ended as the service had ended them.
    pub declined: u64,
    /// Calls for which it failed as well.
    pub failed: u64,
    /// Calls that could not be given to another service: their body was not there any more, or a method that is not
    /// idempotent may have done its work already.
    pub not_repeatable: u64,
}

impl From<&Snapshot> for Table {
    fn from(s: &Snapshot) -> Self {
        let mut answered_for = Table::new();
        for &(name, count) in s.answered_for.iter().filter(|(_, count)| *count > 0) {
            answered_for.insert(name, count);
        }
        Table::new()
            .with("answered", s.answered)
            .with("answeredFor", answered_for)
            .with("declined", s.declined)
            .with("failed", s.failed)
            .with("notRepeatable", s.not_repeatable)
    }
}
