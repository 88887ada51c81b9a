//! Rate limits: so many calls in so much time, one limit for all or one a key, exact under any number of threads.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//! use buttress::{Error, ErrorLayer, RejectionKind, rate_limit::RateLimiter};
//! use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
//!
//! let limiter = RateLimiter::per_minute(2).name("reports").build()?;
//!
//! let mut reports = ServiceBuilder::new()
//!     .layer(limiter.layer())
//!     .layer(ErrorLayer::new())
//!     .service(service_fn(async |year: u32| Ok::<_, std::io::Error>(format!("{year}: good"))));
//!
//! for year in [1998, 1999] {
//!     reports.ready().await?.call(year).await?;
//! }
//! let refused = reports.ready().await?.call(2000).await.unwrap_err();
//! let refused = refused.rejected().expect("a refusal");
//! assert_eq!(refused.kind(), RejectionKind::RateLimited);
//! assert!(refused.retry_after().is_some_and(|after| after > Duration::from_secs(29)));
//! # Ok(()) }
//! ```
//!
//! # What it counts
//!
//! A call takes one permit, or as many as [`RateLimitLayer::permits`] says. What comes how often is a [`Limit`], how it
//! is counted an [`Algorithm`]: a token bucket if nothing else is said. Permits are taken when a call is let through, by
//! one compare-and-swap on the state that all clones share (the sliding-window log takes a lock for it, briefly), and so
//! never more than there are.
//!
//! # Waiting
//!
//! With [`max_wait`](RateLimiterBuilder::max_wait) a call that finds too few permits waits for its turn. It stands in
//! one line with all others, first come, first served: a call of many permits is not overtaken by small ones, and who
//! comes while somebody waits goes to the end. Only the first has a timer; when it has left, served or cancelled, the
//! next one looks for itself. How long the whole line takes is known, so a call whose turn cannot come in time (or
//! before its [deadline](crate::CallContext::deadline)) is refused when it comes, and told how long it would have been.
//!
//! # Calls that were not made
//!
//! A call that another layer further in refuses (an open circuit, a full queue) gives its permits back: it never reached
//! the service. So does one that is dropped after it was let through and before the service was called. One that had
//! begun has been made, whatever became of it.
//!
//! # Several targets
//!
//! In a [stack](crate::stack) with a [pool](crate::pool) each endpoint has a limit of its own: calls wait only where all
//! are at their limits.
//!
//! # Keys
//!
//! With [`keyed`](RateLimiterBuilder::keyed) or [`key_by`](RateLimiterBuilder::key_by) there is a limit for each key.
//! The number of keys is capped, those that are not used leave, and where there is no room, new ones share one limit. So
//! a stream of made-up keys gets as much as one key; and a key that has used up its limit stays until that has come
//! back, so it cannot be made to be forgotten. A key costs less than 160 bytes besides itself (with the sliding-window
//! log, eight more for each permit of the limit).
//!
//! # Saying so
//!
//! A refusal is [`RateLimited`](crate::RejectionKind::RateLimited) and carries how long to wait. On the wire that is 429
//! with `Retry-After`, or `RESOURCE_EXHAUSTED`; see [`headers`] for the rest.
//!
//! # Caveats
//!
//! * Timers are exact to a millisecond. Who waits for a limit of more than a thousand a second needs a burst that covers
//!   a millisecond, or gets one permit a millisecond; leaky buckets save as much by themselves for those who wait.
//! * What a limiter with a sliding-window counter tells a waiter holds for calls of one permit each; larger ones before
//!   it may take longer, and it may be refused when its turn has not come in time.
//! * A call that asks for more permits than there can ever be at once is refused as wrong in itself: HTTP 400,
//!   `INVALID_ARGUMENT`, with [how many there can be](crate::Rejected::most) and without a time to come back.

mod acquire;
mod admission;
mod algorithm;
mod announce;
mod builder;
#[cfg(feature = "keyed")]
mod by_key;
mod call;
mod cell;
mod charge;
mod config;
mod counter;
mod families;
mod future;
mod gcra;
#[cfg(feature = "http")]
pub mod headers;
mod key;
mod key_by;
#[cfg(feature = "keyed")]
mod keys;
mod layer;
mod limit;
mod log;
#[cfg(all(test, loom))]
mod loom;
mod meter;
mod permit;
mod policy;
mod quota;
mod rules;
mod service;
mod shared;
mod snapshot;
mod spot;
mod store;
mod tariff;

#[cfg(all(test, not(loom)))]
mod tests;

pub use acquire::Acquire;
pub use algorithm::Algorithm;
pub use announce::QuotaProtocol;
pub use builder::RateLimiterBuilder;
pub use call::RateLimitCall;
pub use charge::{AsConfigured, ByKey, Charge, Weighed};
pub use future::RateLimitFuture;
pub use key::Key;
pub use key_by::{KeyBy, KeyProtocol, RateLimitKey};
pub use layer::RateLimitLayer;
pub use limit::Limit;
pub use permit::Permit;
pub use policy::RateLimiter;
pub use quota::Quota;
pub use service::RateLimitService;
pub use shared::LimitReached;
pub use snapshot::{KeySnapshot, Snapshot};
pub use store::{Store, StorePermit, Taken};

pub(crate) use families::FAMILIES;

/// In the registry and as the default name.
const CONCERN: &str = "rate_limit";
