//! Retry: calls again what failed and may be repeated, later each time, and never so much that it makes an outage worse.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::{sync::atomic::{AtomicU32, Ordering::Relaxed}, time::Duration};
//! use buttress::{ErrorLayer, retry::Retry};
//! use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
//!
//! let retry = Retry::builder().name("payments").max_attempts(3).max_elapsed(Duration::from_secs(5)).build()?;
//!
//! let calls = AtomicU32::new(0);
//! let mut payments = ServiceBuilder::new()
//!     .layer(retry.layer())
//!     .layer(ErrorLayer::new())
//!     .service(service_fn(|item: &'static str| {
//!         let call = calls.fetch_add(1, Relaxed) + 1;
//!         async move { if call < 3 { Err(std::io::Error::other("busy")) } else { Ok(item.len()) } }
//!     }));
//!
//! assert_eq!(payments.ready().await?.call("book").await?, 4);
//! assert_eq!(calls.load(Relaxed), 3);
//! assert_eq!(retry.snapshot().recovered, 1);
//! # Ok(()) }
//! ```
//!
//! # When a call is repeated
//!
//! All of this must be so:
//!
//! | | else, in the [books](Snapshot) |
//! |---|---|
//! | no retry or hedge further out repeats it | – |
//! | the request may be sent twice: an idempotent method, an `Idempotency-Key`, a plain request; gRPC, unless the attempt timed out; all of its body is there | `not_repeatable` |
//! | the failure is one that may pass by itself: [`RetryOn`] | – |
//! | it has attempts left | `out_of_attempts` |
//! | the service did not forbid it, and asks for no longer wait than is bearable | `forbidden` |
//! | the wait ends before the call's deadline and `max_elapsed` | `out_of_time` |
//! | the [budget](crate::budget) has a retry left | `out_of_budget` |
//!
//! If not, the caller gets the result of the last attempt, unchanged and at once.
//!
//! # Why it is so
//!
//! * **A budget over all calls,** not only a count for each. In an outage every call fails, so three attempts are
//!   three times the load on a service that is down already. With the budget it is 1.2 times, and 10 a second.
//! * **Inside of a retry there is no other.** Three layers of three attempts are 27 calls. A retry tells those further
//!   in that it is there (in the request's [context](crate::CallContext) and by a mark on the task), and they make one
//!   attempt each. A context reaches across tasks, the mark does not.
//! * **What the service asks for is obeyed, or the call is over.** A wait shorter than its `Retry-After` would be
//!   answered by the same refusal, so one that is too long ends the call: the caller has the answer at once, with the
//!   `Retry-After` in it.
//! * **An open circuit is not asked again.** The breaker knows when it will be worth it; until then every attempt
//!   would be refused, and count on the budget.
//! * **The response goes before the wait begins,** and the attempt with it: what they hold (a permit, a connection, a
//!   place in a queue) is free for others while this call sleeps.
//! * **Jitter is drawn inside the cap,** see [`Jitter`].
//!
//! Order matters: what limits how many calls run at a time belongs *inside* the retry, else a call that sleeps keeps
//! its slot. [`Stack`](crate::Stack) builds it so.
//!
//! With the `tower-retry` feature a `Retry` is also a policy for tower's own retry layer; see `TowerPolicy` for what
//! that one cannot do.
//!
//! # Cost
//!
//! A call that succeeds at first costs a copy of the request, a clone of the service and one counter. The clock is
//! looked at only once the call has to wait, and once in 64 calls for the budget; a timer exists only during a wait.
//! No lock, no box, no task.

mod backoff;
mod builder;
mod call;
mod conditions;
mod config;
mod course;
mod families;
mod future;
mod jitter;
mod layer;
mod policy;
mod service;
mod shared;
mod snapshot;
#[cfg(all(test, not(loom)))]
mod tests;
#[cfg(feature = "tower-retry")]
mod tower_policy;

pub use backoff::Backoff;
pub use builder::RetryBuilder;
pub use call::RetryCall;
pub use conditions::{Attempt, RetryOn};
pub(crate) use families::FAMILIES;
pub use future::RetryFuture;
pub use jitter::Jitter;
pub use layer::RetryLayer;
pub use policy::Retry;
pub use service::RetryService;
pub use snapshot::Snapshot;
#[cfg(feature = "tower-retry")]
pub use tower_policy::{TowerPolicy, TowerWait};

pub use crate::{
    budget::{Budget, BudgetExhausted},
    outcome::AnyError,
};

/// In events and as the default name.
const CONCERN: &str = "retry";
