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

mod ending;
mod plain;
mod protocol;
mod verdict;

#[cfg_attr(not(any(feature = "metrics", feature = "trace-id")), allow(unused_imports))]
pub(crate) use ending::Ending;
pub use plain::{AnyError, Classify, OkIsSuccess, Plain};
pub use protocol::{BodyProtocol, Head, Protocol, RequestProtocol, Token};
pub use verdict::{Outcome, Reason, Verdict};
