use std::{fmt, sync::Arc};

use crate::outcome::Outcome;

/// Something an operator does to a policy by hand, to practise or to mend.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Drill {
    /// Open a breaker as if it had tripped; it recovers by itself.
    Open,
    /// Open a breaker until it is closed or reset by hand.
    ForceOpen,
    /// Close a breaker.
    Close,
    /// Back to the beginning: closed, counts cleared.
    Reset,
    /// Let everything through and record nothing.
    Disable,
    /// Record an outcome some number of times, as if calls had ended so.
    Record {
        /// How each call ended.
        outcome: Outcome,
        /// How many calls.
        times: u32,
    },
}

/// A drill that was not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DrillError {
    /// There is no policy of that name.
    UnknownName {
        /// The name that was asked for, at most 64 characters of it.
        name: String,
        /// The names there are.
        known: Vec<Arc<str>>,
    },
    /// The drill means nothing to the policy.
    Unsupported,
}

impl fmt::Display for DrillError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownName { name, known } => {
                write!(f, "there is no policy `{name}`")?;
                match known.as_slice() {
                    [] => f.write_str("; none is registered"),
                    known => write!(f, "; there is {}", known.join(", ")),
                }
            }
            Self::Unsupported => f.write_str("this drill means nothing to that policy"),
        }
    }
}

impl std::error::Error for DrillError {}
