//! The timers behind the limits. They are tokio's, exact to a millisecond and never early.

use std::{
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use tokio::{task::unconstrained, time::Sleep};

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

/// Is the time over?
///
/// It is asked outside of tokio's cooperative budget. What was limited may have used that up, as something that
/// always has work to do will in each poll; a timer that then declined to answer would never end it.
#[inline]
pub(super) fn poll_over(timer: Pin<&mut Sleep>, cx: &mut Context<'_>) -> Poll<()> {
    pin!(unconstrained(timer)).poll(cx)
}
