use std::{fmt, sync::Arc};

use super::{
    Quota,
    shared::{DIRECTORY, Shared},
    spot::Spot,
};
use crate::directory::Id;

/// The leave to make one call, paid for.
///
/// Dropping it spends it: a call that has begun has been made, whatever becomes of it. If the call was not made after
/// all, [`give_back`](Self::give_back) what it took.
pub struct Permit {
    /// Not the limiter itself: a count of its holders would cost every call two atomic additions, on a cache line that
    /// all threads share, for what next to none of them needs.
    limiter: Option<Id>,
    /// The limit, where there is one a key.
    spot: Option<Arc<Spot>>,
    /// When the permits count as taken.
    at: u64,
    /// How many, and whether the response is to say what is left: in one word, as all of it is in whole words. A call
    /// would write a smaller part and then read it with its neighbours, for which the processor has to wait, and this is
    /// as much as all the rest costs.
    taken: u64,
}

const ANNOUNCED: u64 = 1 << 32;

impl Permit {
    #[inline]
    pub(super) fn new(limiter: Id, spot: Option<Arc<Spot>>, at: u64, permits: u32, announced: bool) -> Self {
        Self {
            limiter: Some(limiter),
            spot,
            at,
            taken: u64::from(permits) | if announced { ANNOUNCED } else { 0 },
        }
    }

    /// Of a call that takes nothing.
    pub(super) const fn free() -> Self {
        Self {
            limiter: None,
            spot: None,
            at: 0,
            taken: 0,
        }
    }

    /// Gives the permits back: for a call that did not reach the service after all, because something between refused
    /// it. They are worth less by what has come back by itself since they were taken, so that the calls that were made
    /// never are more than is allowed; what was taken before a [`reset`](super::RateLimiter::reset), or in the same
    /// nanosecond, is worth nothing. Those who wait for permits get them.
    pub fn give_back(self) {
        if let Some(limiter) = self.limiter() {
            limiter.give_back(self.spot.as_ref(), self.at, self.permits());
        }
    }

    /// What is left of the limit now; `None` if it is gone, or took nothing.
    #[must_use]
    pub fn quota(&self) -> Option<Quota> {
        let limiter = self.limiter()?;
        let spot = self.spot.as_ref().unwrap_or(&limiter.one);
        Some(spot.quota(limiter.now()))
    }

    /// When its permits count as taken; `None` if it took nothing.
    pub(super) fn taken_at(&self) -> Option<u64> {
        self.limiter.map(|_| self.at)
    }

    #[inline]
    pub(super) fn is_announced(&self) -> bool {
        self.taken & ANNOUNCED != 0
    }

    fn permits(&self) -> u32 {
        // The rest is the mark.
        self.taken as u32
    }

    fn limiter(&self) -> Option<Arc<Shared>> {
        DIRECTORY.alive(self.limiter?)
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit")
            .field("permits", &self.permits())
            .finish_non_exhaustive()
    }
}
