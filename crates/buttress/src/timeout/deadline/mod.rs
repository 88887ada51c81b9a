//! The deadline of a whole call.

mod builder;
mod layer;
mod policy;
mod service;

pub use builder::DeadlineBuilder;
pub use layer::DeadlineLayer;
pub(super) use policy::Admission;
pub use policy::Deadline;
pub use service::DeadlineService;
