use std::{fmt, sync::Arc, time::Duration};

use crate::{
    config::Problems,
    error::RejectionKind,
    outcome::{Outcome, Reason, Verdict},
};

/// Which failures are worth another attempt.
///
/// | | by default |
/// |---|---|
/// | the service's own error: no connection, one that broke; a plain `Err` | yes |
/// | an attempt that [timed out](RejectionKind::TimedOut) | yes, if the request is [idempotent](crate::RequestProtocol::idempotent): the service may still be at work on it. No call of gRPC is, as far as it says; see [`retry_non_idempotent`](super::RetryBuilder::retry_non_idempotent) |
/// | an attempt that [panicked](RejectionKind::Panicked) | no: the same request would most likely do it again |
/// | any other rejection by a layer further in, an open circuit too | never: that layer has its reasons, and a moment later still has them |
/// | HTTP status | 429, 502, 503, 504 |
/// | gRPC status | `UNAVAILABLE`; `RESOURCE_EXHAUSTED` where the server says when to come again |
///
/// What counts as the service's own error is the protocol's judgement: an error that it calls
/// [neutral](Verdict::Neutral) is not repeated.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "conditions do nothing until they are given to a builder"]
pub struct RetryOn {
    errors: bool,
    timeouts: bool,
    panics: bool,
    statuses: Vec<u16>,
    /// One bit for each code.
    codes: u32,
    /// Codes that are repeated only if the server says when to.
    pushed_codes: u32,
}

const RESOURCE_EXHAUSTED: u8 = 8;
const UNAVAILABLE: u8 = 14;
const CODES: std::ops::RangeInclusive<u8> = 1..=16;

impl Default for RetryOn {
    fn default() -> Self {
        Self {
            errors: true,
            timeouts: true,
            panics: false,
            statuses: vec![429, 502, 503, 504],
            codes: 1 << UNAVAILABLE,
            pushed_codes: 1 << RESOURCE_EXHAUSTED,
        }
    }
}

impl RetryOn {
    /// Nothing, to begin a list from.
    pub const fn nothing() -> Self {
        Self {
            errors: false,
            timeouts: false,
            panics: false,
            statuses: Vec::new(),
            codes: 0,
            pushed_codes: 0,
        }
    }

    /// The service's own error: no connection, one that broke, a plain `Err`.
    pub fn errors(mut self, on: bool) -> Self {
        self.errors = on;
        self
    }

    /// An attempt that timed out.
    pub fn timeouts(mut self, on: bool) -> Self {
        self.timeouts = on;
        self
    }

    /// An attempt that panicked.
    pub fn panics(mut self, on: bool) -> Self {
        self.panics = on;
        self
    }

    /// These HTTP statuses and no others.
    pub fn http_statuses(mut self, statuses: impl IntoIterator<Item = u16>) -> Self {
        self.statuses = statuses.into_iter().collect();
        self
    }

    /// These gRPC status codes, whatever else the server says, and no others.
    pub fn grpc_codes(mut self, codes: impl IntoIterator<Item = u8>) -> Self {
        // What is no code goes to a bit that `check` finds.
        let bit = |code: u8| if CODES.contains(&code) { 1 << code } else { 1 };
        self.codes = codes.into_iter().map(bit).fold(0, |all, bit| all | bit);
        self.pushed_codes = 0;
        self
    }

    pub(super) fn check(&self, problems: &mut Problems) {
        for &status in &self.statuses {
            problems.check(
                (400..600).contains(&status),
                "retry_on",
                status,
                "an HTTP status that is an error, 400 to 599",
            );
        }
        problems.check(
            self.codes & 1 == 0,
            "retry_on",
            "a gRPC status code that is none",
            "1 to 16",
        );
    }

    /// Whether an outcome, which is no success, is worth another attempt.
    pub(super) fn matches(&self, outcome: &Outcome) -> bool {
        match outcome.reason() {
            Reason::Error | Reason::Custom(_) => self.errors && outcome.verdict() != Verdict::Neutral,
            Reason::Rejected(RejectionKind::TimedOut) => self.timeouts,
            Reason::Rejected(RejectionKind::Panicked) => self.panics,
            Reason::HttpStatus(status) => self.statuses.contains(&status),
            Reason::GrpcStatus(code) => {
                let pushed = if outcome.retry_after().is_some() {
                    self.pushed_codes
                } else {
                    0
                };
                1_u32
                    .checked_shl(code.into())
                    .is_some_and(|bit| bit & (self.codes | pushed) != 0)
            }
            _ => false,
        }
    }
}

