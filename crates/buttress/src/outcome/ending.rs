use super::{Outcome, Reason, Verdict};
use crate::error::RejectionKind;

/// How a call ended, in the seven ways that the books tell apart.
#[cfg_attr(not(any(feature = "metrics", feature = "trace-id")), allow(dead_code))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Success,
    Failure,
    Neutral,
    Rejected,
    TimedOut,
    Cancelled,
    Panicked,
}

#[cfg_attr(not(any(feature = "metrics", feature = "trace-id")), allow(dead_code))]
impl Ending {
    /// How many there are.
    #[cfg_attr(not(feature = "metrics"), allow(dead_code))]
    pub(crate) const COUNT: usize = 7;

    #[inline]
    pub(crate) fn of(outcome: &Outcome) -> Self {
        match (outcome.reason(), outcome.verdict()) {
            (Reason::Rejected(kind), _) => Self::of_rejection(kind),
            (_, Verdict::Success) => Self::Success,
            (_, Verdict::Failure | Verdict::Throttled) => Self::Failure,
            (_, Verdict::Neutral) => Self::Neutral,
        }
    }

    pub(crate) const fn of_rejection(kind: RejectionKind) -> Self {
        match kind {
            RejectionKind::TimedOut => Self::TimedOut,
            RejectionKind::Panicked => Self::Panicked,
            _ => Self::Rejected,
        }
    }

    /// In `snake_case`, as in a metric's label.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Neutral => "neutral",
            Self::Rejected => "rejected",
            Self::TimedOut => "timed_out",
            Self::Cancelled => "cancelled",
            Self::Panicked => "panicked",
        }
    }
}
