use std::time::Duration;

/// What is left of a limit at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Quota {
    /// The most permits that can be had at once.
    pub limit: u64,
    /// How many can be had now.
    pub remaining: u64,
    /// In what time all of them come back.
    pub window: Duration,
    /// How long until all can be had again, if none is taken meanwhile.
    pub reset: Duration,
    /// How long until the next one can be had, if there is none now. Those who wait already go first.
    pub retry_after: Option<Duration>,
}

/// Why there is no permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// There will be in so many nanoseconds, if nobody else takes it.
    Until(u64),
    /// There cannot be: more is asked for than there can ever be at once, which is so many.
    Never(u64),
}
