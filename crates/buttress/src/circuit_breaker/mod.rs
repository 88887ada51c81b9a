//! Circuit breaker: stops calling a service that is down, and finds out by a few probes when it is back.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//! use buttress::{Error, ErrorLayer, RejectionKind, circuit_breaker::CircuitBreaker};
//! use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
//!
//! let breaker = CircuitBreaker::builder()
//!     .name("payments")
//!     .consecutive_failures(3)
//!     .open_for(Duration::from_secs(30))
//!     .build()?;
//!
//! let mut payments = ServiceBuilder::new()
//!     .layer(breaker.layer())
//!     .layer(ErrorLayer::new())
//!     .service(service_fn(async |_: u32| Err::<(), _>(std::io::Error::other("down"))));
//!
//! for _ in 0..3 {
//!     let error = payments.ready().await?.call(1).await.unwrap_err();
//!     assert!(matches!(error, Error::Inner(_)));
//! }
//! let refused = payments.ready().await?.call(1).await.unwrap_err();
//! assert_eq!(refused.rejected().map(|r| r.kind()), Some(RejectionKind::CircuitOpen));
//! # Ok(()) }
//! ```
//!
//! # The state machine
//!
//! | state | a call | an outcome | leaves when |
//! |---|---|---|---|
//! | **closed** | passes | is weighed: success ends a run of failures; failure adds to it; failure, throttled and slow count in the window; neutral and cancelled do nothing | a trigger fires → **open** |
//! | **open** | is refused, with the time left | of an older generation: counted as stale, ignored | the time is over and a call comes → **half-open**; that call is the first probe |
//! | **half-open** | passes as a probe while one of `half_open_probes` slots is free, else is refused | success counts; failure or throttled reopens; neutral and cancelled give the slot back | `success_threshold` successes → **closed**; one failure → **open**, for longer if so configured |
//! | **forced-open** | is refused | ignored | by hand |
//! | **disabled** | passes, unrecorded | not recorded | by hand |
//! | **metrics-only** | passes | is weighed as in closed, but trips nothing | by hand |
//!
//! Every change of state begins a new *generation*. A call carries the generation that admitted it; what it says
//! later than that is counted ([`Snapshot::stale`]) and decides nothing. So a slow success from before the outage
//! cannot close the circuit, nor a late failure reopen it.
//!
//! # Why it is so
//!
//! * **A probe is a reservation.** Its slot is taken by compare-and-swap when the call is admitted, and comes back
//!   when the permit is dropped, whatever became of the call: a probe that is cancelled, panics, or is answered
//!   with a 404 cannot wedge the breaker. One that hangs loses its slot after `probe_lease`.
//! * **Cancelled is neither good nor bad,** with one exception: a call that had been waiting for longer than
//!   `slow_after` when it was dropped is a slow *failure*. Otherwise a caller's own timeout would hide an outage. (The time
//!   is that of the request's body as well: who uploads slowly and gives up looks like a service that does not answer.)
//! * **Streams may never end, and bodies may never be read.** A probe counts as soon as good headers and a first
//!   data frame have come. Where plain HTTP's 2xx headers have come and the body is dropped, that is good news too:
//!   it counts for the probation, ends a run of failures and enters the window, although the books call the call
//!   cancelled. What fails after that is an ordinary failure.
//! * **Throttled is not down.** A 429 says the service is there: it enters the window, where a rate is watched, but
//!   not the run of failures. During a probation it does count as a failure: a service that asks for less is not
//!   ready for more.
//! * **The open time is drawn a little shorter than configured** (`open_jitter`), so that a fleet does not come
//!   back as one. Shorter and not longer, so that the cap holds and the jitter does not vanish at it.
//!
//! # Cost
//!
//! A call in the closed state loads the state once and touches one counter of its own thread's stripe; the start
//! of a call is only looked up on the clock if slow calls are watched or the call has to wait. No lock, no
//! allocation, no task. A time window costs ten loads, whatever the traffic.
//!
//! The vocabulary is that of *Release It!* (Nygard) as resilience4j, Polly and failsafe-go use it.

mod admission;
mod builder;
mod call;
mod config;
mod core;
mod families;
mod future;
mod gate;
mod hot;
#[cfg(feature = "keyed")]
mod keyed;
mod layer;
#[cfg(all(test, loom))]
mod loom;
mod marks;
mod permit;
mod policy;
mod probes;
mod service;
mod snapshot;
mod state;
mod transition;
mod window;

#[cfg(all(test, not(loom)))]
mod tests;

pub use builder::CircuitBreakerBuilder;
pub use call::CircuitBreakerCall;
pub(crate) use families::FAMILIES;
pub use future::CircuitBreakerFuture;
pub use gate::{GateLayer, GateService};
#[cfg(feature = "keyed")]
pub use keyed::{
    KeyedCircuitBreaker, KeyedCircuitBreakerBuilder, KeyedCircuitBreakerLayer, KeyedCircuitBreakerService,
};
pub use layer::CircuitBreakerLayer;
pub use permit::Permit;
pub use policy::CircuitBreaker;
pub use service::CircuitBreakerService;
pub use snapshot::Snapshot;
pub use state::State;
pub use transition::{Cause, Transition};

/// In events and as the default name.
const CONCERN: &str = "circuit_breaker";
