use std::time::Duration;

use super::{Algorithm, counter, log};
use crate::{config::Problems, duration::Human};

/// How much is allowed: so many permits in so much time, and how many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    permits: u64,
    per: Duration,
    burst: Option<u64>,
}

/// The shortest time that one permit may take.
const FASTEST: u128 = 10;
/// The longest time over which a rate, or the refilling of a bucket, may be spread.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

impl Limit {
    /// So many permits in that time.
    #[must_use]
    pub const fn new(permits: u64, per: Duration) -> Self {
        Self {
            permits,
            per,
            burst: None,
        }
    }

    /// So many permits a second: `per_second(5)` is five a second.
    #[must_use]
    pub const fn per_second(permits: u64) -> Self {
        Self::new(permits, Duration::from_secs(1))
    }

    /// So many permits a minute.
    #[must_use]
    pub const fn per_minute(permits: u64) -> Self {
        Self::new(permits, Duration::from_secs(60))
    }

    /// So many permits an hour.
    #[must_use]
    pub const fn per_hour(permits: u64) -> Self {
        Self::new(permits, Duration::from_secs(3600))
    }

    /// How many may be taken at once after a quiet time, if not as many as the rate names. Only a token bucket has it.
    #[must_use]
    pub const fn burst(mut self, permits: u64) -> Self {
        self.burst = Some(permits);
        self
    }

    /// How many permits there are in each [`per`](Self::per).
    #[must_use]
    pub const fn permits(&self) -> u64 {
        self.permits
    }

    /// In what time.
    #[must_use]
    pub const fn per(&self) -> Duration {
        self.per
    }

    /// The most that can be had at once.
    #[must_use]
    pub const fn at_once(&self) -> u64 {
        match self.burst {
            Some(burst) => burst,
            None => self.permits,
        }
    }

    pub(super) fn check(&self, algorithm: Algorithm, problems: &mut Problems) {
        let &Self { permits, per, burst } = self;
        let some = problems.check(
            permits >= 1,
            "rate",
            permits,
            "1 or more: none would be an outage",
        );
        let timed = problems.check(
            !per.is_zero() && per <= LONGEST,
            "per",
            Human(per),
            "a duration above zero, up to 365d",
        );
        let possible = some
            && timed
            && problems.check(
                per.as_nanos() >= FASTEST * u128::from(permits),
                "rate",
                permits,
                "at most 100000000 a second",
            );
        let most = match algorithm {
            Algorithm::SlidingWindowLog => Some((
                log::MOST,
                "1 to 1000000 with sliding_window_log, which keeps each",
            )),
            Algorithm::SlidingWindowCounter => {
                Some((counter::MOST, "1 to 8388607 with sliding_window_counter"))
            }
            Algorithm::TokenBucket | Algorithm::Leaky => None,
        };
        if let Some((most, allowed)) = most {
            problems.check(permits <= most, "rate", permits, allowed);
        }
        let Some(burst) = burst else { return };
        if algorithm != Algorithm::TokenBucket {
            let allowed = "left out: only a token_bucket has a burst";
            problems.check(false, "burst", burst, allowed);
        } else if problems.check(burst >= 1, "burst", burst, "1 or more: with none nothing passes")
            && possible
        {
            let refill = per.as_nanos().saturating_mul(burst.into()) / u128::from(permits);
            let allowed = "so few that the rate brings them in 365d";
            problems.check(refill <= LONGEST.as_nanos(), "burst", burst, allowed);
        }
    }
}
