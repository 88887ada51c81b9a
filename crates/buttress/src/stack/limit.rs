use std::time::Duration;

use crate::{
    config::ConfigError,
    timeout::{Deadline, Timeout},
};

/// What a time limit of a stack may be set to: its policy, `None` for one that is off, or simply a [`Duration`].
///
/// A policy has been checked when it was built. A duration has not, and zero would be an outage; so the setter that is
/// given one returns a [`Result`], and what is written after it is a `?`.
///
/// ```
/// use std::time::Duration;
/// use buttress::{Stack, timeout::Timeout};
///
/// let timeout = Timeout::after(Duration::from_secs(2)).name("ledger").build()?;
/// let stack = Stack::new("db").attempt_timeout(timeout).build();
/// let stack = Stack::new("db").attempt_timeout(Duration::from_secs(2))?.build();
///
/// let error = Stack::new("db").attempt_timeout(Duration::ZERO).unwrap_err();
/// assert!(error.to_string().starts_with("attempt: found 0s, expected above zero"));
/// # let _ = stack;
/// # Ok::<(), buttress::ConfigError>(())
/// ```
pub trait TimeLimit<Policy> {
    /// What the setter returns: the stack `S`, or a result of it.
    type Set<S>;

    /// Sets the limit, if there is nothing wrong with it.
    fn set<S>(self, set: impl FnOnce(Option<Policy>) -> S) -> Self::Set<S>;
}

macro_rules! time_limit {
    ($($Policy:ident)*) => {$(
        impl TimeLimit<$Policy> for Option<$Policy> {
            type Set<S> = S;

            fn set<S>(self, set: impl FnOnce(Self) -> S) -> S {
                set(self)
            }
        }

        impl TimeLimit<Self> for $Policy {
            type Set<S> = S;

            fn set<S>(self, set: impl FnOnce(Option<Self>) -> S) -> S {
                set(Some(self))
            }
        }

        impl TimeLimit<$Policy> for Duration {
            type Set<S> = Result<S, ConfigError>;

            fn set<S>(self, set: impl FnOnce(Option<$Policy>) -> S) -> Result<S, ConfigError> {
                Ok(set(Some($Policy::after(self).build()?)))
            }
        }
    )*};
}

time_limit! { Deadline Timeout }
