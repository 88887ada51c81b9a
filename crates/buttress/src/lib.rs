//! Resilience for [tower] services: one layer per concern, and a builder that puts them in the right order.
//!
//! A service that calls others, or is called by many, needs the same defences: stop calling what is down, survive a
//! panic, see all of it in numbers. Here they fit together: one error type, one judgement of what a failure is, one
//! set of books, and an order that is right by construction.
//!
//! ```
//! # #[cfg(all(feature = "circuit-breaker", feature = "recover", feature = "metrics"))] {
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//!
//! use buttress::{Error, Registry, Stack, circuit_breaker::CircuitBreaker, metrics::Metrics};
//! use tower::{Service, ServiceExt, service_fn};
//!
//! // Policies: validated when they are built, shared by all clones.
//! let breaker = CircuitBreaker::builder().consecutive_failures(3).open_for(Duration::from_secs(30)).build()?;
//! let registry = Registry::new();
//!
//! // A stack: named in any order, built in the right one. It is a `tower::ServiceBuilder`.
//! let stack = Stack::new("inventory")
//!     .registry(&registry)
//!     .metrics(Metrics::new())
//!     .circuit_breaker(breaker)
//!     .recover()
//!     .build();
//!
//! // Any tower service goes under it.
//! let mut inventory = stack.service(service_fn(async |item: u32| match item {
//!     0 => Err(std::io::Error::other("no such item")),
//!     n => Ok(n * 10),
//! }));
//!
//! assert_eq!(inventory.ready().await?.call(4).await?, 40);
//! match inventory.ready().await?.call(0).await {
//!     Err(Error::Rejected(refusal)) => println!("not asked: {refusal}"),
//!     Err(Error::Inner(error)) => println!("asked, and failed: {error}"),
//!     Ok(n) => println!("{n} pieces"),
//! }
//! println!("{}", registry.snapshot());
//! # Ok(()) }
//! # main().unwrap() }
//! ```
//!
//! # Concerns
//!
//! Each is a module with the same rooms: a **policy object** that holds the state and can be used without tower, a
//! **layer** that puts it around a service, and the service. Each has a feature of its own.
//!
//! | module | feature | what it does |
//! |---|---|---|
//! | `circuit_breaker` | `circuit-breaker` (default) | stops calling what is down, and finds out when it is back |
//! | `fallback` | `fallback` (default) | answers in place of a service that fails: a value, a function, another service |
//! | `hedge` | `hedge` (default) | calls a second time what is slow, and takes the first answer |
//! | `priority` | `priority` (default) | lets so many calls run at a time, the most important first |
//! | `rate_limit` | `rate-limit` (default) | keeps calls within a rate, at once or by having them wait their turn; one limit for all, or one a key |
//! | `recover` | `recover` (default) | makes a panic an error of its call |
//! | `retry` | `retry` (default) | calls again what failed and may be repeated, within a budget |
//! | `timeout` | `timeout` (default) | limits the time of an attempt, of a call with all its attempts, and of bodies |
//! | `pool` | `pool` (default) | several endpoints as one: load balancing, failover, health |
//! | `trace_id` | `trace-id` (default) | gives each request one id through all services, a span and a line in the access log |
//! | `metrics` | `metrics` (default) | counts outcomes and durations in fixed memory |
//! | [`stack`] | always | the builder |
//! | [`registry`] | always | policies by name: read, drill, listen |
//! | [`export`] | always; `prometheus`, `metrics-facade` | what the policies count, for Prometheus and others |
//! | `http` | `http` | verdicts at the real end of HTTP and gRPC responses; refusals as responses |
//!
//! `keyed` (default) adds policies by key; `serde` adds configuration from files and snapshots as serde data;
//! `tower-retry` makes a `Retry` a policy of tower's own retry layer.
//!
//! Hosts whose own types are needed have crates of their own: `buttress-axum`, `buttress-tonic`, `buttress-reqwest`,
//! and `buttress-opentelemetry`.
//!
//! # Vocabulary
//!
//! * [`Rejected`]: every local refusal, in 32 bytes. [`Error<E>`] is a rejection or the service's own error;
//!   [`CallError`] is what a layer asks of an error; [`ErrorLayer`] makes any error one.
//! * [`Outcome`]: what a call says about the service, judged by a [`Protocol`] ([`Plain`], `Http`, `Grpc`, or with a
//!   classification of your own) at the call's real end and told to a [`Token`].
//! * [`CallContext`]: what the layers know of one call.
//!
//! # What every layer promises
//!
//! State is in the policy: cloning or applying a layer again shares it. A refusal comes from the call's future, never
//! from `poll_ready`. Whatever was reserved comes back when the future or the response body is dropped, at any point.
//! No lock and no box on the way of a call that need not wait, but in the sliding-window log of the rate limiter; no
//! allocation in a plain call, and over HTTP few, which [`stack`] lists. Nothing is spawned but the health checks of a pool.
//!
//! [tower]: https://docs.rs/tower
#![forbid(unsafe_code)]

