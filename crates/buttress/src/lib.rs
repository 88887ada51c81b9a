//! Resilience for [tower] services: one layer per concern, and a builder that puts them in the right order.
#![forbid(unsafe_code)]

pub mod clock;
pub mod context;
pub mod duration;
pub mod error;
#[cfg(feature = "http")]
pub mod http;
pub mod outcome;
mod random;
#[cfg(feature = "recover")]
pub mod recover;
pub mod registry;
mod striped;
pub mod value;

pub use context::CallContext;
pub use error::{BoxError, CallError, Error, ErrorLayer, Rejected, RejectionKind, SplitError};
#[cfg(feature = "http")]
pub use http::{Grpc, Http};
pub use outcome::{Outcome, Plain, Protocol, RequestProtocol, Token, Verdict};
pub use registry::Registry;
