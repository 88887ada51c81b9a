use std::fmt;

#[cfg(doc)]
use super::Rejected;
use crate::outcome::Verdict;

/// What kind of local refusal a [`Rejected`] is.
///
/// | kind | HTTP | gRPC | verdict on the service |
/// |---|---|---|---|
/// | `CircuitOpen` | 503 | `UNAVAILABLE` | neutral |
/// | `RateLimited` | 429; 400 if the call asks for more than there can [ever](Rejected::beyond) be | `RESOURCE_EXHAUSTED`; `INVALID_ARGUMENT` | neutral |
/// | `QueueFull`, `QueueTimeout`, `Shed` | 503 | `RESOURCE_EXHAUSTED` | neutral |
/// | `DeadlineExpired` | 504 | `DEADLINE_EXCEEDED` | neutral |
/// | `TimedOut` | 504 | `DEADLINE_EXCEEDED` | **failure**; neutral if the call had been given [less time](Rejected::blameless) than the limit of that policy |
/// | `Panicked` | 500 | `INTERNAL` | **failure** |
/// | `NoEndpoint` | 503 | `UNAVAILABLE` | neutral |
/// | `Custom` | 503, or what was set | `UNAVAILABLE`, or what was set | neutral |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u32)]
pub enum RejectionKind {
    /// A circuit breaker is open: the service was failing and is left in peace for a while.
    CircuitOpen,
    /// A rate limit has no token left.
    RateLimited,
    /// A waiting line is full.
    QueueFull,
    /// The call waited for its turn longer than it may.
    QueueTimeout,
    /// The call's deadline had passed before the service was asked.
    DeadlineExpired,
    /// The service was asked and did not answer in time.
    TimedOut,
    /// The service panicked.
    Panicked,
    /// A pool has no endpoint that may be used.
    NoEndpoint,
    /// The call was given up to make room for more important ones.
    Shed,
    /// A refusal by a user's own layer.
    Custom,
}

impl RejectionKind {
    /// The kind in `snake_case`, as it appears in logs, metrics and JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CircuitOpen => "circuit_open",
            Self::RateLimited => "rate_limited",
            Self::QueueFull => "queue_full",
            Self::QueueTimeout => "queue_timeout",
            Self::DeadlineExpired => "deadline_expired",
            Self::TimedOut => "timed_out",
            Self::Panicked => "panicked",
            Self::NoEndpoint => "no_endpoint",
            Self::Shed => "shed",
            Self::Custom => "custom",
        }
    }

    /// What a rejection of this kind says about the service: a timeout and a panic are failures of it, every
    /// other kind is [`Verdict::Neutral`], because the service was never asked.
    #[must_use]
    pub const fn verdict(self) -> Verdict {
        match self {
            Self::TimedOut | Self::Panicked => Verdict::Failure,
            _ => Verdict::Neutral,
        }
    }

    #[inline]
    pub(super) const fn http_status(self) -> u16 {
        match self {
            Self::RateLimited => 429,
            Self::DeadlineExpired | Self::TimedOut => 504,
            Self::Panicked => 500,
            _ => 503,
        }
    }

    #[inline]
    pub(super) const fn grpc_code(self) -> u8 {
        match self {
            Self::DeadlineExpired | Self::TimedOut => 4,
            Self::RateLimited | Self::QueueFull | Self::QueueTimeout | Self::Shed => 8,
            Self::Panicked => 13,
            _ => 14,
        }
    }
}

impl fmt::Display for RejectionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
