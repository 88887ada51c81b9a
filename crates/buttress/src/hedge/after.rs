use std::{fmt, time::Duration};

/// When the second attempt is made, if the first has not answered by then.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum After {
    /// So long after the first.
    Delay(Duration),
    /// When the first takes longer than this part of the recent ones did: `0.95` is their 95th percentile.
    Quantile(f64),
}

impl From<Duration> for After {
    fn from(delay: Duration) -> Self {
        Self::Delay(delay)
    }
}

impl fmt::Display for After {
    /// As a configuration file has it: `50ms`, `p95`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delay(delay) => crate::duration::Human(*delay).fmt(f),
            // Without the digits by which a share in binary differs from one in percent.
            Self::Quantile(quantile) => write!(f, "p{}", (quantile * 1e5).round() / 1e3),
        }
    }
}
