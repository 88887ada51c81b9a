use std::fmt;

/// How calls are counted against a [`Limit`](super::Limit).
///
/// | | in any window of time `w`, at most | state | good for |
/// |---|---|---|---|
/// | `TokenBucket` | `burst + rate × w` | one word | nearly everything |
/// | `SlidingWindowLog` | `n` in any window of `per`, exactly | `n` words, and a lock held briefly | contracts: "never more than 100 in a minute" |
/// | `SlidingWindowCounter` | `2 × n` in a window of `per`; near `n` for traffic that is at all even | one word | the same, where near is enough and `n` is large |
/// | `Leaky` | one, then `rate × w` | one word | what must be fed evenly |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// A bucket that holds `burst` permits and is filled at the rate. It is the generic cell rate algorithm (GCRA,
    /// ITU-T I.371): a single moment, until which the permits that were taken are paid for, stands for the bucket.
    #[default]
    TokenBucket,
    /// The moment of each permit is kept for the time of the window: exact, whatever the traffic.
    SlidingWindowLog,
    /// Two counters, of this window and the one before, which is taken to have been even: what of it still lies in the
    /// sliding window counts.
    SlidingWindowCounter,
    /// No burst at all: calls go through one by one, spaced by the rate. A call of many permits is followed by a pause
    /// of as many. Most useful with a [`max_wait`](super::RateLimiterBuilder::max_wait).
    Leaky,
}

impl Algorithm {
    pub(super) const ALL: [Self; 4] = [
        Self::TokenBucket,
        Self::SlidingWindowLog,
        Self::SlidingWindowCounter,
        Self::Leaky,
    ];

    /// The algorithm in `snake_case`, as it stands in configuration files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TokenBucket => "token_bucket",
            Self::SlidingWindowLog => "sliding_window_log",
            Self::SlidingWindowCounter => "sliding_window_counter",
            Self::Leaky => "leaky",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