// Mechanisms that concerns share are not dead because a build leaves out the concerns that use them.

#[cfg_attr(not(feature = "pool"), allow(dead_code))]
pub mod admission;
#[cfg_attr(
    not(all(feature = "hedge", feature = "pool", feature = "retry")),
    allow(dead_code)
)]
pub mod budget;
#[cfg(feature = "circuit-breaker")]
pub mod circuit_breaker;
pub mod clock;
pub mod config;
pub mod context;
#[cfg(all(test, not(loom)))]
mod contract;
#[cfg_attr(
    not(any(feature = "rate-limit", feature = "recover", feature = "timeout")),
    allow(dead_code)
)]
mod directory;
pub mod duration;
pub mod error;
pub mod export;
#[cfg(feature = "fallback")]
pub mod fallback;
#[cfg(feature = "hedge")]
pub mod hedge;
pub mod histogram;
#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "keyed")]
#[cfg_attr(not(feature = "circuit-breaker"), allow(dead_code))]
mod keyed;
#[cfg(feature = "metrics")]
pub mod metrics;
#[cfg_attr(
    not(all(
        feature = "circuit-breaker",
        feature = "pool",
        feature = "recover",
        feature = "retry",
        feature = "timeout"
    )),
    allow(dead_code)
)]
mod name;
mod ordered;
pub mod outcome;
#[cfg(feature = "pool")]
pub mod pool;
#[cfg(feature = "priority")]
pub mod priority;
#[cfg_attr(
    not(all(feature = "circuit-breaker", feature = "hedge", feature = "retry")),
    allow(dead_code, unused_imports)
)]
mod random;
#[cfg(feature = "rate-limit")]
pub mod rate_limit;
#[cfg(feature = "recover")]
pub mod recover;
pub mod registry;
pub mod replay;
#[cfg(feature = "retry")]
pub mod retry;
pub mod size;
pub mod stack;
#[cfg_attr(
    not(all(feature = "circuit-breaker", feature = "hedge", feature = "retry")),
    allow(dead_code, unused_imports)
)]
mod striped;
#[cfg_attr(
    not(all(feature = "circuit-breaker", feature = "hedge", feature = "retry")),
    allow(dead_code, unused_imports)
)]
mod sync;
#[cfg(all(test, not(loom)))]
#[cfg_attr(
    not(all(feature = "hedge", feature = "retry")),
    allow(dead_code, unused_imports)
)]
mod test_services;
#[cfg(feature = "timeout")]
pub mod timeout;
#[cfg(feature = "trace-id")]
pub mod trace_id;
pub mod value;
#[cfg_attr(not(all(feature = "priority", feature = "rate-limit")), allow(dead_code))]
mod wait_line;

pub use config::ConfigError;
pub use context::CallContext;
pub use error::{BoxError, CallError, Error, ErrorLayer, Rejected, RejectionKind, SplitError};
#[cfg(feature = "http")]
pub use http::{Grpc, Http};
pub use outcome::{BodyProtocol, Outcome, Plain, Protocol, RequestProtocol, Token, Verdict};
pub use registry::Registry;
pub use stack::Stack;
