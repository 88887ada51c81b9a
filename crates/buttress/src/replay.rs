//! Sending a request again: what is kept of it, and how far its answer is looked at before the caller gets it.
//!
//! Retry and hedging ask this of a [`Protocol`], beside the verdict. [`Replay`] keeps a request, [`Peek`] looks
//! at an answer whose head does not decide.
//!
//! ```
//! use buttress::{Plain, replay::{Replay, Same}};
//!
//! let protocol = Plain::new();
//! let (first, saved) = protocol.save(&Same, "SELECT 1".to_owned(), 0);
//! drop(first); // sent, and failed
//!
//! let saved = saved.expect("a plain request is always kept");
//! assert!(Replay::<String>::can_repeat(&protocol, &saved));
//! let second: Option<String> = protocol.again(&Same, &saved);
//! assert_eq!(second.as_deref(), Some("SELECT 1"));
//! ```
//!
//! # Which body the service below gets
//!
//! A plain request is cloned and stays what it is. An HTTP request has a body that cannot be cloned: it is
//! streamed once and remembered while it streams, in a `ReplayBody<B>` around the caller's body `B`. What the
//! service below takes is a question of the *mode*:
//!
//! | mode | the body below | for |
//! |---|---|---|
//! | [`Same`] | the caller's own type | a body type that says how, by `HostBody`: boxed bodies, and your own |
//! | [`Bare`] | `ReplayBody<B>` | a transport that takes any body: hyper-util's client |
//! | [`With<F>`](With) | what `F` makes of it | everything else: `With(tonic::body::Body::new)` |
//!
//! The default is [`Same`], because a layer that changes the type of what passes through it is a surprise, and
//! because only so can the compiler say what to do: the orphan rule keeps other crates from implementing
//! `HostBody` for a host's type, so with a foreign body it is an error that names the other two.

use std::task::Context;

use crate::{
    context::CallContext,
    outcome::{Classify, Outcome, Plain, Protocol, RequestProtocol},
};

/// The longest body that a policy may be told to remember.
#[cfg_attr(not(any(feature = "fallback", feature = "retry")), allow(dead_code))]
pub(crate) const MAX_BODY: u64 = 1 << 30;

/// The service below takes the body type that the caller has. The mode by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Same;

/// The service below takes a `ReplayBody` around the caller's body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bare;

/// The service below takes what the function makes of a `ReplayBody` around the caller's body:
/// `With(axum::body::Body::new)`.
#[derive(Clone, Copy, Default)]
pub struct With<F>(pub F);

impl<F> std::fmt::Debug for With<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("With")
    }
}

/// For a layer inside of another that keeps requests: the caller's body is a `ReplayBody` around another already, and
/// is not wrapped once more. The service below takes what the mode `M` makes of that.
///
/// A stack puts it where it belongs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Again<M>(pub M);

/// A protocol whose requests can be kept, to be sent again.
///
/// What may be sent a second time without harm is [`RequestProtocol::repeatable`]; what *can* be, because all of
/// it is still there, is [`can_repeat`](Self::can_repeat). They are two questions: a `POST` with a small body can
/// be and may not, an upload of a gigabyte by `PUT` may be and cannot.
pub trait Replay<Request, M = Same>: RequestProtocol<Request> {
    /// The request as the service below takes it.
    type Request;

    /// What is kept of a request.
    type Saved;

    /// A request that is sent once and not kept, in the type of those that are.
    fn pass(&self, mode: &M, request: Request) -> Self::Request;

    /// The first attempt, and what is kept for others, whatever [`repeatable`](RequestProtocol::repeatable)
    /// says: for those who know better. [`save`](Self::save) asks.
    ///
    /// At most `limit` bytes of a body are remembered. A body known to be longer is passed through untouched
    /// and nothing is kept; one that turns out to be longer is sent to its end and then cannot be repeated.
    /// Neither is an error. Nothing here waits.
    fn keep(&self, mode: &M, request: Request, limit: usize) -> (Self::Request, Option<Self::Saved>);

    /// The first attempt, and what is kept for others if the request may be repeated; else
    /// [`pass`](Self::pass).
    fn save(&self, mode: &M, request: Request, limit: usize) -> (Self::Request, Option<Self::Saved>) {
        if self.repeatable(&request) {
            self.keep(mode, request, limit)
        } else {
            (self.pass(mode, request), None)
        }
    }

    /// Is all of the request there? A body that is still being sent, that was dropped before its end, that
    /// broke or that is too long to be remembered says no. It is a load and a comparison.
    fn can_repeat(&self, saved: &Self::Saved) -> bool;

    /// The next attempt: the request as it came in, or `None` where it [cannot](Self::can_repeat) be repeated.
    /// An attempt before it may still be alive; neither disturbs the other.
    fn again(&self, mode: &M, saved: &Self::Saved) -> Option<Self::Request>;

    /// Puts the context of an attempt into its request, in place of the one it carries.
    ///
    /// # Errors
    ///
    /// The context, if requests of this kind have no room for one: it then travels by
    /// [`CallContext::scope`].
    fn set_attempt_context(
        &self,
        request: &mut Self::Request,
        context: CallContext,
    ) -> Result<(), CallContext>;

    /// [Says](RequestProtocol::say_attempt) in the request of an attempt which one it is.
    fn announce_attempt(&self, request: &mut Self::Request, attempt: u32) {
        let _ = (request, attempt);
    }
}

/// A protocol that can look a little further than the head of an answer, before the caller has any of it.
///
/// In gRPC the status of a call that fails stands in trailers, and some servers send them apart from the headers
/// though nothing lies between. Such a failure can still be repeated if the trailers are there *already*: headers
/// are not held back to wait for them.
pub trait Peek<Response, Error>: Protocol<Response, Error> {
    /// The response, with what has been read of it ahead.
    type Peeked;

    /// The response, not looked at, in the type of those that are.
    fn unread(&self, response: Response) -> Self::Peeked;

    /// The [verdict](Protocol::verdict), and where the head leaves it open, what the body says at once: it is
    /// polled at most one time. Whatever came is still there for the reader, unchanged. `None` if there is more
    /// to come: the response has to go to the caller.
    fn peek(
        &self,
        result: Result<Response, Error>,
        cx: &mut Context<'_>,
    ) -> (Result<Self::Peeked, Error>, Option<Outcome>);
}

/// A plain request is cloned, and has no body that could be too long: the limit and the mode mean nothing.
impl<Request: Clone, C, M> Replay<Request, M> for Plain<C> {
    type Request = Request;
    type Saved = Request;

    #[inline]
    fn pass(&self, _: &M, request: Request) -> Request {
        request
    }

    #[inline]
    fn keep(&self, _: &M, request: Request, _: usize) -> (Request, Option<Request>) {
        let saved = request.clone();
        (request, Some(saved))
    }

    #[inline]
    fn can_repeat(&self, _: &Request) -> bool {
        true
    }

    #[inline]
    fn again(&self, _: &M, saved: &Request) -> Option<Request> {
        Some(saved.clone())
    }

    #[inline]
    fn set_attempt_context(&self, request: &mut Request, context: CallContext) -> Result<(), CallContext> {
        self.set_context(request, context)
    }
}

/// A plain response is all there is.
impl<R, E, C: Classify<R, E> + Clone> Peek<R, E> for Plain<C> {
    type Peeked = R;

    #[inline]
    fn unread(&self, response: R) -> R {
        response
    }

    #[inline]
    fn peek(&self, result: Result<R, E>, _: &mut Context<'_>) -> (Result<R, E>, Option<Outcome>) {
        let outcome = self.verdict(&result);
        (result, outcome)
    }
}
