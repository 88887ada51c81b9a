//! Resilience for [tower] services: one layer per concern, and a builder that puts them in the right order.
#![forbid(unsafe_code)]

#[cfg(feature = "circuit-breaker")]
pub mod circuit_breaker;
pub mod clock;
pub mod config;
pub mod context;
pub mod duration;
pub mod error;
pub mod histogram;
#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "keyed")]
#[allow(dead_code)] // the policies that stand on it are features of their own
mod keyed;
#[cfg(feature = "metrics")]
pub mod metrics;
pub mod outcome;
mod random;
#[cfg(feature = "recover")]
pub mod recover;
pub mod registry;
pub mod stack;
mod striped;
mod sync;
pub mod value;

pub use config::ConfigError;
pub use context::CallContext;
pub use error::{BoxError, CallError, Error, ErrorLayer, Rejected, RejectionKind, SplitError};
#[cfg(feature = "http")]
pub use http::{Grpc, Http};
pub use outcome::{Outcome, Plain, Protocol, RequestProtocol, Token, Verdict};
pub use registry::Registry;
pub use stack::Stack;
