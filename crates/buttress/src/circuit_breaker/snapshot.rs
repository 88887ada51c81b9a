use std::{sync::Arc, time::Duration};

use super::state::State;
use crate::value::{Table, Value};

/// What a circuit breaker knows of itself at one moment.
///
/// `total` is the number of calls that the breaker was asked about and that are over:
/// `success + failure + throttled + neutral + cancelled + stale + rejected`. Calls that passed while it was
/// disabled are in none of them.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Snapshot {
    /// The breaker's name.
    pub name: Arc<str>,
    /// The state; an open one whose time is over reads half-open, since that is what the next call will find.
    pub state: State,
    /// Every call that is over.
    pub total: u64,
    /// Calls that succeeded.
    pub success: u64,
    /// Calls that failed.
    pub failure: u64,
    /// Calls whose service asked for less.
    pub throttled: u64,
    /// Calls that said nothing about the service.
    pub neutral: u64,
    /// Calls that were dropped before they were over.
    pub cancelled: u64,
    /// Calls that were refused.
    pub rejected: u64,
    /// Calls that ended after the state they were admitted in, or after their lease was over and another probe had
    /// their slot: counted here, and otherwise ignored.
    pub stale: u64,
    /// Of the successes, failures and throttled calls, those that were slow. Watched only where
    /// [`slow_call_rate`](super::CircuitBreakerBuilder::slow_call_rate) is on; calls cut off after
    /// `slow_after` count in any case.
    pub slow: u64,
    /// Failures in a row, at present.
    pub consecutive_failures: u64,
    /// The share of failed or throttled calls in the window; `None` without a window or a call in it.
    pub failure_rate: Option<f64>,
    /// The share of slow calls in the window; `None` without a window or a call in it.
    pub slow_rate: Option<f64>,
    /// How long the state has lasted.
    pub time_in_state: Duration,
    /// How long until the next probe, if it is open.
    pub retry_after: Option<Duration>,
    /// How often it has opened.
    pub times_opened: u64,
    /// How long it took from opening to closing again, on average; `None` if it never has.
    pub mean_time_to_recover: Option<Duration>,
}

impl From<&Snapshot> for Table {
    fn from(s: &Snapshot) -> Self {
        let millis = |d: Duration| Value::Float(d.as_secs_f64() * 1000.0);
        Table::new()
            .with("state", s.state.as_str())
            .with("totalCalls", s.total)
            .with("successCalls", s.success)
            .with("failureCalls", s.failure)
            .with("throttledCalls", s.throttled)
            .with("neutralCalls", s.neutral)
            .with("cancelledCalls", s.cancelled)
            .with("rejectedCalls", s.rejected)
            .with("staleCalls", s.stale)
            .with("slowCalls", s.slow)
            .with("consecutiveFailures", s.consecutive_failures)
            .with("failureRate", s.failure_rate)
            .with("slowCallRate", s.slow_rate)
            .with("timeInState", millis(s.time_in_state))
            .with("retryAfter", s.retry_after.map(millis))
            .with("timesOpened", s.times_opened)
            .with("meanTimeToRecover", s.mean_time_to_recover.map(millis))
    }
}
