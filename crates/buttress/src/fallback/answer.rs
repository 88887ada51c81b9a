use std::fmt;

use crate::{
    error::RejectionKind,
    outcome::{Outcome, Reason},
};

mod function;
mod service;
mod value;

pub use function::{AsyncAnswer, Reply, With, WithAsync};
pub use service::{Asking, Other};
pub use value::Value;

/// What answers a call in place of the service: a [`Value`], a function ([`With`], [`WithAsync`]), another service
/// ([`Other`]), or a type of your own.
///
/// `Kept` is what was kept of the request, `Response` and `Error` are those of the service.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not answer calls whose answer is a `{Response}`, whose error is a `{Error}`, and of whose request `{Kept}` is kept",
    note = "a function takes a `Cause<'_, {Error}, {Kept}>` and returns an `Option` or a `Result<_, {Error}>` of what it answers with",
    note = "another service takes the request as the service itself does, and its error has to be `Into<{Error}>`"
)]
pub trait Answer<Kept, Response, Error> {
    /// What it answers with.
    type Response;

    /// The future of the answer.
    type Future: Future<Output = Answered<Self::Response, Response, Error>>;

    /// Answers a call that failed.
    fn answer(&self, call: FailedCall<Response, Error, Kept>) -> Self::Future;
}

/// What became of a call that was given to a fallback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered<Local, Response, Error> {
    /// It is answered.
    Answer(Local),
    /// The fallback failed too, and this is the call's error.
    Failed(Error),
    /// The fallback has nothing to say: the caller gets what the service said, unchanged.
    Declined(Result<Response, Error>),
}

/// A call that ended in something that the fallback is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FailedCall<Response, Error, Kept = ()> {
    /// What the end of the call says about the service, and why.
    pub outcome: Outcome,
    /// The end of the call: an error, or an answer that is one.
    pub result: Result<Response, Error>,
    /// What was kept of the request.
    pub kept: Kept,
}

/// Why a function is asked to answer, and what was kept of the request.
#[non_exhaustive]
pub struct Cause<'a, Error, Kept = ()> {
    /// What the end of the call says about the service, and why: an HTTP status, a gRPC status, a rejection.
    pub outcome: Outcome,
    /// The error that the call ended in; `None` if it was an answer that is a failure.
    pub error: Option<&'a Error>,
    /// What was kept of the request.
    pub kept: Kept,
}

impl<Error, Kept> Cause<'_, Error, Kept> {
    /// Which kind of refusal the call ended in, if it was one.
    #[must_use]
    pub fn rejection(&self) -> Option<RejectionKind> {
        match self.outcome.reason() {
            Reason::Rejected(kind) => Some(kind),
            _ => None,
        }
    }
}

/// Without the error and what was kept, which need not be `Debug`.
impl<Error, Kept> fmt::Debug for Cause<'_, Error, Kept> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cause")
            .field("outcome", &self.outcome)
            .field("error", &self.error.is_some())
            .finish_non_exhaustive()
    }
}