/// An attempt that is over, as a [predicate](super::RetryBuilder::retry_if) sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attempt {
    /// How it ended. It is never a success.
    pub outcome: Outcome,
    /// Which attempt it was; the first is 1.
    pub number: u32,
    /// How long the call has taken, all attempts and waits together.
    pub elapsed: Duration,
}

/// A judgement of the user's own over an [`Attempt`].
#[derive(Clone)]
pub(super) struct Predicate(pub(super) Arc<dyn Fn(&Attempt) -> bool + Send + Sync>);

/// Two are equal if they are the same one.
impl PartialEq for Predicate {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Predicate")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejected(kind: RejectionKind) -> Outcome {
        Outcome::new(kind.verdict(), Reason::Rejected(kind))
    }

    #[test]
    fn only_what_may_pass_by_itself_is_worth_another_attempt() {
        use RejectionKind::*;
        let on = RetryOn::default();
        assert!(on.matches(&Outcome::failure(Reason::Error)));
        assert!(on.matches(&Verdict::Throttled.into()));
        assert!(on.matches(&rejected(TimedOut)));
        for status in [429, 502, 503, 504] {
            assert!(
                on.matches(&Outcome::failure(Reason::HttpStatus(status))),
                "{status}"
            );
        }
        for status in [400, 404, 408, 500, 501, 505] {
            assert!(
                !on.matches(&Outcome::failure(Reason::HttpStatus(status))),
                "{status}"
            );
        }
        assert!(!on.matches(&Outcome::neutral(Reason::Error)));
        assert!(!on.matches(&Outcome::failure(Reason::MissingGrpcStatus)));
        assert!(!on.matches(&Outcome::failure(Reason::BodyError)));
    }

    #[test]
    fn an_open_circuit_and_every_other_local_refusal_is_final() {
        use RejectionKind::*;
        let all = RetryOn::default().panics(true);
        for kind in [
            CircuitOpen,
            RateLimited,
            QueueFull,
            QueueTimeout,
            DeadlineExpired,
            NoEndpoint,
            Shed,
            Custom,
        ] {
            assert!(!all.matches(&rejected(kind)), "{kind}");
        }
    }

    #[test]
    fn a_panic_is_repeated_only_if_asked() {
        let panicked = rejected(RejectionKind::Panicked);
        assert!(!RetryOn::default().matches(&panicked));
        assert!(RetryOn::default().panics(true).matches(&panicked));
    }

    #[test]
    fn grpc_repeats_unavailable_and_with_pushback_resource_exhausted() {
        let on = RetryOn::default();
        let code = |code| Outcome::failure(Reason::GrpcStatus(code));
        let pushed = |n| code(n).with_retry_after(Some(Duration::ZERO));
        for n in 0..=255 {
            assert_eq!(on.matches(&code(n)), n == 14, "{n}");
            assert_eq!(on.matches(&pushed(n)), n == 14 || n == 8, "{n}");
        }
        let own = RetryOn::default().grpc_codes([4, 8]);
        for n in 0..=255 {
            assert_eq!(own.matches(&code(n)), n == 4 || n == 8, "{n}");
            assert_eq!(own.matches(&pushed(n)), n == 4 || n == 8, "{n}");
        }
    }

    #[test]
    fn a_list_is_exactly_what_it_says() {
        let on = RetryOn::nothing().http_statuses([500]);
        assert!(on.matches(&Outcome::failure(Reason::HttpStatus(500))));
        assert!(!on.matches(&Outcome::failure(Reason::HttpStatus(503))));
        assert!(!on.matches(&Outcome::failure(Reason::Error)));
        assert!(!on.matches(&rejected(RejectionKind::TimedOut)));
        assert!(!on.matches(&Outcome::failure(Reason::GrpcStatus(14))));
    }

    #[test]
    fn what_is_no_error_is_no_condition() {
        let problems = |on: RetryOn| {
            let mut problems = Problems::new();
            on.check(&mut problems);
            problems.into_result().map_err(|e| e.problems().len())
        };
        assert_eq!(problems(RetryOn::default()), Ok(()));
        assert_eq!(
            problems(RetryOn::default().http_statuses([200, 600, 503])),
            Err(2)
        );
        for code in [0, 17, 255] {
            assert_eq!(
                problems(RetryOn::default().grpc_codes([14, code])),
                Err(1),
                "{code}"
            );
        }
    }
}
