//! Pool: several endpoints behave as one that does not fail.
//!
//! ```
//! # #[cfg(feature = "circuit-breaker")] {
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use buttress::{ErrorLayer, circuit_breaker::CircuitBreaker, pool::{Endpoint, Pool, Strategy}};
//! use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
//!
//! // Each endpoint is a service of its own, with whatever layers it needs.
//! let node = |is_up: bool| {
//!     ServiceBuilder::new().layer(ErrorLayer::new()).service(service_fn(move |n: u32| async move {
//!         if is_up { Ok(n * 2) } else { Err(std::io::Error::other("down")) }
//!     }))
//! };
//! let pool = Pool::builder()
//!     .name("inventory")
//!     .balance(Strategy::RoundRobin)
//!     .breaker(CircuitBreaker::builder().consecutive_failures(3))
//!     .endpoint("a", node(false))
//!     .push(Endpoint::new("b", node(true)).weight(2))
//!     .build()?;
//!
//! let mut inventory = pool.service();
//! for n in 0..30 {
//!     assert_eq!(inventory.ready().await?.call(n).await?, n * 2);
//! }
//! let state = pool.snapshot();
//! assert_eq!(state.endpoint("a").map(|a| (a.failure, a.moved)), Some((3, 3)));
//! assert_eq!(state.endpoint("b").map(|b| b.success), Some(30));
//! # Ok(()) }
//! # main().unwrap() }
//! ```
//!
//! # Three faces
//!
//! * [`Pool::service`] where each endpoint is a tower service: with its own connections, rate limit, timeout.
//! * [`Pool::layer`] where one transport reaches all of them and an endpoint is an address.
//! * [`Pool::run`] for clients of any other kind, and [`Pool::try_acquire`] to do it all by hand.
//!
//! They choose, count and fail over by one mechanism. None of them boxes, locks or allocates for a call.
//!
//! # Who may be chosen
//!
//! | an endpoint | gets calls |
//! |---|---|
//! | that was removed, or is draining | none, from the moment at which that was done; those in flight go on |
//! | that fails its [health checks](health) | none |
//! | whose breaker is open | none until its time is over; then its fair share, as probes, whatever the strategy thinks of it |
//! | that answered 429 with a `Retry-After` | none until then, at most for [`max_retry_after`](PoolOptions::max_retry_after) |
//! | whose limit is used up | none until there is a permit again; then first those who wait for it |
//! | that is back | a tenth of its share at first, all of it after [`slow_start`](PoolOptions::slow_start) |
//! | any other | what the [strategy](Strategy) gives it |
//!
//! A choice never fails while there is one that may be chosen; if there is none, the call is refused at once
//! ([`NoEndpoint`](crate::RejectionKind::NoEndpoint), a 503), with the time at which there may be one. Where over half
//! are out, [panic mode](PoolOptions::panic_mode) may choose among all.
//!
//! An endpoint at its limit is not out. Where nothing but limits is in the way, a call waits at the endpoint at which its
//! turn comes first, as long as that limit lets calls wait
//! ([`max_wait`](crate::rate_limit::RateLimiterBuilder::max_wait)), and takes any other that comes free in the meantime;
//! if its turn would come too late it is refused at once, as
//! [`RateLimited`](crate::RejectionKind::RateLimited) (a 429) by that limit. [`try_acquire`](Pool::try_acquire) never
//! waits.
//!
//! # The breaker is the pool's to drive
//!
//! Each endpoint has a breaker of its own, which the pool asks when it chooses, and tells when a call ends. It does not
//! stand in the endpoint's own stack. There it could only say no when the request is gone: of ten calls that see the one
//! free probe of an endpoint that is on trial, nine would be refused, though others are well. Here those nine choose
//! again. The pool knows any breaker by [`Admission`](crate::admission::Admission) alone.
//!
//! # Failover
//!
//! A call that failed, that may be repeated (an idempotent method, a plain request, an operation; a gRPC call unless it timed
//! out, for its method does not say whether it may be carried out twice) and all of whose request is there, goes to another endpoint that may be chosen, at once, at most [`failover`](PoolOptions::failover) times,
//! within a [budget](PoolOptions::budget). An endpoint whose service says that it is broken before anything was sent is
//! passed over for every call. A retry further out waits, and chooses anew: it prefers endpoints that its earlier attempts
//! have not been to.
//!
//! If the others fail as well, the caller gets the last one's own answer or error: that is what the service has said, and a
//! refusal would hide it. So when all endpoints go down at a time, callers first see why (over HTTP a gateway makes it a
//! 502, say), as many as it takes to open the breakers; from then on nothing is sent, and they get `NoEndpoint`, a 503.
//!
//! # How an endpoint is judged
//!
//! By one judgement, the [`Protocol`](crate::Protocol)'s, at the real end of the call. Latencies end at the response
//! headers; a call is in flight until its body has ended. A failure is never a quick answer: see
//! [`P2cEwma`](balance::P2cEwma). What is known of an endpoint fades, so one that did badly is tried again.
//!
//! # Endpoints that come and go
//!
//! The endpoints are a snapshot that calls read and changes replace: [`add`](Pool::add), [`remove`](Pool::remove),
//! [`drain`](Pool::drain), [`set_weight`](Pool::set_weight), or a stream, by [`follow`](Pool::follow). A change takes a lock
//! that no call ever takes.

mod address;
pub mod balance;
mod builder;
mod choose;
mod config;
mod discover;
mod endpoint;
mod events;
mod fading;
mod families;
mod future;
pub mod health;
mod hub;
mod layer;
mod lease;
mod measures;
mod node;
mod options;
mod policy;
mod reach;
mod roster;
mod seek;
mod service;
mod shared;
mod snapshot;
mod steering;
// Their endpoints have breakers.
#[cfg(all(test, not(loom), feature = "circuit-breaker"))]
mod tests;
mod token;
mod tried;
mod waiting;

#[cfg(feature = "http")]
pub use address::ToAuthority;
pub use address::{Address, PoolBy};
pub use balance::{Balance, Candidates, Strategy};
pub use builder::PoolBuilder;
pub use config::{HealthConfig, Probe};
pub use endpoint::Endpoint;
pub use events::{Alert, Cause, PoolEvent, Severity};
pub use future::PoolFuture;
pub use health::HealthCheck;
pub use layer::PoolLayer;
pub use lease::Lease;
pub use node::Phase;
pub use options::PoolOptions;
pub use policy::{Pool, Run};
pub use reach::{Addressed, Operation, OperationService, Own, Reach, Through};
pub use service::PoolService;
pub use snapshot::{EndpointSnapshot, Snapshot};
pub use token::PoolToken;

pub(crate) use families::FAMILIES;

/// In events and as the default name.
const CONCERN: &str = "pool";
