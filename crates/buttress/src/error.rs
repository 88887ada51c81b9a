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

use std::{error::Error as StdError, fmt};

mod kind;
mod layer;
mod rejected;
#[cfg(test)]
mod tests;

pub use kind::RejectionKind;
pub use layer::{ErrorFuture, ErrorLayer, ErrorService};
pub use rejected::Rejected;

/// A boxed error, as tower has it.
pub type BoxError = Box<dyn StdError + Send + Sync>;

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
