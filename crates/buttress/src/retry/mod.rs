//! Retry (being written).
mod backoff;
mod jitter;
pub use crate::budget::Budget;
pub use backoff::Backoff;
pub use jitter::Jitter;
