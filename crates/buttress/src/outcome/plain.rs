use std::{convert::Infallible, error::Error as StdError, mem::ManuallyDrop};

use super::{BodyProtocol, Outcome, Protocol, Reason, RequestProtocol, Token};
use crate::{
    clock::Instant,
    context::CallContext,
    error::{CallError, Rejected},
};

/// A service that is neither HTTP nor gRPC: a function, a database call. `Ok` is a success and `Err` a failure
/// (or what the rejection in it says), unless [`classify`](Self::classify)d otherwise.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plain<C = OkIsSuccess> {
    classify: C,
}

/// The judgement of [`Plain`] by default.
#[derive(Clone, Copy, Debug, Default)]
pub struct OkIsSuccess {
    _private: (),
}

/// The judgement over functions whose errors are any [`std::error::Error`]: `Ok` is a success, `Err` a failure, or what
/// the rejection in the error or in one of its causes says.
#[derive(Clone, Copy, Debug, Default)]
pub struct AnyError {
    _private: (),
}

/// A judgement over a plain service's result: a closure `Fn(&Result<R, E>) -> Outcome`, or [`OkIsSuccess`].
pub trait Classify<Response, Error> {
    /// What the result says about the service.
    fn classify(&self, result: &Result<Response, Error>) -> Outcome;
}

impl<R, E: CallError> Classify<R, E> for OkIsSuccess {
    #[inline]
    fn classify(&self, result: &Result<R, E>) -> Outcome {
        match result {
            Ok(_) => Outcome::SUCCESS,
            Err(error) => Outcome::of_error(error),
        }
    }
}

impl<R, E: StdError + 'static> Classify<R, E> for AnyError {
    fn classify(&self, result: &Result<R, E>) -> Outcome {
        match result {
            Ok(_) => Outcome::SUCCESS,
            Err(error) => match Rejected::find(error) {
                Some(rejected) => Outcome::of_rejected(rejected),
                None => Outcome::failure(Reason::Error),
            },
        }
    }
}

impl AnyError {
    #[cfg_attr(
        not(any(feature = "fallback", feature = "hedge", feature = "retry")),
        allow(dead_code)
    )]
    pub(crate) const fn protocol() -> Plain<Self> {
        Plain::with(Self { _private: () })
    }
}

impl<R, E, F: Fn(&Result<R, E>) -> Outcome> Classify<R, E> for F {
    fn classify(&self, result: &Result<R, E>) -> Outcome {
        self(result)
    }
}

impl Plain {
    /// `Ok` is a success, `Err` a failure.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            classify: OkIsSuccess { _private: () },
        }
    }
}

impl<F> Plain<F> {
    /// Judges by `classify` instead.
    ///
    /// ```
    /// use buttress::{Error, outcome::{Outcome, Plain, Reason}};
    ///
    /// // A row that is not there is no fault of the database.
    /// let protocol = Plain::classify(|result: &Result<u32, Error<std::io::Error>>| match result {
    ///     Err(Error::Inner(e)) if e.kind() == std::io::ErrorKind::NotFound => Outcome::neutral(Reason::Error),
    ///     Err(e) => Outcome::of_error(e),
    ///     Ok(_) => Outcome::SUCCESS,
    /// });
    /// # let _ = protocol;
    /// ```
    pub const fn classify<R, E>(classify: F) -> Self
    where
        F: Fn(&Result<R, E>) -> Outcome + Clone,
    {
        Self { classify }
    }

    /// The same with a judgement that has a name, for a protocol whose type can be written down.
    pub const fn with(classify: F) -> Self {
        Self { classify }
    }
}

impl<R, E, C: Classify<R, E> + Clone> Protocol<R, E> for Plain<C> {
    type Response<T: Token> = R;

    #[inline]
    fn verdict(&self, result: &Result<R, E>) -> Option<Outcome> {
        Some(self.classify.classify(result))
    }

    // Always: by a call of it result and token would have to be in memory.
    #[inline(always)]
    fn observe<T: Token>(&self, mut result: Result<R, E>, token: Option<T>) -> Result<R, E> {
        if let Some(token) = token {
            // Were it dropped should `finish` panic, it would have to be in memory meanwhile, and be copied there and
            // back: that costs as much as a whole breaker. Tokens do not panic; one that did would leak the result.
            let watched = ManuallyDrop::new(result);
            token.finish(self.classify.classify(&watched));
            result = ManuallyDrop::into_inner(watched);
        }
        // Taken apart and put together again, so that what moves is the one or the other, not all the bytes they share.
        match result {
            Ok(response) => Ok(response),
            Err(error) => Err(error),
        }
    }
}

/// The response is not touched.
impl<R, C> BodyProtocol<R> for Plain<C> {
    type Body = Infallible;
    type Response<Body> = R;

    #[inline]
    fn map_body<Body>(response: R, _: impl FnOnce(Infallible) -> Body) -> R {
        response
    }
}

/// A plain request may be repeated: whoever puts a retry around a plain service has decided that. It carries no
/// context (that is task-local, see [`CallContext::scope`]) and has no route.
impl<Request, C> RequestProtocol<Request> for Plain<C> {
    fn repeatable(&self, _: &Request) -> bool {
        true
    }

    fn context<'a>(&self, _: &'a Request) -> Option<&'a CallContext> {
        None
    }

    fn set_context(&self, _: &mut Request, context: CallContext) -> Result<(), CallContext> {
        Err(context)
    }

    #[inline]
    fn limit_deadline(&self, _: &mut Request, _: Instant) {}

    fn route<'a>(&self, _: &'a Request) -> Option<&'a str> {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        error::{Error, RejectionKind},
        outcome::Verdict,
    };

    #[test]
    fn a_plain_result_is_judged_by_its_error() {
        type R = Result<(), Error<&'static str>>;
        let verdict = |r: R| Plain::new().verdict(&r).map(|o| o.verdict());
        assert_eq!(verdict(Ok(())), Some(Verdict::Success));
        assert_eq!(verdict(Err(Error::Inner("no"))), Some(Verdict::Failure));
        let rejected = |kind| Err(Rejected::new(kind, "p").into());
        assert_eq!(
            verdict(rejected(RejectionKind::RateLimited)),
            Some(Verdict::Neutral)
        );
        assert_eq!(verdict(rejected(RejectionKind::TimedOut)), Some(Verdict::Failure));
    }

    #[test]
    fn a_rejection_hands_its_retry_after_on() {
        let after = Duration::from_secs(3);
        let error = Error::<()>::from(Rejected::new(RejectionKind::RateLimited, "p").with_retry_after(after));
        assert_eq!(Outcome::of_error(&error).retry_after(), Some(after));
    }
}
