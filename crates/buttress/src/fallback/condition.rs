use crate::{
    config::Problems,
    error::RejectionKind,
    outcome::{Outcome, Reason, Verdict},
};

/// Something that a fallback is for.
///
/// By default that is [`AnyRejection`](Self::AnyRejection), and the verdicts [`Failure`](Verdict::Failure) and
/// [`Throttled`](Verdict::Throttled): whatever keeps the caller from an answer. What a service answers to a caller
/// that is itself at fault (HTTP's other 4xx, gRPC's `NOT_FOUND`) is an answer, and stays as it is unless it is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Condition {
    /// A layer further in refused, cut off or caught the call, for whatever reason.
    AnyRejection,
    /// It did so for this one.
    Rejection(RejectionKind),
    /// The service's own error, unless the protocol says that it is [neutral](Verdict::Neutral).
    Error,
    /// What the end of the call says about the service. [`Failure`](Verdict::Failure) is the service's own error, a
    /// time-out, a panic, and an answer that is a failure; [`Neutral`](Verdict::Neutral) is nearly every rejection
    /// beside the answers that are the caller's fault.
    Verdict(Verdict),
    /// An answer of that HTTP status.
    HttpStatus(u16),
    /// An answer of that gRPC status code, if the headers say it already.
    GrpcCode(u8),
}

/// What a fallback is for if nothing else is said.
pub(super) const DEFAULT: [Condition; 3] = [
    Condition::AnyRejection,
    Condition::Verdict(Verdict::Failure),
    Condition::Verdict(Verdict::Throttled),
];

impl Condition {
    /// Whether an outcome, which is no success, is meant.
    pub(super) fn matches(self, outcome: &Outcome) -> bool {
        match (self, outcome.reason()) {
            (Self::Verdict(verdict), _) => verdict == outcome.verdict(),
            (Self::AnyRejection, Reason::Rejected(_)) => true,
            (Self::Rejection(kind), Reason::Rejected(found)) => kind == found,
            (Self::Error, Reason::Error) => outcome.verdict() != Verdict::Neutral,
            (Self::HttpStatus(status), Reason::HttpStatus(found)) => status == found,
            (Self::GrpcCode(code), Reason::GrpcStatus(found)) => code == found,
            _ => false,
        }
    }

    pub(super) fn check(self, problems: &mut Problems) {
        match self {
            Self::Verdict(verdict) => {
                problems.check(
                    verdict != Verdict::Success,
                    "on",
                    verdict,
                    "a failure: what succeeds is answered",
                );
            }
            Self::HttpStatus(status) => {
                problems.check(
                    (400..600).contains(&status),
                    "on",
                    status,
                    "an HTTP status that is an error, 400 to 599",
                );
            }
            Self::GrpcCode(code) => {
                problems.check(
                    (1..=16).contains(&code),
                    "on",
                    format_args!("the gRPC status code {code}"),
                    "one that is an error, 1 to 16",
                );
            }
            Self::AnyRejection | Self::Rejection(_) | Self::Error => {}
        }
    }
}

impl From<RejectionKind> for Condition {
    fn from(kind: RejectionKind) -> Self {
        Self::Rejection(kind)
    }
}

impl From<Verdict> for Condition {
    fn from(verdict: Verdict) -> Self {
        Self::Verdict(verdict)
    }
}
