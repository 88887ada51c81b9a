//! How a layer says no.
//!
//! Every local refusal, from whichever concern, is one type: [`Rejected`]. A layer never invents an error of
//! its own and never changes the error of the service below it: it keeps `type Error = S::Error` and asks of
//! it only that it *can carry* a rejection, which is what [`CallError`] says. [`ErrorLayer`], at the bottom of
//! a stack, turns any service's error `E` into [`Error<E>`], which can. So errors stay flat and typed, however
//! many layers there are:
//!
//! ```
//! use buttress::{Error, Rejected, RejectionKind};
//!
//! fn explain(result: Result<&str, Error<std::io::Error>>) -> String {
//!     match result {
//!         Ok(answer) => answer.to_owned(),
//!         Err(Error::Rejected(r)) if r.kind() == RejectionKind::CircuitOpen => "try the cache".to_owned(),
//!         Err(Error::Rejected(r)) => r.to_string(),
//!         Err(Error::Inner(io)) => io.to_string(),
//!     }
//! }
//! # explain(Err(Rejected::new(RejectionKind::CircuitOpen, "db").into()));
//! ```
//!
//! # Why not an error type per layer
//!
//! Nested error types make a user match through as many levels as there are layers and change with every layer
//! added; a boxed error costs an allocation for each refusal, on the very path that has to be cheap. One type
//! of 32 bytes costs neither, and one table can say what each refusal means on the wire and to the books.

use std::{error::Error as StdError, fmt, sync::Arc, time::Duration};

use crate::{histogram::nanos, outcome::Verdict};

mod layer;

pub use layer::{ErrorFuture, ErrorLayer, ErrorService};

/// A boxed error, as tower has it.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// What kind of local refusal a [`Rejected`] is.
///
/// | kind | HTTP | gRPC | verdict on the service |
/// |---|---|---|---|
/// | `CircuitOpen` | 503 | `UNAVAILABLE` | neutral |
/// | `RateLimited` | 429 | `RESOURCE_EXHAUSTED` | neutral |
/// | `QueueFull`, `QueueTimeout`, `Shed` | 503 | `RESOURCE_EXHAUSTED` | neutral |
/// | `DeadlineExpired` | 504 | `DEADLINE_EXCEEDED` | neutral |
/// | `TimedOut` | 504 | `DEADLINE_EXCEEDED` | **failure** |
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
    const fn http_status(self) -> u16 {
        match self {
            Self::RateLimited => 429,
            Self::DeadlineExpired | Self::TimedOut => 504,
            Self::Panicked => 500,
            _ => 503,
        }
    }

    #[inline]
    const fn grpc_code(self) -> u8 {
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

/// A refusal by one of the layers: the call was not made, was cut off, or its answer was never seen.
///
/// It says which policy refused, of what [kind](RejectionKind) the refusal is, and, where the policy knows,
/// when it is worth coming back.
#[derive(Clone, PartialEq, Eq)]
#[must_use]
pub struct Rejected {
    policy: Arc<str>,
    /// Nanoseconds; `u64::MAX` where nothing is known. A `Duration` in an `Option` would cost 16 bytes.
    retry_after: u64,
    http_status: u16,
    grpc_code: u16,
    kind: RejectionKind,
}

const UNKNOWN: u64 = u64::MAX;

impl Rejected {
    /// A rejection of `kind` by the policy of that name.
    #[inline]
    pub fn new(kind: RejectionKind, policy: impl Into<Arc<str>>) -> Self {
        Self {
            policy: policy.into(),
            retry_after: UNKNOWN,
            http_status: kind.http_status(),
            grpc_code: kind.grpc_code().into(),
            kind,
        }
    }

    /// Says when it is worth coming back.
    pub fn with_retry_after(self, after: Duration) -> Self {
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
            self.grpc_code = code.into();
        }
        self
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
        (self.retry_after != UNKNOWN).then(|| Duration::from_nanos(self.retry_after))
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
        self.grpc_code as u8
    }

    /// What this refusal says about the service behind the policy.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.kind.verdict()
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

/// An error that can carry a rejection: [`Error<E>`], tower's `BoxError`, and users' own types.
///
/// A layer that may refuse asks this of the service's error. Implement it for an error of your own to do
/// without [`ErrorLayer`]:
///
/// ```
/// use buttress::{CallError, Rejected};
///
/// enum PaymentError {
///     Declined,
///     NotTried(Rejected),
/// }
///
/// impl From<Rejected> for PaymentError {
///     fn from(rejected: Rejected) -> Self {
///         Self::NotTried(rejected)
///     }
/// }
///
/// impl CallError for PaymentError {
///     fn rejected(&self) -> Option<&Rejected> {
///         match self {
///             Self::NotTried(rejected) => Some(rejected),
///             Self::Declined => None,
///         }
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "the error `{Self}` cannot carry a rejection",
    label = "this service's error has no room for a `Rejected`",
    note = "put `buttress::ErrorLayer` directly around the service: it turns an error `E` into `buttress::Error<E>` (`Stack` does so unless told to `.keep_error()`)",
    note = "or box the error to `tower::BoxError`, or implement `buttress::CallError` for it"
)]
pub trait CallError: From<Rejected> {
    /// The rejection, if this error is one.
    fn rejected(&self) -> Option<&Rejected>;
}

