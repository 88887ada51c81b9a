//! A limit as the guard of one target among several.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use super::{Acquire, Permit, RateLimiter, RateLimiterBuilder, quota::Refusal};
use crate::{
    admission::{Admission, Admitted, MakeAdmission, Standing, Turn},
    clock::{self, Instant},
    config::ConfigError,
    error::Rejected,
    outcome::{Head, Outcome, Reason, Verdict},
};

/// A target whose limit is used up is passed over until there is a permit again; those who wait for one go first. Where
/// no other target may have the call, it stands in that line, up to [`max_wait`](RateLimiterBuilder::max_wait). Keys play
/// no part.
impl Admission for RateLimiter {
    fn would_admit(&self, _: Instant) -> bool {
        let shared = &*self.shared;
        shared.disabled.load(Relaxed) || (shared.one.line.is_empty() && self.peek().remaining > 0)
    }

    fn next_chance(&self, now: Instant) -> Option<Instant> {
        Some(now + self.turn_in(now)?)
    }

    /// That a target may not be called so often says nothing about it.
    fn standing(&self) -> Standing {
        Standing::Sound
    }

    fn hasten(&self) {}

    fn admit(&self, _: Instant) -> Result<Admitted, Rejected> {
        self.try_acquire(1).map(admitted)
    }

    fn turn_in(&self, now: Instant) -> Option<Duration> {
        if self.would_admit(now) {
            return Some(Duration::ZERO);
        }
        match self.shared.one.wait(self.shared.now(), 1) {
            Refusal::Until(nanos) => Some(Duration::from_nanos(nanos)),
            Refusal::Never(_) => None,
        }
    }

    fn stand_in_line(&self, since: Instant, deadline: Option<Instant>) -> Option<Turn> {
        let shared = &*self.shared;
        let last = since + Duration::from_nanos(shared.max_wait());
        let last = deadline.map_or(last, |deadline| deadline.min(last));
        let now = clock::now();
        let is_in_time = shared.max_wait() > 0 && now + self.turn_in(now)? <= last;
        let acquire = Acquire::new(self.clone(), None, 1, Some(last));
        is_in_time.then(|| -> Turn { Box::pin(async { acquire.await.map(admitted) }) })
    }

    fn overrule(&self, now: Instant) -> Result<(), Rejected> {
        self.admit(now).map(|_| ())
    }

    fn withdraw(&self, call: Admitted) {
        if let Some(at) = call.limit().checked_sub(1) {
            self.shared.give_back(None, at, 1);
        }
    }

    fn head(&self, _: &mut Admitted, _: Head) {}

    fn data(&self, _: &mut Admitted) {}

    /// A call that another layer has refused further in was not made.
    fn finish(&self, call: Admitted, outcome: Outcome) {
        if let (Verdict::Neutral, Reason::Rejected(_)) = (outcome.verdict(), outcome.reason()) {
            self.withdraw(call);
        }
    }

    /// What has been sent has been spent.
    fn cancel(&self, _: Admitted) {}

    fn name_if_unnamed(&self, name: &Arc<str>) {
        RateLimiter::name_if_unnamed(self, name);
    }
}

/// Of a permit nothing need be kept but when it counts as taken: there is one, and no key.
fn admitted(permit: Permit) -> Admitted {
    Admitted::by_limit(permit.taken_at().map_or(0, |at| at + 1))
}

/// A limit of these options for each target; the name in them is not used, nor are keys.
impl MakeAdmission for RateLimiterBuilder {
    fn make(&self, _: &str) -> Result<Arc<dyn Admission>, ConfigError> {
        let mut options = self.clone();
        options.name = None;
        #[cfg(feature = "keyed")]
        {
            options.keys = None;
        }
        Ok(Arc::new(options.build()?))
    }
}
