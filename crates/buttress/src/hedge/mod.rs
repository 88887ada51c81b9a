//! Hedging: a call that is slow is made a second time, and the first answer is taken.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::{sync::atomic::{AtomicU32, Ordering::Relaxed}, time::Duration};
//! use buttress::{ErrorLayer, hedge::Hedge};
//! use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
//!
//! let hedge = Hedge::builder().name("catalog").after(Duration::from_millis(50)).build()?;
//!
//! let calls = AtomicU32::new(0);
//! let mut catalog = ServiceBuilder::new()
//!     .layer(hedge.layer())
//!     .layer(ErrorLayer::new())
//!     .service(service_fn(|item: &'static str| {
//!         // The first replica is collecting its garbage.
//!         let takes = if calls.fetch_add(1, Relaxed) == 0 { 1000 } else { 10 };
//!         async move {
//!             tokio::time::sleep(Duration::from_millis(takes)).await;
//!             Ok::<_, std::io::Error>(item.len())
//!         }
//!     }));
//!
//! let began = tokio::time::Instant::now();
//! assert_eq!(catalog.ready().await?.call("book").await?, 4);
//! assert!(began.elapsed() < Duration::from_millis(65));
//! assert_eq!(hedge.snapshot().won, 1);
//! # Ok(()) }
//! ```
//!
//! # When
//!
//! Most of what makes a call slow has nothing to do with the call: a pause, a full queue, a lost packet, in one
//! replica at one moment. A second attempt most likely meets none of that. Made for the slowest few per cent it costs
//! as little more load, and takes the tail off the latencies: J. Dean and L. Barroso, "The Tail at Scale" (CACM 56,
//! 2013), from where the 95th percentile is as well. The words and the budget are those of Finagle's backup requests,
//! failsafe-go's hedge policy and gRFC A6.
//!
//! [`After`] says when it is made: after a delay, or at a quantile of the recent latencies, which end at the
//! response's headers. It is made **at once** if the first attempt fails before that, and such a failure may pass: not
//! a panic, not one in which the service asks for less (a 429, a `Retry-After`, a pushback), not a refusal by a layer
//! further in, such as an open circuit.
//!
//! And all of this must be so:
//!
//! | | else, in the [books](Snapshot) |
//! |---|---|
//! | no hedge further out has made two attempts of it already | – |
//! | the request is [idempotent](crate::RequestProtocol::idempotent), and all of its body is there | `not_repeatable` |
//! | the call's deadline has not passed | `out_of_time` |
//! | the [budget](crate::budget) has one left | `out_of_budget` |
//!
//! What a protocol calls idempotent matters more than for a retry, which has the word of the service that the first
//! attempt failed. No gRPC method says of itself that it is: name those that are by
//! [`idempotent_routes`](HedgeBuilder::idempotent_routes).
//!
//! # Which result the caller gets
//!
//! The first answer, be it a 200 or a 404. Neither a failure nor the refusal of a layer further in beats an attempt
//! that may still answer. If both fail, the caller gets what the first attempt came to, as if it had been the only one;
//! but a failure that is a *response* (it may hold a connection, or the very place in a queue that the second attempt
//! waits for) is kept only until that has to wait, and then it is the second's. What loses is dropped in the very
//! poll in which the winner is known.
//!
//! # The moving quantile
//!
//! The latencies of about the last half minute ([`window`](HedgeBuilder::window)) are kept in two histograms, in 2 KiB,
//! whatever the traffic: one fills, and when it is half a window old it takes the place of the other. So a delay at the
//! 95th percentile follows a rise as soon as a twentieth of the window is slow, and a fall after a window. It is within
//! an eighth above the true quantile, never below, so that no more calls are hedged than it says. Every 32 latencies
//! that a thread records, it is worked out anew; in between it is one load.
//!
//! A first attempt that is overtaken, or given up by its caller, counts with the time that it had taken by then. That
//! is less than it would have taken, but more than the delay, and a quantile needs to know no more; were it left out,
//! the quantile would be one of the fast ones only, and sink. Second attempts are not counted, nor are quick failures.
//!
//! If more calls are slow than the quantile leaves, it is as slow as they are, and hedging does no good:
//! [`max_delay`](HedgeBuilder::max_delay) is for that, or a lower quantile with a larger budget.
//!
//! # Why it is so
//!
//! * **A budget.** When *everything* is slow, every call is hedged, and a service that is slow because it has too much
//!   to do has twice as much. With the budget it has a twentieth more.
//! * **It stands inside the retry, and does as it does without one:** each attempt of a retry may be hedged. A retry
//!   further *in* makes one attempt each; two attempts of three would be six calls. Inner layers see a hedge as the
//!   attempt after the one that it stands beside ([`CallContext::attempt`](crate::CallContext::attempt)).
//! * **Queue, limits and breaker are inside:** a second attempt asks all of them like any other call.
//!
//! # Cost
//!
//! A call that is answered at once costs a copy of the request, a clone of the service and a few counters: no timer, no
//! look at the clock but one in 32 calls, and no allocation but what the copies are. One that has to wait costs two
//! looks at the clock and a timer of tokio's, in place. A second attempt, which few calls ever have, costs two boxes, for its
//! request and for itself, so that all others are not moved about with room for it; a failure of the first that has to be
//! kept costs a third. No lock, no task. Time begins with the first poll that finds the first attempt pending.

mod after;
mod builder;
mod call;
mod config;
mod course;
mod families;
mod future;
mod layer;
mod policy;
mod race;
mod service;
mod shared;
mod snapshot;
#[cfg(all(test, not(loom)))]
mod tests;

pub use after::After;
pub use builder::HedgeBuilder;
pub use call::HedgeCall;
pub(crate) use families::FAMILIES;
pub use future::HedgeFuture;
pub use layer::HedgeLayer;
pub use policy::Hedge;
pub use service::HedgeService;
pub use snapshot::Snapshot;

pub use crate::{
    budget::{Budget, BudgetExhausted},
    outcome::AnyError,
};

/// In events and as the default name.
const CONCERN: &str = "hedge";
