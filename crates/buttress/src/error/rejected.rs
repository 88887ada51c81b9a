use std::{error::Error as StdError, fmt, sync::Arc, time::Duration};

#[cfg(doc)]
use super::Error;
use super::RejectionKind;
use crate::{histogram::nanos, outcome::Verdict};

/// A refusal by one of the layers: the call was not made, was cut off, or its answer was never seen.
///
/// It says which policy refused, of what [kind](RejectionKind) the refusal is, and, where the policy knows,
/// when it is worth coming back.
#[derive(Clone, PartialEq, Eq)]
#[must_use]
pub struct Rejected {
    policy: Arc<str>,
    /// Nanoseconds; `u64::MAX` where nothing is known. A `Duration` in an `Option` would cost 16 bytes. Of a call that
    /// is [`BEYOND`], how much there is at most.
    retry_after: u64,
    http_status: u16,
    grpc_code: u8,
    marks: u8,
    kind: RejectionKind,
}

const UNKNOWN: u64 = u64::MAX;

/// The service is not to blame.
const BLAMELESS: u8 = 1;
/// The call asks for more than there can ever be.
const BEYOND: u8 = 2;

impl Rejected {
    /// A rejection of `kind` by the policy of that name.
    #[inline]
    pub fn new(kind: RejectionKind, policy: impl Into<Arc<str>>) -> Self {
        Self {
            policy: policy.into(),
            retry_after: UNKNOWN,
            http_status: kind.http_status(),
            grpc_code: kind.grpc_code(),
            marks: 0,
            kind,
        }
    }

    /// Says when it is worth coming back.
    pub fn with_retry_after(mut self, after: Duration) -> Self {
        self.marks &= !BEYOND;
        self.with_retry_after_nanos(nanos(after))
    }

    /// The same, for those who have the nanoseconds themselves.
    #[inline]
    pub(crate) fn with_retry_after_nanos(mut self, nanos: u64) -> Self {
        self.retry_after = nanos.min(UNKNOWN - 1);
        self
    }

    /// The HTTP status to answer with instead of the kind's own. A value that no HTTP status can have
    /// (outside 100 to 999) is not taken.
    pub fn with_http_status(mut self, status: u16) -> Self {
        if (100..=999).contains(&status) {
            self.http_status = status;
        }
        self
    }

    /// The gRPC status code to answer with instead of the kind's own. `OK` and values above 16 are not taken.
    pub fn with_grpc_code(mut self, code: u8) -> Self {
        if (1..=16).contains(&code) {
            self.grpc_code = code;
        }
        self
    }

    /// Says that the service is not to blame, whatever the [kind](Self::kind): of a call that its caller gave less time
    /// than the service may take.
    pub fn blameless(mut self) -> Self {
        self.marks |= BLAMELESS;
        self
    }

    /// Says that the call asks for more than there can ever be at once, and how much that is: it is the call that is
    /// wrong, and it will be as wrong later. So nothing is said of when to come back, and the answer is 400 or
    /// `INVALID_ARGUMENT`.
    pub fn beyond(mut self, most: u64) -> Self {
        self.marks |= BEYOND;
        self.retry_after = most;
        self.with_http_status(400).with_grpc_code(3)
    }

    /// What kind of refusal this is.
    #[must_use]
    pub fn kind(&self) -> RejectionKind {
        self.kind
    }

    /// The name of the policy that refused.
    #[must_use]
    pub fn policy(&self) -> &str {
        &self.policy
    }

    /// How long to wait before it is worth trying again, where the policy knows.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        let is_known = self.retry_after != UNKNOWN && self.marks & BEYOND == 0;
        is_known.then(|| Duration::from_nanos(self.retry_after))
    }

    /// How much there can be at once, if the call asks for [more](Self::beyond).
    #[must_use]
    pub fn most(&self) -> Option<u64> {
        (self.marks & BEYOND != 0).then_some(self.retry_after)
    }

    /// [`retry_after`](Self::retry_after) in whole seconds as the `Retry-After` header has it: rounded up, at
    /// least 1, so that nobody is asked back too early.
    #[must_use]
    pub fn retry_after_secs(&self) -> Option<u64> {
        self.retry_after().map(|after| {
            let secs = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            secs.max(1)
        })
    }

    /// The HTTP status this refusal is answered with.
    #[must_use]
    pub fn http_status(&self) -> u16 {
        self.http_status
    }

    /// The gRPC status code this refusal is answered with.
    #[must_use]
    pub fn grpc_code(&self) -> u8 {
        self.grpc_code
    }

    /// What this refusal says about the service behind the policy: the [kind](RejectionKind::verdict)'s verdict, unless the
    /// service is [not to blame](Self::blameless).
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        if self.marks & BLAMELESS != 0 {
            Verdict::Neutral
        } else {
            self.kind.verdict()
        }
    }

    /// The rejection in `error` or in what caused it: [`Rejected`] itself, or any error whose
    /// [`source`](StdError::source) chain leads to one, as [`Error<E>`]'s does.
    #[must_use]
    pub fn find<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(rejected) = error.downcast_ref() {
                return Some(rejected);
            }
            next = error.source();
        }
        None
    }
}

impl fmt::Debug for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rejected")
            .field("kind", &self.kind)
            .field("policy", &self.policy)
            .field("retry_after", &self.retry_after())
            .finish()
    }
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let policy = self.policy();
        match (self.most(), self.kind) {
            (None, _) => {}
            (Some(most), RejectionKind::RateLimited) => {
                return write!(
                    f,
                    "rate limit `{policy}` never has more than {most} permits at once: ask for fewer"
                );
            }
            (Some(most), _) => {
                return write!(f, "`{policy}` never has more than {most} at once: ask for less");
            }
        }
        match self.kind {
            RejectionKind::CircuitOpen => {
                write!(f, "circuit breaker `{policy}` is open, the service was failing")?
            }
            RejectionKind::RateLimited => write!(f, "rate limit `{policy}` is used up")?,
            RejectionKind::QueueFull => write!(f, "the queue of `{policy}` is full")?,
            RejectionKind::QueueTimeout => write!(f, "the turn in `{policy}` did not come in time")?,
            RejectionKind::DeadlineExpired => {
                return write!(
                    f,
                    "the deadline had passed before `{policy}` let the call begin: allow more time"
                );
            }
            RejectionKind::TimedOut => write!(f, "no answer within the time limit of `{policy}`")?,
            RejectionKind::Panicked => {
                return write!(f, "the service behind `{policy}` panicked: see its log");
            }
            RejectionKind::NoEndpoint => write!(f, "no endpoint of `{policy}` is available")?,
            RejectionKind::Shed => write!(f, "given up by `{policy}` for more important calls")?,
            RejectionKind::Custom => write!(f, "rejected by `{policy}`")?,
        }
        match self.retry_after() {
            Some(after) => write!(f, ": retry after {}", crate::duration::Human(after)),
            None => f.write_str(": retry later"),
        }
    }
}

impl StdError for Rejected {}
