//! The edge of a server: what a layer refused becomes a response.
//!
//! A stack's error is [`Error<E>`](crate::Error), a rejection or the service's own. At the edge the rejection is
//! answered (429, 503, 504, 500 with `Retry-After`, or a `grpc-status`), and only `E` is left: for a router,
//! whose error is `Infallible`, nothing, so that axum's `Router::layer` takes the stack as it is.
//!
//! ```
//! use std::{convert::Infallible, time::Duration};
//!
//! use buttress::{Error, Rejected, RejectionKind, http::RespondLayer};
//! use http_body_util::Empty;
//! use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! // A handler under a limiter that has just said no.
//! let limited = service_fn(|_: http::Request<()>| async {
//!     let rejected = Rejected::new(RejectionKind::RateLimited, "api").with_retry_after(Duration::from_millis(1500));
//!     Err::<http::Response<Empty<bytes::Bytes>>, _>(Error::<Infallible>::from(rejected))
//! });
//! let mut edge = ServiceBuilder::new().layer(RespondLayer::http()).service(limited);
//!
//! let result: Result<_, Infallible> = edge.ready().await.unwrap().call(http::Request::new(())).await;
//! let response = result.unwrap();
//! assert_eq!(response.status(), 429);
//! assert_eq!(response.headers()["retry-after"], "2");
//! // What stands outside may still see who refused.
//! assert_eq!(response.extensions().get::<Rejected>().map(Rejected::policy), Some("api"));
//! # }
//! ```
//!
//! It stands *outside* of what counts calls: the metrics inside it see the rejection itself, while to those
//! outside our 503 would look like the handler's.
//!
//! # Why it is built like this
//!
//! * **The form is a type,** a [`Responder`]: [`HttpResponder`], [`GrpcResponder`], or a closure. A protocol
//!   names its own through [`Edge`], which is how a stack that is generic over its protocol gets the right one.
//! * **The response leaks nothing.** A policy's name is the operator's business; the client reads one fixed
//!   sentence a [kind](crate::RejectionKind). The [`Rejected`](crate::Rejected) itself is in the response's
//!   extensions, which never reach the wire.
//! * **A rejection from `poll_ready` is answered too.** Layers of this crate refuse in `call`, but tower's
//!   `Buffer`, say, hands on what it has from below.
//! * **[`RespondBody`] is `Inner` or `Local`,** so that the host's body needs no `Default`, no box and no
//!   conversion.

mod body;
mod future;
mod layer;
mod responder;
mod service;

pub use body::RespondBody;
pub use future::RespondFuture;
pub use layer::RespondLayer;
pub use responder::{Edge, GrpcResponder, HttpResponder, Responder};
pub use service::RespondService;

#[cfg(test)]
mod tests;
