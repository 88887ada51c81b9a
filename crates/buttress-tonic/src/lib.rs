//! [Buttress](buttress) around [tonic]: channels under generated clients, servers, and interceptors.
//!
//! A client is one line more: the stack goes around the channel.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//!
//! use buttress::{circuit_breaker::CircuitBreaker, metrics::Metrics, retry::Retry};
//! use tonic::transport::Endpoint;
//!
//! let channel = Endpoint::from_static("http://127.0.0.1:50051").connect_lazy();
//! let channel = buttress_tonic::client("users")
//!     .metrics(Metrics::new())
//!     .total_timeout(Duration::from_secs(10))?
//!     .retry(Retry::standard())
//!     .circuit_breaker(CircuitBreaker::new())
//!     .attempt_timeout(Duration::from_secs(2))?
//!     .recover()
//!     .build()
//!     .service(channel);
//! // let mut users = UsersClient::new(channel);
//! # let _ = channel;
//! # Ok(()) }
//! ```
//!
//! So is a server:
//!
//! ```
//! use buttress::{metrics::Metrics, timeout::Deadline};
//! use tonic::transport::Server;
//!
//! let stack = buttress_tonic::server("users")
//!     .metrics(Metrics::new())
//!     .deadline(Deadline::new()) // `grpc-timeout`
//!     .recover()
//!     .build();
//! let server = Server::builder().layer(stack); // .add_service(..).serve(..)
//! # let _ = server;
//! ```
//!
//! # Refusals are statuses
//!
//! What a layer refuses reaches the caller as a [`tonic::Status`] with the code of the refusal, a message that names no
//! policy, and when to come again: in the metadata (`grpc-retry-pushback-ms`, `retry-after`) and as
//! `google.rpc.RetryInfo` in the details. On a client it is a [`StatusLayer`] that makes it, and the [`Rejected`] is the
//! status's source, where [`rejected`] finds it; on a server it is a [`StatusResponder`]. A stream that is cut off ends in
//! such a status, too.
//!
//! ```
//! use buttress::{Rejected, RejectionKind};
//! use tonic::Code;
//!
//! let open = Rejected::new(RejectionKind::CircuitOpen, "users").with_retry_after(std::time::Duration::from_secs(28));
//! let status = buttress_tonic::status(&open);
//! assert_eq!(status.code(), Code::Unavailable);
//! assert_eq!(buttress_tonic::retry_after(&status), Some(std::time::Duration::from_secs(28)));
//! assert_eq!(buttress_tonic::rejected(&status), Some(&open));
//! ```
//!
//! Layers by hand rather than by a stack? Put [`StatusLayer`] outermost. Without it tonic finds no status in the error
//! of a refused call and makes it `UNKNOWN`.
//!
//! # Interceptors
//!
//! Where there is room for a function only, see [`interceptor`].
//!
//! # Health
//!
//! A pool of channels asks each by [`health_check`]; what answers there, `tonic-health` for one, is the server's choice.
//!
//! # What tonic does by itself
//!
//! A channel reconnects by itself, and does not retry. `Endpoint::timeout` ends at the headers, as an attempt timeout
//! does, but is an error that no retry sees as one: use the stack's. `Endpoint::rate_limit` and `concurrency_limit` make
//! callers wait without end; use the stack's as well.
#![forbid(unsafe_code)]

mod body;
pub mod interceptor;
#[cfg(feature = "server")]
mod peer;
mod respond;
mod retry_info;
mod start;
mod status;
mod status_body;
mod trailers;

pub use body::{TonicBody, health_check};
#[cfg(feature = "server")]
pub use peer::{Connected, PeerLayer};
pub use respond::StatusResponder;
pub use start::{ClientStart, ServerStart, client, server};
pub use status::{StatusFuture, StatusLayer, StatusService, rejected, retry_after, status};
pub use status_body::StatusBody;
pub use trailers::{TrailersBody, TrailersFuture, TrailersLayer, TrailersService};

#[cfg(doc)]
use buttress::Rejected;
