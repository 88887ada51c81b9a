//! Priority queue: so many calls run at a time, and the others wait, the most important first.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use buttress::{ErrorLayer, priority::{Priority, PriorityQueue}};
//! use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
//!
//! let queue = PriorityQueue::builder().name("reports").concurrency(2).queue(100).build()?;
//!
//! let mut reports = ServiceBuilder::new()
//!     .layer(queue.layer().classify(|year: &u32| match year {
//!         2026 => Priority::HIGH,
//!         _ => Priority::BACKGROUND,
//!     }))
//!     .layer(ErrorLayer::new())
//!     .service(service_fn(async |year: u32| Ok::<_, std::io::Error>(format!("{year}: good"))));
//!
//! assert_eq!(reports.ready().await?.call(1999).await?, "1999: good");
//!
//! // Without tower: a permit, as from a semaphore.
//! let permit = queue.acquire(Priority::CRITICAL).await?;
//! assert_eq!(queue.status().running, 1);
//! drop(permit);
//! # Ok(()) }
//! ```
//!
//! # What it is for
//!
//! Under overload somebody has to wait, or to be refused. Without this, it is whoever happens to come; and as all wait
//! alike, in the end everybody gives up and the service has worked for nobody. With it, the important goes through as if
//! there were no load, and the unimportant is refused early, cheaply, and with the time to come back. What that comes to
//! at twice and five times the capacity, beside what else limits concurrency, is in `docs/overload.md` of the repository,
//! with the command that measures it.
//!
//! # Who runs
//!
//! * A call that finds a slot free and nobody waiting takes it: one compare-and-swap, no clock, no lock, no allocation.
//! * Else it stands in the line, by class and then by arrival. A slot that becomes free goes to the first.
//! * [`Critical`](Priority::CRITICAL) calls may have [`reserved`](PriorityQueueBuilder::reserved) slots.
//! * [`Ageing`]: who waits for long becomes more important, so that nobody starves (the default); or less important; or
//!   neither, and then the order is strict.
//! * [`Discipline`]: under lasting overload, the last to come goes first within a class, or those who have waited for too
//!   long are sent away when it would be their turn.
//!
//! # Who is refused
//!
//! | who | with | when |
//! |---|---|---|
//! | a newcomer, if so many wait already and none of them is less important | `QueueFull` | at once |
//! | the youngest of the least important who wait, if a more important one comes | `QueueFull` | at that moment |
//! | who has waited for [`max_queue_time`](PriorityQueueBuilder::max_queue_time) | `QueueTimeout` | at that moment |
//! | whose deadline has passed; it is never started | `DeadlineExpired` | at once, or at that moment |
//! | the less important, by [`shed_below`](PriorityQueue::shed_below) or [`clear`](PriorityQueue::clear) | `Shed` | at once |
//! | the less important, while more is offered than can be served | `Shed` | at once, without a look at the line |
//! | everybody, once the queue is [closed](PriorityQueue::close) | `Shed` | at once |
//!
//! A refusal says when to come back: when those who wait now will be through, at the pace at which the line has moved of
//! late (and in a second while nobody knows that).
//!
//! # How long a call runs
//!
//! To the end of its answer: in HTTP that is the end of the body, so that a slot stands for work that is being done. What
//! has no end of its own (event streams, upgrades, gRPC's streams) keeps its slot only to the headers; see [`Hold`].
//!
//! # Where it stands
//!
//! In the order of a stack it is inside of retry, so that a backoff holds no slot and a retry waits like any other call;
//! and outside of circuit breaker and attempt timeout, to whom waiting is no slowness of the service. The time that a call
//! has waited is in its [context's tally](crate::context::Tally::queued), and its class in the
//! [context](crate::CallContext::priority), for whoever is further in.
//!
//! # Adaptive limits
//!
//! Nobody knows the right number of slots, and it changes: see [`limit`].
//!
//! # Caveats
//!
//! * A queue in one process knows nothing of others in front of the same service: each has its own slots.
//! * Waiting needs a runtime with time enabled as soon as a deadline or a limit to the waiting is set.
//! * With classes that are named it costs the same whatever their number in the line; with all 101 numbers in use at the
//!   same time, and promotion, finding the next means a look at the oldest of each.
//! * A deadline is checked when a call has to wait. One that finds a slot free is begun without a look at the clock: to
//!   refuse it is the [timeout's](crate::timeout) part.

mod acquire;
mod batch;
mod builder;
mod call;
mod class;
mod classify;
mod config;
mod event;
mod families;
mod future;
mod hold;
mod layer;
pub mod limit;
#[cfg(all(test, loom))]
mod loom;
mod offered;
mod order;
mod pace;
mod permit;
mod policy;
mod refusals;
mod service;
mod shared;
mod slots;
mod snapshot;
mod steering;

#[cfg(all(test, not(loom)))]
mod tests;

pub use acquire::Acquire;
pub use batch::CallAll;
pub use builder::PriorityQueueBuilder;
pub use call::PriorityCall;
pub use class::{ParsePriorityError, Priority};
pub use classify::{By, Classifier, Classify, Configured};
pub use event::{LimitChanged, Saturated};
pub use future::PriorityFuture;
pub use hold::Hold;
pub use layer::PriorityLayer;
pub use limit::Concurrency;
pub use order::{Ageing, Discipline};
pub use permit::Permit;
pub use policy::PriorityQueue;
pub use service::PriorityService;
pub use snapshot::Status;

pub(crate) use families::FAMILIES;

/// In events and as the default name.
const CONCERN: &str = "priority";
