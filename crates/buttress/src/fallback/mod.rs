//! Fallback: answers in place of a service that cannot, with a value, by a function or through another service.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use buttress::{ErrorLayer, RejectionKind, Verdict, fallback::{Condition, Fallback}};
//! use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
//!
//! let fallback = Fallback::value("the rate of yesterday")
//!     .name("rates")
//!     .on([Condition::from(RejectionKind::CircuitOpen), Verdict::Failure.into()])
//!     .build()?;
//!
//! let mut rates = ServiceBuilder::new()
//!     .layer(fallback.layer())
//!     .layer(ErrorLayer::new())
//!     .service(service_fn(async |currency: &'static str| match currency {
//!         "EUR" => Ok("1.09"),
//!         _ => Err(std::io::Error::other("no line")),
//!     }));
//!
//! assert_eq!(rates.ready().await?.call("EUR").await?, "1.09");
//! assert_eq!(rates.ready().await?.call("CHF").await?, "the rate of yesterday");
//! assert_eq!(fallback.snapshot().answered, 1);
//! # Ok(()) }
//! ```
//!
//! # What answers
//!
//! | | with | kept of each request |
//! |---|---|---|
//! | [`Fallback::value`] | a clone of a value, made only when it is needed | nothing |
//! | [`Fallback::with`], [`with_async`](Fallback::with_async) | what a function makes of the [`Cause`] | nothing |
//! | [`Fallback::keep`], then the same | what a function makes of the cause and of what was kept | what your function takes from it |
//! | [`Fallback::service`] | the answer, or the error, of another service to the same request | a clone; over HTTP the head, and up to 64 KiB of body while it is sent |
//!
//! Over HTTP and gRPC the answer is a response of any body that has the service's kind of data; what comes out is a
//! [`FallbackBody`] of either. `Fallback::response` and `Fallback::grpc_message` take one that is written down. For
//! a plain service it is of the service's own type.
//!
//! # What it is for
//!
//! For whatever keeps the caller from an answer: every rejection and every failure, the service's own errors, and what
//! it answers when it is overloaded; or for exactly the [`Condition`]s that are [named](FallbackBuilder::on). Never for
//! a call that was good when its headers came. If a function has nothing (`None`), the caller gets what the service
//! said, unchanged; if it fails, its error is that of the call.
//!
//! # Not twice
//!
//! A request that is not [repeatable](crate::RequestProtocol::repeatable) (a `POST` without an `Idempotency-Key`) is
//! given to another service only if the first was never asked, because its breaker was open or its queue full: after a
//! time-out it may have been done. Nor is a request given to it of which not all is there any more: its body was too
//! long, or streamed and dropped before its end. Then the caller gets what the first service said, and it stands in
//! the books as `not_repeatable`.
//!
//! # Where it stands, and what others see
//!
//! Outside of everything that decides whether the service is asked: the time limits of the call, retry, hedge, queue,
//! limits and breaker. They know nothing of it, so a breaker stays open while the fallback answers, and probes. It
//! stands inside of metrics and the outer panic recovery. To the metrics a call that the fallback answered is what its
//! answer is, mostly a success, because that is what the caller sees; how many of those are from the fallback, and why,
//! is in its own [`Snapshot`], and what is directly outside sees it by [`FallbackBody::is_local`]. If clients or caches
//! have to know as well, say so in the answer: with `cache-control: no-store`, say.
//!
//! # Caveats
//!
//! * **A body that breaks off is not replaced.** By then the caller has the headers, and part of the answer. Nor is a
//!   gRPC failure that is only told in trailers.
//! * The fallback is outside of the call's time limits. One that may take long should have a limit of its own: by
//!   [`Timeout`](crate::timeout) around the service, or in the function.
//! * An asynchronous function holds on to what the service said until it has decided; a response that is a failure may
//!   hold on to its connection.
//! * A fallback that is seldom used is a fallback that is seldom tested.
//!
//! # Cost
//!
//! A call that succeeds costs a reference count and, if something is kept, that. No lock, no box, no task; the future
//! of what answers takes the place of the call's.

mod answer;
mod body;
mod books;
mod builder;
mod condition;
mod config;
mod future;
mod keep;
mod keeping;
mod layer;
mod policy;
#[cfg(feature = "http")]
mod response;
mod service;
mod snapshot;

pub use answer::{
    Answer, Answered, Asking, AsyncAnswer, Cause, FailedCall, Other, Reply, Value, With, WithAsync,
};
pub use body::{FallbackBody, Substitute};
pub use builder::FallbackBuilder;
pub use condition::Condition;
pub use config::{FileFallback, NoAnswer};
pub use future::{FallbackCall, FallbackFuture, Outgoing};
pub use keep::{Keep, KeptRequest, Nothing, Part, Whole};
pub use keeping::Keeping;
pub use layer::FallbackLayer;
pub use policy::Fallback;
#[cfg(feature = "http")]
pub use response::{StaticBody, StaticResponse};
pub use service::FallbackService;
pub use snapshot::Snapshot;

/// In events and the registry, and the default name.
const CONCERN: &str = "fallback";

/// A call was answered by the fallback, for the first time in ten seconds or ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FallingBack {
    /// What the call had ended in, as in [`Snapshot::answered_for`].
    pub cause: &'static str,
}

impl std::fmt::Display for FallingBack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "calls are answered by the fallback: {}", self.cause)
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
