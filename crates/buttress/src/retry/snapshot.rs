use std::sync::Arc;

use crate::value::Table;

/// What a retry knows of itself at one moment.
///
/// Why a failure that was worth another attempt got none: its call was `out_of_attempts`, `out_of_time` or
/// `out_of_budget`, the service had `forbidden` it, or the request was `not_repeatable`. Failures that were not worth
/// one are in none of them.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Snapshot {
    /// The policy's name.
    pub name: Arc<str>,
    /// Calls that came in.
    pub calls: u64,
    /// Attempts that were made: `calls + retries`. A retry whose wait has begun is counted already.
    pub attempts: u64,
    /// Attempts beyond the first of their call.
    pub retries: u64,
    /// Calls that did not succeed at first, and then did.
    pub recovered: u64,
    /// Failures of the last attempt that a call has.
    pub out_of_attempts: u64,
    /// Failures after which the next attempt would have come too late.
    pub out_of_time: u64,
    /// Failures after which the budget had no retry left.
    pub out_of_budget: u64,
    /// Failures after which the service asked not to be called again, or only after longer than
    /// [`max_retry_after`](super::RetryBuilder::max_retry_after).
    pub forbidden: u64,
    /// Requests that could be sent once only: because of their method, or because their body was too long or not
    /// sent to its end. The first are counted whether they fail or not, for nothing is kept of them.
    pub not_repeatable: u64,
    /// How many retries could be made at once; `None` without a budget.
    pub budget_balance: Option<f64>,
}

impl From<&Snapshot> for Table {
    fn from(s: &Snapshot) -> Self {
        Table::new()
            .with("calls", s.calls)
            .with("attempts", s.attempts)
            .with("retries", s.retries)
            .with("recovered", s.recovered)
            .with("outOfAttempts", s.out_of_attempts)
            .with("outOfTime", s.out_of_time)
            .with("outOfBudget", s.out_of_budget)
            .with("forbidden", s.forbidden)
            .with("notRepeatable", s.not_repeatable)
            .with("budgetBalance", s.budget_balance)
    }
}
