//! [Buttress](buttress) on [axum]: a stack that knows routes, refusals in a form of your own, and the routes that
//! operators look at.
//!
//! ```
//! # fn main() -> Result<(), buttress::ConfigError> {
//! use std::time::Duration;
//!
//! use axum::{Router, routing::get};
//! use buttress::{Registry, metrics::Metrics, trace_id::TraceId};
//!
//! let registry = Registry::new();
//! let stack = buttress_axum::server("api")
//!     .registry(&registry)
//!     .trace_id(TraceId::w3c())
//!     .metrics(Metrics::by_route(200)) // by `/users/{id}`, never by `/users/7`
//!     .handler_timeout(Duration::from_secs(5))?
//!     .recover()
//!     .build();
//! let app: Router = Router::new().route("/users/{id}", get(async || "Ann")).layer(stack);
//!
//! // On a port of its own: who may reach it is a question of the network.
//! let operators: Router = buttress_axum::admin(&registry).into_router();
//! # let _ = (app, operators);
//! # Ok(()) }
//! ```
//!
//! A stack of the core, `Stack::http_server`, is a layer of axum's as it is. This crate adds what needs axum's own types:
//!
//! * [`server`] begins a stack that finds the route in axum's `MatchedPath`, for the labels of metrics, in traces and as
//!   the key of limits.
//! * [`RejectionLayer`] has refusals answered by anything that is [`IntoResponse`](axum::response::IntoResponse).
//! * [`PeerLayer`] hands on the address of the peer from axum's `ConnectInfo`, for limits by address.
//! * [`admin()`] is a router with `/state`, `/metrics` (with the `prometheus` feature), and drills for who has the token.
//!
//! # Where a stack goes
//!
//! | | what it covers |
//! |---|---|
//! | `Router::layer` | all routes that are there already, and the fallback |
//! | `Router::route_layer` | all routes that are there already; what matches none is not counted |
//! | `MethodRouter::layer`, `Handler::layer` | the one |
//! | around `Router` as a service | all, before a route is known: there is no route label |
//!
//! axum applies a layer anew for each route and each connection. That is harmless here: the state is in the policies,
//! which all of them share. So routes that are to have a limit or a breaker of their own get a stack of their own, with
//! policies of its own:
//!
//! ```
//! # fn main() -> Result<(), buttress::ConfigError> {
//! use axum::{Router, routing::{get, post}};
//! use buttress::{circuit_breaker::CircuitBreaker, metrics::Metrics};
//!
//! let search = buttress_axum::server("search").circuit_breaker(CircuitBreaker::new()).build();
//! let all = buttress_axum::server("api").metrics(Metrics::new()).recover().build();
//! let app: Router = Router::new()
//!     .route("/search", get(async || "found").layer(search))
//!     .route("/orders", post(async || "ordered"))
//!     .layer(all);
//! # let _ = app;
//! # Ok(()) }
//! ```
//!
//! Upgrades (WebSocket), event streams and `Expect: 100-continue` pass through as they are: no layer here reads a body
//! that nobody asked for, and a stream occupies its place in a queue only to its headers.
#![forbid(unsafe_code)]

pub mod admin;
mod peer;
mod rejection;
mod route;

pub use admin::admin;
pub use peer::{Connected, PeerLayer};
pub use rejection::{RejectionFuture, RejectionLayer, RejectionService};
pub use route::{ByRoute, ServerStart, server};