/// An error that can be taken apart into the rejection or what else it is: what the edge of a server needs in
/// order to answer the one and pass on the other.
#[diagnostic::on_unimplemented(
    message = "the error `{Self}` cannot be split into a rejection and the rest",
    note = "`buttress::Error<E>` and `tower::BoxError` can; implement `buttress::SplitError` for an error of your own"
)]
pub trait SplitError: CallError {
    /// What remains when rejections are taken out.
    type Inner;

    /// The rejection, or the rest.
    ///
    /// # Errors
    ///
    /// The error that is not a rejection.
    fn split(self) -> Result<Rejected, Self::Inner>;
}

/// The error of a protected service: a refusal by a layer, or the service's own error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error<E> {
    /// A layer refused, cut off, or caught the call.
    Rejected(Rejected),
    /// The service itself failed.
    Inner(E),
}

impl<E> Error<E> {
    /// The rejection, if this is one.
    #[must_use]
    pub fn rejected(&self) -> Option<&Rejected> {
        match self {
            Self::Rejected(rejected) => Some(rejected),
            Self::Inner(_) => None,
        }
    }

    /// The service's own error, if this is one.
    #[must_use]
    pub fn into_inner(self) -> Option<E> {
        match self {
            Self::Rejected(_) => None,
            Self::Inner(error) => Some(error),
        }
    }
}

impl<E> From<Rejected> for Error<E> {
    #[inline]
    fn from(rejected: Rejected) -> Self {
        Self::Rejected(rejected)
    }
}

impl<E> CallError for Error<E> {
    fn rejected(&self) -> Option<&Rejected> {
        self.rejected()
    }
}

impl<E> SplitError for Error<E> {
    type Inner = E;

    fn split(self) -> Result<Rejected, E> {
        match self {
            Self::Rejected(rejected) => Ok(rejected),
            Self::Inner(error) => Err(error),
        }
    }
}

impl<E: fmt::Display> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rejected(rejected) => rejected.fmt(f),
            Self::Inner(error) => error.fmt(f),
        }
    }
}

impl<E: StdError + 'static> StdError for Error<E> {
    /// A rejection is its own source, so that it is still found (see [`Rejected::find`]) when this error was
    /// boxed or wrapped on its way up, as tower's `Buffer` does.
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Rejected(rejected) => Some(rejected),
            Self::Inner(error) => error.source(),
        }
    }
}

/// A rejection anywhere in the chain of causes counts: a stack below tower's `Buffer` arrives here boxed.
impl CallError for BoxError {
    fn rejected(&self) -> Option<&Rejected> {
        Rejected::find(self.as_ref())
    }
}

impl SplitError for BoxError {
    type Inner = BoxError;

    fn split(self) -> Result<Rejected, BoxError> {
        match CallError::rejected(&self) {
            Some(rejected) => Ok(rejected.clone()),
            None => Err(self),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rejection_is_small() {
        assert!(size_of::<Rejected>() <= 32);
        assert!(size_of::<Error<std::convert::Infallible>>() <= 32);
    }

    #[test]
    fn only_timeouts_and_panics_are_failures_of_the_service() {
        use RejectionKind::*;
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
            assert_eq!(kind.verdict(), Verdict::Neutral, "{kind}");
        }
        assert_eq!(TimedOut.verdict(), Verdict::Failure);
        assert_eq!(Panicked.verdict(), Verdict::Failure);
    }

    #[test]
    fn retry_after_is_rounded_up_and_never_zero() {
        let after = |d| {
            Rejected::new(RejectionKind::RateLimited, "r")
                .with_retry_after(d)
                .retry_after_secs()
        };
        assert_eq!(after(Duration::ZERO), Some(1));
        assert_eq!(after(Duration::from_millis(1)), Some(1));
        assert_eq!(after(Duration::from_millis(1001)), Some(2));
        assert_eq!(after(Duration::from_secs(2)), Some(2));
        assert_eq!(after(Duration::MAX).map(|s| s > 1 << 32), Some(true));
        assert_eq!(Rejected::new(RejectionKind::Shed, "r").retry_after_secs(), None);
    }

    #[test]
    fn display_says_what_to_do_next() {
        let open =
            Rejected::new(RejectionKind::CircuitOpen, "payments").with_retry_after(Duration::from_secs(28));
        assert_eq!(
            open.to_string(),
            "circuit breaker `payments` is open, the service was failing: retry after 28s"
        );
        let shed = Rejected::new(RejectionKind::Shed, "api");
        assert_eq!(
            shed.to_string(),
            "given up by `api` for more important calls: retry later"
        );
    }

    #[test]
    fn nonsense_on_the_wire_is_not_taken() {
        let r = Rejected::new(RejectionKind::Custom, "mine")
            .with_http_status(7)
            .with_grpc_code(0)
            .with_grpc_code(17);
        assert_eq!((r.http_status(), r.grpc_code()), (503, 14));
        let r = r.with_http_status(418).with_grpc_code(9);
        assert_eq!((r.http_status(), r.grpc_code()), (418, 9));
    }

    #[test]
    fn a_boxed_error_still_shows_its_rejection() {
        let boxed: BoxError = Error::<std::io::Error>::from(Rejected::new(RejectionKind::Shed, "api")).into();
        assert_eq!(CallError::rejected(&boxed).map(Rejected::policy), Some("api"));
        assert_eq!(boxed.split().expect("a rejection").kind(), RejectionKind::Shed);

        let plain: BoxError = "out of paper".into();
        assert!(CallError::rejected(&plain).is_none());
        assert!(plain.split().is_err());
    }
}
