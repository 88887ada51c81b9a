//! Limits that find out by themselves how many calls may run at a time.
//!
//! ```
//! use buttress::priority::{PriorityQueue, limit::Adaptive};
//!
//! let queue = PriorityQueue::builder()
//!     .concurrency(Adaptive::gradient2().min(4).max(512).initial(20))
//!     .build()?;
//! assert_eq!(queue.status().limit, 20);
//! # Ok::<(), buttress::ConfigError>(())
//! ```
//!
//! A service has a number of calls that it can work on at a time. Given fewer, it is idle; given more, they wait inside,
//! where nobody knows which of them matters. Nobody knows the number either, and it changes: with the weather of a shared
//! machine, a slow disk, a deployment. What can be seen from outside is how long calls take as more of them run, by
//! Little's law: in flight = throughput × latency. Below the number, more calls in flight mean more throughput at the same
//! latency; above it, the same throughput at more latency.
//!
//! # Three algorithms
//!
//! | | listens to | finds the number | fails |
//! |---|---|---|---|
//! | [`Aimd`] | refusals and timeouts, or a latency that you name | by growing until it is told to stop | where the service neither refuses nor times out: it grows to the maximum |
//! | [`Vegas`] | latency over the least there is | by the queue that it must have made inside | where latency depends on what is asked more than on load; its probes cost a little throughput |
//! | [`Gradient2`] | latency over its long-term average | by the same, with slack for variance | where overload lasts so long that it becomes the average; its guards bound that |
//!
//! Start with `Gradient2` where latencies vary, `Vegas` where calls are alike, `Aimd` where the service says itself when it
//! has too much. How each follows a capacity that doubles, halves and stalls is plotted in `docs/overload.md` of the
//! repository.
//!
//! # What is a sample
//!
//! * Only a call that **succeeded** says how long the work takes. A cancelled one says how patient its caller was; a
//!   failure may come from anywhere. A throttled one (429, `RESOURCE_EXHAUSTED`) and one that timed out are *drops*: they
//!   say that there is too much of it.
//! * The time ends at the response headers: how fast a body goes is up to its reader.
//! * Samples are taken in **rounds** that last until the mean is known to 3 %, a dozen calls or a thousand: one answer that
//!   is very fast, or very slow, decides nothing. And the limit grows only on the word of calls that began after it last
//!   did.
//! * The limit only grows **while it is reached**: what was never needed is not known to be possible.
//!
//! # Cost
//!
//! Two clock reads a call, and a lock that is only ever tried: of two calls that end at the same moment on two threads,
//! one is not counted.
//!
//! The algorithms are those of TCP Vegas (Brakmo and Peterson, 1995) and of Netflix's `concurrency-limits`, whose names
//! they keep; the guards of `Gradient2` are those of failsafe-go's adaptive limiter. The modules say where they differ.

mod adaptive;
mod aimd;
mod controller;
mod gradient2;
mod knee;
mod round;
mod vegas;

#[cfg(all(test, not(loom)))]
mod tests;

use std::{fmt, time::Duration};

pub use adaptive::{Adaptive, Concurrency};
pub use aimd::Aimd;
pub(super) use controller::Controller;
pub use gradient2::Gradient2;
pub use vegas::Vegas;

/// Finds out how many calls may run at a time.
///
/// Implement it for an algorithm of your own, and use that by [`Adaptive::with`].
pub trait LimitAlgorithm: fmt::Debug + Send {
    /// The limit, now that another call is over. What is outside of the bounds of the [`Adaptive`] is cut to them.
    ///
    /// It is called under a lock that other calls do not wait for: a call that ends meanwhile is not counted. Whoever
    /// changes the queue's options does wait for it, so it must not do that itself. Where it panics, the limit stays what
    /// it is, and the next call is told to it again.
    fn observe(&mut self, sample: &Sample, limit: f64) -> f64;
}

/// A call that is over, and succeeded or was dropped.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Sample {
    /// When it was admitted, since the queue was made.
    pub started: Duration,
    /// How long it took, to the response headers.
    pub latency: Duration,
    /// How many calls ran when it was admitted, itself included.
    pub in_flight: u32,
    /// Whether the limit was reached when it was admitted: no slot was left, or it had to wait for one.
    pub limited: bool,
    /// Whether the service has refused it for having too much to do, or it took too long. Then its latency says nothing.
    pub dropped: bool,
}

impl Sample {
    /// A sample to test an algorithm with.
    #[must_use]
    pub const fn new(started: Duration, latency: Duration, in_flight: u32, limited: bool) -> Self {
        Self {
            started,
            latency,
            in_flight,
            limited,
            dropped: false,
        }
    }

    /// The same, of a call that was dropped.
    #[must_use]
    pub const fn dropped(mut self) -> Self {
        self.dropped = true;
        self
    }
}
