//! When a call is over, and what it says about the service.
//!
//! Whether a call succeeded is one question, and breaker, metrics, retry, pool and adaptive limits must all
//! get the same answer. So it is asked in one place. A layer that wants to know makes a [`Token`] when the call
//! begins and hands it to a [`Protocol`], which watches the answer to its *real* end and finishes the token
//! with an [`Outcome`], once. A token that is dropped unfinished was cancelled.
//!
//! # Why it is built like this
//!
//! * **The token moves.** It lives in the layer's future until the headers are there, then in the response's
//!   body, so that a call cancelled at any point, before its first poll or in mid-stream, is noticed by the
//!   same `Drop`. There is no second book-keeping for "the future was dropped".
//! * **The verdict waits no longer than it must.** A 503 is known at the headers and finishes the token there;
//!   a gRPC status is known at the trailers. See [`Protocol::verdict`] against [`Protocol::observe`].
//! * **The response's type depends on the token** ([`Protocol::Response`]), not on a box: a plain response is
//!   not wrapped at all, an HTTP response's body is wrapped in a struct that holds the token by value.
//! * **`observe` takes an `Option`.** `None` is a policy that is switched off: the type stays the same, nothing
//!   is watched.
//! * **Three ways to be neither good nor bad.** [`Verdict::Throttled`] is the server asking for less,
//!   [`Verdict::Neutral`] says nothing about the service's health (a 404, a local rejection), and a cancelled
//!   call has no outcome at all. Folding any of them into success or failure is how other libraries closed a
//!   circuit on a 404 or opened one because clients went away.
//! * **Requests have a trait of their own,** [`RequestProtocol`], because a layer that only looks at requests
//!   (a limiter, a queue) must not demand anything of responses, and the other way round.
//!
//! A pool of two endpoints and a waiting line were written against these traits before they settled (both are
//! in this repository's tests): a pool keeps a token per endpoint in flight and lets [`Protocol::verdict`]
//! decide on failover before any body is read; a waiting call makes its token only after admission, so that
//! queueing is never taken for slowness of the service.

use std::{convert::Infallible, error::Error as StdError, fmt, mem::ManuallyDrop, time::Duration};

use crate::{
    clock::Instant,
    context::CallContext,
    error::{CallError, Rejected, RejectionKind},
};

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

/// How a call ended, in the seven ways that the books tell apart.
#[cfg_attr(not(any(feature = "metrics", feature = "trace-id")), allow(dead_code))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Success,
    Failure,
    Neutral,
    Rejected,
    TimedOut,
    Cancelled,
    Panicked,
}

#[cfg_attr(not(any(feature = "metrics", feature = "trace-id")), allow(dead_code))]
impl Ending {
    /// How many there are.
    #[cfg_attr(not(feature = "metrics"), allow(dead_code))]
    pub(crate) const COUNT: usize = 7;

    #[inline]
    pub(crate) fn of(outcome: &Outcome) -> Self {
        match (outcome.reason(), outcome.verdict()) {
            (Reason::Rejected(kind), _) => Self::of_rejection(kind),
            (_, Verdict::Success) => Self::Success,
            (_, Verdict::Failure | Verdict::Throttled) => Self::Failure,
            (_, Verdict::Neutral) => Self::Neutral,
        }
    }

    pub(crate) const fn of_rejection(kind: RejectionKind) -> Self {
        match kind {
            RejectionKind::TimedOut => Self::TimedOut,
            RejectionKind::Panicked => Self::Panicked,
            _ => Self::Rejected,
        }
    }

    /// In `snake_case`, as in a metric's label.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Neutral => "neutral",
            Self::Rejected => "rejected",
            Self::TimedOut => "timed_out",
            Self::Cancelled => "cancelled",
            Self::Panicked => "panicked",
        }
    }
}

/// What the headers of a response, good ones that do not end the matter, say about the service already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// It is answering; whether it answers well is known with the data.
    Promising,
    /// It has answered as well as one can ask, whatever becomes of the body: a 2xx in plain HTTP.
    Good,
}

/// The interest of one layer in the end of one call.
///
/// A token sees its call in this order: [`head`](Self::head) if the answer is one that goes on after its
/// headers, [`data`](Self::data) at the first data frame, then [`finish`](Self::finish), once. Dropped before
/// that, at any point, the call was **cancelled**; implement `Drop` to count it.
pub trait Token {
    /// Good headers have arrived, the body is yet to come. Every duration that *decides* something ends here:
    /// the rest of a body is paced by whoever reads it.
    fn head(&mut self, head: Head) {
        let _ = head;
    }

    /// The first data frame has arrived.
    fn data(&mut self) {}

    /// The call is over. It must not panic: then the response may be leaked.
    fn finish(self, outcome: Outcome);
}

/// How a kind of service ends its calls, and what their answers say about it.
///
/// [`Plain`] for any request and response, `Http` and `Grpc` (with the `http` feature) for those on the wire.
/// Each takes a judgement of the user's own: [`Plain::classify`], `Http::classify`, `Grpc::classify`.
pub trait Protocol<Response, Error>: Clone {
    /// The response while a token watches it.
    type Response<T: Token>;

