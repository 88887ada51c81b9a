//! Timeouts and deadlines: how long an attempt may take, how long a whole call, how long a response body.
//!
//! ```
//! use std::{future::pending, time::Duration};
//!
//! use buttress::{Error, ErrorLayer, RejectionKind, timeout::{Deadline, Timeout}};
//! use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let total = Deadline::after(Duration::from_secs(10)).name("report").build()?;
//! let attempt = Timeout::after(Duration::from_millis(20)).name("report").build()?;
//!
//! let mut report = ServiceBuilder::new()
//!     .layer(total.layer())     // ... a retry would stand here ...
//!     .layer(attempt.layer())
//!     .layer(ErrorLayer::new())
//!     .service(service_fn(|year: u32| async move {
//!         if year < 1970 { pending::<()>().await }
//!         Ok::<_, std::io::Error>(format!("{year}: good"))
//!     }));
//!
//! assert_eq!(report.ready().await?.call(1999).await?, "1999: good");
//! match report.ready().await?.call(1923).await {
//!     Err(Error::Rejected(rejected)) => assert_eq!(rejected.kind(), RejectionKind::TimedOut),
//!     other => unreachable!("{other:?}"),
//! }
//! assert_eq!(attempt.snapshot().timed_out, 1);
//! # Ok(()) }
//! ```
//!
//! # Two policies
//!
//! | | limits | stands | when its time is over |
//! |---|---|---|---|
//! | [`Timeout`] | one attempt, to its answer or the headers of it; then the silences of a body, and the whole body | inside retry and circuit breaker | the attempt is a failure that the breaker counts and a retry may repeat |
//! | [`Deadline`] | the call with all its attempts, its waits and its backoffs | outside of both | the call is over, whatever was going on |
//!
//! A deadline is known to everything further in: it is in the [`CallContext`](crate::CallContext). A queue does not
//! start what has no time left, a retry does not begin what could not end, and an attempt gets the smaller of its own
//! limit and what is left. On the wire it is gRPC's `grpc-timeout`. A [`Deadline`] around a gRPC service reads it, so
//! a server stops work when its client's patience ends (no further than its own
//! [`total`](DeadlineBuilder::total)); a [`Timeout`] around a gRPC client lowers it, attempt by attempt, to what is left of
//! the call. The attempt's own limit is not sent: it ends with the headers, and `grpc-timeout` is that of the whole call,
//! streams included. Nothing is sent over plain HTTP, for which there is no such header.
//!
//! # What it says
//!
//! * [`TimedOut`](crate::RejectionKind::TimedOut), a **failure** of the service, when it was called and the time was
//!   over; what was waited for is dropped in that same poll. An answer that is there at the last moment is taken.
//! * The same, but **neutral**, when an attempt was cut short by the deadline of its call, so that it had less than nine
//!   tenths of the time that its own limit allows. A client that allows a service a millisecond must not open the
//!   breaker for everybody. To a breaker it is a call that was dropped: if it was
//!   [slow](crate::circuit_breaker::CircuitBreakerBuilder::slow_after) by then, it is a failure all the same.
//! * [`DeadlineExpired`](crate::RejectionKind::DeadlineExpired), **neutral**, when a call arrives with its deadline
//!   behind it; the service is not called.
//! * A body that is cut off ends in one error, never as if it were whole; see [`TimeoutBody`]. To a breaker outside it
//!   is a broken body, and that is a failure.
//!
//! # Bodies
//!
//! The answer of an HTTP service is there when its headers are; attempt and total end with them. What comes then is
//! limited on its own: `body_idle` for a sender that falls silent, `body_total` for one that never comes to its end.
//! So a download may take its time and a hung one is still noticed. A gRPC deadline is that of the whole call, so a
//! [`Deadline`] goes on through the body there; over HTTP it does so if asked to, by
//! [`through_body`](DeadlineBuilder::through_body).
//!
//! # When the time begins
//!
//! With the call. A call that no deadline came with is counted from its first poll, once that has found it pending:
//! the two are a moment apart unless somebody keeps the future unpolled, and a call that is answered at once needs no
//! look at the clock. Waiting for readiness is not part of it.
//!
//! # Caveats
//!
//! * Timers are tokio's: they need a runtime with its time enabled, as soon as something has to wait, and are exact
//!   to a millisecond, never early.
//! * A future that blocks its thread cannot be cut off: it is asked to stop by not being polled.
//! * Neither costs an allocation, and no timer until the call really waits. The exception is a deadline over HTTP
//!   whose request has no [`CallContext`](crate::CallContext) yet: one is put into its extensions.

use crate::name::Unnamed;

mod body;
mod builder;
mod call;
mod config;
mod deadline;
mod families;
mod future;
mod layer;
mod ledger;
mod limit;
mod policy;
mod service;
mod snapshot;
mod timer;

pub use body::TimeoutBody;
pub use builder::TimeoutBuilder;
pub use call::TimeoutCall;
pub use config::Timeouts;
pub use deadline::{Deadline, DeadlineBuilder, DeadlineLayer, DeadlineService};
pub(crate) use families::FAMILIES;
pub use future::TimeoutFuture;
pub use layer::TimeoutLayer;
pub use policy::Timeout;
pub use service::TimeoutService;
pub use snapshot::Snapshot;

/// In the registry, and the default names.
const TIMEOUT: &str = "timeout";
const DEADLINE: &str = "deadline";
static UNNAMED_TIMEOUT: Unnamed = Unnamed::new(TIMEOUT);
static UNNAMED_DEADLINE: Unnamed = Unnamed::new(DEADLINE);

#[cfg(all(test, not(loom)))]
mod tests;
