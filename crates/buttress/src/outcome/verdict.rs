use std::{fmt, time::Duration};

use crate::error::{CallError, Rejected, RejectionKind};

/// What one call says about the health of the service that answered it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The service did its work.
    Success,
    /// The service is at fault: a 5xx, a broken connection, a timeout, a panic.
    Failure,
    /// The service asked for less (429, `RESOURCE_EXHAUSTED`): it counts toward a rate of failure, not toward
    /// a streak of them, and fails a probe.
    Throttled,
    /// Nothing can be said: the caller was at fault (other 4xx) or a layer refused before the service was
    /// asked. It must neither trip, close, nor reset anything.
    Neutral,
}

impl Verdict {
    /// The verdict in `snake_case`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Throttled => "throttled",
            Self::Neutral => "neutral",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why an outcome is what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// The service answered and nothing was wrong with the answer.
    Answered,
    /// The HTTP status code decided.
    HttpStatus(u16),
    /// The gRPC status code decided.
    GrpcStatus(u8),
    /// A gRPC stream ended cleanly but without the `grpc-status` that the protocol demands.
    MissingGrpcStatus,
    /// The call ended in the service's or the transport's own error.
    Error,
    /// The response began well and its body broke.
    BodyError,
    /// A layer further in refused, cut off or caught the call.
    Rejected(RejectionKind),
    /// The call was cut off from outside after it had taken too long already.
    CutOff,
    /// A user's own judgement.
    Custom(&'static str),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered => f.write_str("answered"),
            Self::HttpStatus(code) => write!(f, "HTTP status {code}"),
            Self::GrpcStatus(code) => write!(f, "gRPC status {code}"),
            Self::MissingGrpcStatus => f.write_str("gRPC stream without a status"),
            Self::Error => f.write_str("error"),
            Self::BodyError => f.write_str("response body broke off"),
            Self::Rejected(kind) => write!(f, "{kind}"),
            Self::CutOff => f.write_str("cut off after too long"),
            Self::Custom(why) => f.write_str(why),
        }
    }
}

/// How a call ended: the [`Verdict`], its [`Reason`], and when the service asked to be left alone until.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Outcome {
    verdict: Verdict,
    reason: Reason,
    retry_after: Option<Duration>,
    retry_forbidden: bool,
}

impl Outcome {
    /// The service did its work.
    pub const SUCCESS: Self = Self::new(Verdict::Success, Reason::Answered);

    /// An outcome of that verdict, for that reason.
    pub const fn new(verdict: Verdict, reason: Reason) -> Self {
        Self {
            verdict,
            reason,
            retry_after: None,
            retry_forbidden: false,
        }
    }

    /// A failure of the service.
    pub const fn failure(reason: Reason) -> Self {
        Self::new(Verdict::Failure, reason)
    }

    /// Nothing that says anything about the service.
    pub const fn neutral(reason: Reason) -> Self {
        Self::new(Verdict::Neutral, reason)
    }

    /// What a service's error says: its [kind's verdict](RejectionKind::verdict) if it is a rejection from a
    /// layer further in, else a failure.
    #[inline]
    pub fn of_error<E: CallError>(error: &E) -> Self {
        match error.rejected() {
            None => Self::failure(Reason::Error),
            Some(rejected) => Self::of_rejected(rejected),
        }
    }

    /// What a rejection from a layer further in says: its [kind's verdict](RejectionKind::verdict).
    pub fn of_rejected(rejected: &Rejected) -> Self {
        Self::new(rejected.verdict(), Reason::Rejected(rejected.kind()))
            .with_retry_after(rejected.retry_after())
    }

    /// The same, with the time that the service asked to be left alone.
    pub const fn with_retry_after(mut self, after: Option<Duration>) -> Self {
        self.retry_after = after;
        self
    }

    /// The same, with the service's word that the call must not be repeated (a negative
    /// `grpc-retry-pushback-ms`). Nothing overrides it.
    pub const fn forbid_retry(mut self) -> Self {
        self.retry_forbidden = true;
        self
    }

    /// What the call says about the service.
    #[must_use]
    pub const fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// Why.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        self.reason
    }

    /// How long the service asked to be left alone (`Retry-After`, `grpc-retry-pushback-ms`).
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Whether the service may still be at work on the call, for all that is known, or may have done it: somebody gave up
    /// waiting for it. Then only what is [idempotent](crate::RequestProtocol::idempotent) may be sent again.
    #[must_use]
    pub const fn is_unfinished(&self) -> bool {
        matches!(self.reason, Reason::Rejected(RejectionKind::TimedOut))
    }

    /// Whether the service asked that the call is not repeated.
    #[must_use]
    pub const fn retry_forbidden(&self) -> bool {
        self.retry_forbidden
    }
}

/// A verdict without a more particular reason.
impl From<Verdict> for Outcome {
    fn from(verdict: Verdict) -> Self {
        let reason = match verdict {
            Verdict::Success => Reason::Answered,
            other => Reason::Custom(other.as_str()),
        };
        Self::new(verdict, reason)
    }
}