    /// What can be said of the result as it is, without waiting for more: `None` while the end of a body has
    /// yet to decide. This is what retry, hedging and failover go by.
    fn verdict(&self, result: &Result<Response, Error>) -> Option<Outcome>;

    /// Whether what follows the head of this answer is a stream that goes on for as long as anybody listens: an event
    /// stream, the protocol after an upgrade, a gRPC stream. It occupies a connection, but not one of the places that
    /// are meant for calls that do work and end.
    fn is_open_ended(&self, response: &Response) -> bool {
        let _ = response;
        false
    }

    /// Watches the result to its real end and finishes the token there. `None` is a policy that is off: the
    /// response takes the same type and nothing is watched.
    ///
    /// # Errors
    ///
    /// The result's own.
    fn observe<T: Token>(
        &self,
        result: Result<Response, Error>,
        token: Option<T>,
    ) -> Result<Self::Response<T>, Error>;
}

/// Where in a response of that kind of service there is a body: nowhere in a [`Plain`] one's, in the body of an
/// `Http` or `Grpc` one's.
///
/// A layer that has something to do with what comes after the headers (catch its panics, limit its time) wraps
/// the body by [`map_body`](Self::map_body). It does so where its policy is off, too, so that the type stays the
/// same.
pub trait BodyProtocol<Response> {
    /// Whether the time that a call may take goes on to the end of the body. In gRPC it does: a deadline is that of
    /// the whole call. A download over plain HTTP may well take longer than anyone would wait for its headers.
    const DEADLINE_SPANS_BODY: bool = false;

    /// The body; where there is none, a type that has no values.
    type Body;

    /// The response with another body.
    type Response<Body>;

    /// Replaces the body by what `wrap` makes of it.
    fn map_body<Body>(response: Response, wrap: impl FnOnce(Self::Body) -> Body) -> Self::Response<Body>;
}

/// What layers may ask about a request.
pub trait RequestProtocol<Request> {
    /// May the request be sent a second time without harm? An idempotent method, or a key that makes it so.
    fn repeatable(&self, request: &Request) -> bool;

    /// May the request be sent a second time while the first is still at work, or though it may have been carried
    /// out? Where nothing but the request has a say in whether it is repeatable, the two are one.
    fn idempotent(&self, request: &Request) -> bool {
        self.repeatable(request)
    }

    /// The context that the request carries, if it can carry one and does.
    fn context<'a>(&self, request: &'a Request) -> Option<&'a CallContext>;

    /// The same, to be changed.
    fn context_mut<'a>(&self, request: &'a mut Request) -> Option<&'a mut CallContext> {
        let _ = request;
        None
    }

    /// Puts the context into the request, in place of the one it carries.
    ///
    /// # Errors
    ///
    /// The context, if requests of this kind have no room for one: it then travels by
    /// [`CallContext::scope`].
    fn set_context(&self, request: &mut Request, context: CallContext) -> Result<(), CallContext>;

    /// Brings the deadline in the request's context forward, in one made for the purpose if it carries none. Whether
    /// there was room for it: if not, it travels by [`WithDeadline`](crate::context::WithDeadline).
    fn limit_deadline(&self, request: &mut Request, deadline: Instant) -> bool {
        if let Some(context) = self.context_mut(request) {
            context.limit_deadline(deadline);
            return true;
        }
        let known = self.context(request).cloned();
        let mut context = known.or_else(CallContext::current).unwrap_or_default();
        context.limit_deadline(deadline);
        self.set_context(request, context).is_ok()
    }

    /// A name for the kind of request that has few values: a gRPC method, a matched route. Never a raw path.
    fn route<'a>(&self, request: &'a Request) -> Option<&'a str>;

    /// What the request says under that name, in lower case, beside its content: a header of HTTP, metadata of gRPC.
    /// `None` also where that is no text.
    fn field<'a>(&self, request: &'a Request, name: &str) -> Option<&'a str> {
        let _ = (request, name);
        None
    }

    /// The extension of that type that somebody in this process has put into the request, if requests of this kind can
    /// carry one.
    fn extension<'a, T: Send + Sync + 'static>(&self, request: &'a Request) -> Option<&'a T> {
        let _ = request;
        None
    }

    /// Whether the request asks for a tunnel (`CONNECT`): if it gets one, the answer
    /// [has no end](Protocol::is_open_ended).
    fn asks_for_tunnel(&self, request: &Request) -> bool {
        let _ = request;
        false
    }

    /// How much time the request itself says that it may take, where it can say that: gRPC's `grpc-timeout`.
    fn timeout(&self, request: &Request) -> Option<Duration> {
        let _ = request;
        None
    }

    /// Has the request say that it may take no more than `limit`, where it can say that. It is only ever lowered.
    fn limit_timeout(&self, request: &mut Request, limit: Duration) {
        let _ = (request, limit);
    }

    /// Has the request say which attempt it is (the first is 1), where it can say that. Of a first attempt there is
    /// nothing to say.
    fn say_attempt(&self, request: &mut Request, attempt: u32) {
        let _ = (request, attempt);
    }
}

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
    fn limit_deadline(&self, _: &mut Request, _: Instant) -> bool {
        false
    }

    fn route<'a>(&self, _: &'a Request) -> Option<&'a str> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

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
