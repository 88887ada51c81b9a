use std::fmt;

use crate::error::RejectionKind;

/// A call was refused, for the first time in ten seconds or ever: there is more to do than can be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Saturated {
    /// Why that call was refused.
    pub first: RejectionKind,
}

impl fmt::Display for Saturated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "saturated: calls are refused ({})", self.first)
    }
}

/// How many calls may run at a time has changed: by an adaptive limit, or by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LimitChanged {
    /// So many it was.
    pub from: u32,
    /// So many it is.
    pub to: u32,
}

impl fmt::Display for LimitChanged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the limit is {} instead of {}", self.to, self.from)
    }
}
