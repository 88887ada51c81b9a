//! A limit as the guard of one target among several.

use std::{sync::Arc, sync::atomic::Ordering::Relaxed};

use super::{RateLimiter, RateLimiterBuilder};
use crate::{
    admission::{Admission, Admitted, MakeAdmission, Standing},
    clock::Instant,
    config::ConfigError,
    error::Rejected,
    outcome::{Head, Outcome},
};

/// A target whose limit is used up is passed over until there is a permit again. Nobody waits there: another target may
/// have the call. Keys play no part.
impl Admission for RateLimiter {
    fn would_admit(&self, _: Instant) -> bool {
        self.shared.disabled.load(Relaxed) || self.peek().remaining > 0
    }

    fn next_chance(&self, now: Instant) -> Option<Instant> {
        if self.would_admit(now) {
            return Some(now);
        }
        Some(now + self.peek().retry_after.unwrap_or_default())
    }

    /// That a target may not be called so often says nothing about it.
    fn standing(&self) -> Standing {
        Standing::Sound
    }

    fn hasten(&self) {}

    fn admit(&self, _: Instant) -> Result<Admitted, Rejected> {
        // Dropped, the permit is spent: the call is made.
        self.try_acquire(1).map(|_| Admitted::new([0; 3]))
    }

    fn head(&self, _: &mut Admitted, _: Head) {}

    fn data(&self, _: &mut Admitted) {}

    fn finish(&self, _: Admitted, _: Outcome) {}

    fn cancel(&self, _: Admitted) {}

    fn name_if_unnamed(&self, name: &Arc<str>) {
        RateLimiter::name_if_unnamed(self, name);
    }
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
