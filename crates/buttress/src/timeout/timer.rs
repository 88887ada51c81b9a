//! The timers behind the limits. They are tokio's, exact to a millisecond and never early.

use std::time::Duration;

use tokio::time::Sleep;

use crate::clock::{self, Instant};

/// What is later is as good as never, and so far any clock can count.
const NEVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

#[inline]
pub(super) fn at(moment: Instant) -> Sleep {
    tokio::time::sleep_until(moment)
}

/// The moment that long after `start`, wherever the time comes from.
#[inline]
pub(super) fn after(start: Instant, time: Duration) -> Instant {
    start + time.min(NEVER)
}

#[inline]
pub(super) fn in_nanos(nanos: u64) -> Instant {
    after(clock::now(), Duration::from_nanos(nanos))
}
