//! The one place that reads a clock.
//!
//! Every decision in this crate is made on [`Instant`]s from [`now`]. It is tokio's monotonic clock, so a test
//! that pauses tokio's time pauses every policy with it. Wall-clock time decides nothing: it is read in one
//! place only, to understand a `Retry-After` that names a date and comes without the server's own `Date`.

pub use tokio::time::Instant;

/// The present moment, monotonic; tokio's own time, so it stands still where a test has paused it.
#[inline]
#[must_use]
pub fn now() -> Instant {
    Instant::now()
}

/// The date, for headers that name one.
#[cfg(feature = "http")]
#[allow(clippy::disallowed_types)] // the clock module is where the ban is lifted
pub(crate) fn wall() -> std::time::SystemTime {
    std::time::SystemTime::now()
}
