//! What is done for each attempt at a call that goes out.

mod future;
mod layer;
mod service;

pub use future::AttemptFuture;
pub use layer::AttemptLayer;
pub use service::AttemptService;
