use std::{fmt, time::Duration};

use super::state::State;
use crate::{duration::Human, outcome::Reason};

/// The detail of the event that a circuit breaker changed its state.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Transition {
    /// The state that ended.
    pub from: State,
    /// The state that began.
    pub to: State,
    /// Why.
    pub cause: Cause,
}

/// Why a circuit breaker changed its state.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Cause {
    /// So many calls failed one after the other.
    ConsecutiveFailures {
        /// How many.
        failures: u64,
        /// What the last of them was.
        last: Reason,
        /// How long it stays open.
        open_for: Duration,
    },
    /// Too large a share of the calls in the window failed.
    FailureRate {
        /// Failed or throttled calls in the window.
        failed: u64,
        /// Calls in the window.
        calls: u64,
        /// How long it stays open.
        open_for: Duration,
    },
    /// Too large a share of the calls in the window were slow.
    SlowCallRate {
        /// Slow calls in the window.
        slow: u64,
        /// Calls in the window.
        calls: u64,
        /// How long it stays open.
        open_for: Duration,
    },
    /// A probe failed, or was throttled.
    ProbeFailed {
        /// What it was.
        reason: Reason,
        /// How long it stays open.
        open_for: Duration,
    },
    /// The open time was over, and a call came that could probe.
    OpenTimeOver,
    /// Enough probes succeeded.
    ProbesSucceeded,
    /// Somebody did it by hand.
    ByHand,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::ConsecutiveFailures {
                failures,
                last,
                open_for,
            } => write!(
                f,
                "{failures} failures in a row, the last: {last}; open for {}",
                Human(open_for)
            ),
            Self::FailureRate {
                failed,
                calls,
                open_for,
            } => write!(
                f,
                "{failed} of the last {calls} calls failed; open for {}",
                Human(open_for)
            ),
            Self::SlowCallRate {
                slow,
                calls,
                open_for,
            } => write!(
                f,
                "{slow} of the last {calls} calls were slow; open for {}",
                Human(open_for)
            ),
            Self::ProbeFailed { reason, open_for } => {
                write!(f, "a probe failed: {reason}; open for {}", Human(open_for))
            }
            Self::OpenTimeOver => f.write_str("the open time is over"),
            Self::ProbesSucceeded => f.write_str("the probes succeeded"),
            Self::ByHand => f.write_str("by hand"),
        }
    }
}

impl fmt::Display for Transition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}: {}", self.from, self.to, self.cause)
    }
}
