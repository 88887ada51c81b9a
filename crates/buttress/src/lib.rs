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
#[cfg(feature = "metrics")]
pub mod metrics;
pub mod outcome;
mod random;
pub mod registry;
mod striped;
mod sync;
pub mod value;

pub use context::CallContext;
pub use error::{BoxError, CallError, Error, ErrorLayer, Rejected, RejectionKind, SplitError};
#[cfg(feature = "http")]
pub use http::{Grpc, Http};
pub use outcome::{Outcome, Plain, Protocol, RequestProtocol, Token, Verdict};
pub use registry::Registry;
