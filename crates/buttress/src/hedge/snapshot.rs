use std::{sync::Arc, time::Duration};

use crate::value::Table;

/// What a hedge knows of itself at one moment.
///
/// Why a call whose time had come, or whose first attempt had failed, was not made a second time: its deadline had
/// passed (`out_of_time`), the budget had nothing left (`out_of_budget`), or the request could not be sent twice
/// (`not_repeatable`).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Snapshot {
    /// The policy's name.
    pub name: Arc<str>,
    /// Calls that came in.
    pub calls: u64,
    /// Attempts that were made: `calls + hedges`.
    pub attempts: u64,
    /// Second attempts.
    pub hedges: u64,
    /// Those of them that were made because the first attempt had failed; the others, because it was slow.
    pub after_failure: u64,
    /// Calls that were answered by their second attempt.
    pub won: u64,
    /// Second attempts that would have come after the call's deadline.
    pub out_of_time: u64,
    /// Second attempts that the budget refused.
    pub out_of_budget: u64,
    /// Requests that could be sent once only: because of their method, or because their body was too long or not
    /// sent to its end. The first are counted whether they are slow or not, for nothing is kept of them.
    pub not_repeatable: u64,
    /// How long a first attempt may take at present; `None` while that is not known.
    pub delay: Option<Duration>,
    /// How many second attempts could be made at once; `None` without a budget.
    pub budget_balance: Option<f64>,
}

/// Times are in milliseconds.
impl From<&Snapshot> for Table {
    fn from(s: &Snapshot) -> Self {
        Table::new()
            .with("calls", s.calls)
            .with("attempts", s.attempts)
            .with("hedges", s.hedges)
            .with("afterFailure", s.after_failure)
            .with("won", s.won)
            .with("outOfTime", s.out_of_time)
            .with("outOfBudget", s.out_of_budget)
            .with("notRepeatable", s.not_repeatable)
            .with("delay", s.delay.map(|delay| delay.as_secs_f64() * 1000.0))
            .with("budgetBalance", s.budget_balance)
    }
}
