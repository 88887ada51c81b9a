use std::time::Duration;

/// How a wait is spread at random, so that callers who failed together do not come back together.
///
/// With `step` for what the [backoff](super::Backoff) gives, already capped:
///
/// | | drawn evenly from |
/// |---|---|
/// | `Full` | 0 … `step` |
/// | `Equal` | `step` / 2 … `step` |
/// | `Decorrelated` | `initial_backoff` … 3 × the wait before, or the cap if that is less |
/// | `Range(r)` | `step` × (1 − r) … `step` × (1 + r), or the cap if that is less |
/// | `None` | it is `step` |
///
/// Each is drawn *inside* the cap: no wait exceeds it, and at the cap the waits are still spread. (Where jitter is
/// added first and capped then, or the other way round, everyone who waits long waits equally long.)
///
/// The first three are those of Marc Brooker's "Exponential Backoff and Jitter" (AWS Architecture Blog, 2015), which
/// finds that full jitter makes the fewest calls.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Jitter {
    /// Anything up to the step.
    #[default]
    Full,
    /// Half the step, and anything up to the other half.
    Equal,
    /// Anything from the initial wait to three times the last one; it takes the place of the backoff.
    Decorrelated,
    /// The step give or take this share (0 to 1) of itself.
    Range(f64),
    /// The step.
    None,
}

impl Jitter {
    /// A usual [`Range`](Self::Range): the step give or take a tenth.
    pub const RANGE: Self = Self::Range(0.1);

    /// Spreads a step that is at most the cap. Decorrelated jitter knows no steps and is none here.
    pub(super) fn apply(self, step: Duration, cap: Duration, draw: f64) -> Duration {
        match self {
            Self::Full => step.mul_f64(draw),
            Self::Equal => step / 2 + (step / 2).mul_f64(draw),
            Self::Range(share) => {
                let least = step.mul_f64(1.0 - share);
                let most = step.mul_f64(1.0 + share).min(cap);
                least + most.saturating_sub(least).mul_f64(draw)
            }
            Self::Decorrelated | Self::None => step,
        }
    }
}
