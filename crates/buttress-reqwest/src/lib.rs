//! [Buttress](buttress) around [reqwest].
//!
//! ```no_run
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//!
//! use buttress::{Error, circuit_breaker::CircuitBreaker, retry::Retry};
//! use tower::{Service, ServiceExt};
//!
//! let mut payments = buttress_reqwest::client("payments")
//!     .total_timeout(Duration::from_secs(10))?
//!     .retry(Retry::standard())
//!     .circuit_breaker(CircuitBreaker::new())
//!     .attempt_timeout(Duration::from_secs(2))?
//!     .build()
//!     .service(buttress_reqwest::service(reqwest::Client::new()));
//!
//! let request = http::Request::get("http://payments.internal/42").body(reqwest::Body::default())?;
//! match payments.ready().await?.call(request).await {
//!     Ok(response) => {
//!         let response = buttress_reqwest::response(response); // reqwest's own, with `.json()` and the like
//!         println!("{}: {}", response.status(), response.text().await?);
//!     }
//!     Err(Error::Rejected(refusal)) => println!("not asked: {refusal}"),
//!     Err(Error::Inner(error)) => println!("asked, and failed: {error}"),
//! }
//! # Ok(()) }
//! ```
//!
//! There are three ways, by how much of a request they see:
//!
//! * [`service`] is a [tower] service that speaks `http` types over a `reqwest::Client`, so that every layer applies.
//!   [`client`] begins its stack.
//! * [`Middleware`] (with the `middleware` feature) puts the same stack into a `reqwest_middleware` client: nothing
//!   changes where requests are made.
//! * A stack of the core around connecting, by `reqwest::ClientBuilder::connector_layer`. It sees no requests, only
//!   that connections are made: a breaker that keeps from a host that cannot be reached, and a limit of time.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//!
//! use buttress::{Stack, circuit_breaker::CircuitBreaker};
//!
//! let connecting = Stack::new("connecting")
//!     .circuit_breaker(CircuitBreaker::new())
//!     .attempt_timeout(Duration::from_secs(1))?
//!     .keep_error() // it is a boxed one, which has room for a refusal
//!     .build();
//! let client = reqwest::Client::builder().connector_layer(connecting).build()?;
//! # let _ = client;
//! # Ok(()) }
//! ```
//!
//! That breaker is one for all hosts that the client talks to; for several, use a client each. What is being connected
//! to cannot be cloned, so there is no retry there. A refusal comes out as a `reqwest::Error` in whose causes
//! [`Rejected::find`](buttress::Rejected::find) finds it.
//!
//! # The retries of others
//!
//! | who | what it repeats | beside ours |
//! |---|---|---|
//! | hyper-util, below reqwest | a request on a reused connection that was closed before anything of it was sent | nobody sees it: the attempt is one. It cannot be doubled, since nothing was sent |
//! | reqwest (`retry::for_host` and protocol NACKs) | HTTP/2 streams that the server has refused unprocessed, up to twice, within a budget of its own; with `ClientBuilder::retry` what that policy says | give the client no policy of its own, or `retry::never()`: else an attempt of ours is up to three of theirs, and the breaker sees one |
//! | reqwest, redirects | follows up to ten | each hop belongs to one attempt, and its time limit |
//! | `reqwest-retry`, a middleware | what its strategy says, without a budget | take one of the two |
//!
//! A `reqwest::Client`'s own `timeout` covers a call to the end of its body, and is a failure here like any other error;
//! `connect_timeout` goes well with an attempt timeout that is longer.
#![forbid(unsafe_code)]

mod body;
#[cfg(feature = "middleware")]
mod middleware;
mod service;

use std::sync::Arc;

pub use body::ReqwestBody;
use buttress::{Http, Stack, stack::Client};
#[cfg(feature = "middleware")]
pub use middleware::{Middleware, NextService, Protect};
pub use service::{ReqwestFuture, ReqwestService, response, service};

/// The stack of a client, as [`client`] begins it.
pub type ClientStart = Stack<Client<Http, ReqwestBody>>;

/// Begins the stack around a [`service`]: `Stack::http_client` with request bodies of reqwest's type.
pub fn client(name: impl Into<Arc<str>>) -> ClientStart {
    Stack::http_client(name).body_mode(ReqwestBody)
}
