use super::{Acquire, Key, Permit, Quota, RateLimiter};
use crate::{clock::Instant, error::Rejected};

#[cfg(feature = "keyed")]
use super::KeyBy;

/// Where limits are kept and decided: in the memory of this process, which is the [`RateLimiter`] itself, or somewhere
/// that several processes share.
///
/// The layer asks [`take`](Self::take), which answers at once where it can: from memory, or from a share of the limit
/// that was fetched in advance. Only where it cannot it returns a future. So a store in memory pays nothing for there
/// being others: it is called directly, and there is no box and no future on its way.
///
/// A store that several processes share must go by one clock, its own: theirs disagree.
pub trait Store: Clone {
    /// What a call that was let through holds.
    type Permit: StorePermit;

    /// The answer that takes time.
    type Wait: Future<Output = Result<Self::Permit, Rejected>>;

    /// Asks for permits, of the limit of `key` if there is a limit for each. `deadline` is looked up only for a call
    /// that has to wait.
    fn take(
        &self,
        key: Option<&Key<'_>>,
        permits: u32,
        deadline: impl FnOnce() -> Option<Instant>,
    ) -> Taken<Self::Permit, Self::Wait>;

    /// May it answer with a future? Then services are ready at once, and see to the readiness of what is inside when the
    /// call has been let through; otherwise they are ready when that is.
    fn may_wait(&self) -> bool;

    /// Where the key of a request is found, for layers that are not told otherwise.
    #[cfg(feature = "keyed")]
    fn key_by(&self) -> Option<&KeyBy> {
        None
    }
}

/// What a store answers.
#[derive(Debug)]
pub enum Taken<P, W> {
    /// The call may be made.
    Granted(P),
    /// The call may not be made.
    Refused(Rejected),
    /// It takes time to know.
    Wait(W),
}

/// What a call that a [`Store`] let through holds until it is over. Dropping it spends it.
pub trait StorePermit {
    /// Gives the permits back, since the call did not reach the service.
    fn give_back(self);

    /// What the response is to say of the limit, if it is to say anything.
    fn quota(&self) -> Option<Quota>;
}

impl StorePermit for Permit {
    fn give_back(self) {
        Permit::give_back(self);
    }

    #[inline]
    fn quota(&self) -> Option<Quota> {
        if self.is_announced() {
            Permit::quota(self)
        } else {
            None
        }
    }
}

impl Store for RateLimiter {
    type Permit = Permit;
    type Wait = Acquire;

    #[inline]
    fn take(
        &self,
        key: Option<&Key<'_>>,
        permits: u32,
        deadline: impl FnOnce() -> Option<Instant>,
    ) -> Taken<Permit, Acquire> {
        self.take_or_wait(key, permits, deadline)
    }

    #[inline]
    fn may_wait(&self) -> bool {
        self.shared.max_wait() > 0
    }

    #[cfg(feature = "keyed")]
    #[inline]
    fn key_by(&self) -> Option<&KeyBy> {
        self.shared.keys.as_ref()?.by.as_ref()
    }
}
