//! The one place that reads a clock.
//!
//! Every decision in this crate is made on [`Instant`]s from [`now`]. It is tokio's monotonic clock, so a test
//! that pauses tokio's time pauses every policy with it. Wall-clock time decides nothing: it is read in one
//! place only, to understand a `Retry-After` that names a date and comes without the server's own `Date`.

use std::{
    pin::{Pin, pin},
    task::{Context, Poll},
};

pub use tokio::time::Instant;
use tokio::{task::unconstrained, time::Sleep};

/// The present moment, monotonic; tokio's own time, so it stands still where a test has paused it.
#[inline]
#[must_use]
pub fn now() -> Instant {
    Instant::now()
}

/// Is the time over?
///
/// It is asked outside of tokio's cooperative budget. What is timed may have used that up, as something that
/// always has work to do will in each poll; a timer that then declined to answer would never end it.
#[inline]
#[cfg_attr(not(any(feature = "hedge", feature = "timeout")), allow(dead_code))]
pub(crate) fn poll_over(timer: Pin<&mut Sleep>, cx: &mut Context<'_>) -> Poll<()> {
    pin!(unconstrained(timer)).poll(cx)
}

/// The date, for headers that name one.
#[cfg(feature = "http")]
#[allow(clippy::disallowed_types)] // the clock module is where the ban is lifted
pub(crate) fn wall() -> std::time::SystemTime {
    std::time::SystemTime::now()
}
