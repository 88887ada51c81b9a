use std::{fmt, sync::Arc, time::Duration};

use super::jitter::Jitter;

/// How the wait before a retry grows with the number of retries.
///
/// All start from [`initial_backoff`](super::RetryBuilder::initial_backoff) and end at
/// [`max_backoff`](super::RetryBuilder::max_backoff); [jitter](Jitter) is drawn inside of what they give.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum Backoff {
    /// Each wait is the one before times the [`multiplier`](super::RetryBuilder::multiplier).
    #[default]
    Exponential,
    /// Always the initial one.
    Constant,
    /// The initial one times the number of the retry: 100 ms, 200 ms, 300 ms.
    Linear,
    /// The initial one times the Fibonacci numbers: 100 ms, 100 ms, 200 ms, 300 ms, 500 ms.
    Fibonacci,
    /// What the function gives for the number of the retry, which is 1 for the first. It may be zero.
    Custom(Arc<dyn Fn(u32) -> Duration + Send + Sync>),
}

impl Backoff {
    /// A function of the number of the retry, which is 1 for the first.
    pub fn custom(backoff: impl Fn(u32) -> Duration + Send + Sync + 'static) -> Self {
        Self::Custom(Arc::new(backoff))
    }
}

/// Two functions are equal if they are the same one.
impl PartialEq for Backoff {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Custom(one), Self::Custom(other)) => Arc::ptr_eq(one, other),
            (one, other) => std::mem::discriminant(one) == std::mem::discriminant(other),
        }
    }
}

impl fmt::Debug for Backoff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Exponential => "Exponential",
            Self::Constant => "Constant",
            Self::Linear => "Linear",
            Self::Fibonacci => "Fibonacci",
            Self::Custom(_) => "Custom",
        })
    }
}

/// Everything that a wait is computed from.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Waits {
    pub(super) backoff: Backoff,
    pub(super) initial: Duration,
    pub(super) multiplier: f64,
    pub(super) cap: Duration,
    pub(super) jitter: Jitter,
}

impl Waits {
    /// The wait before the given retry, from 1 on; `previous` is the wait before the one before it, and `draw` a
    /// random number from 0 to 1, 1 excluded.
    pub(super) fn wait(&self, retry: u32, previous: Option<Duration>, draw: f64) -> Duration {
        match self.jitter {
            Jitter::Decorrelated => self.decorrelated(previous.unwrap_or(self.initial), draw),
            jitter => jitter.apply(self.step(retry), self.cap, draw),
        }
    }

    /// The wait that was drawn so, but no less than what the service asked for. What chance has added to it comes on top
    /// of that too, for all who ask the service are told the same.
    pub(super) fn no_sooner(
        &self,
        asked: Duration,
        drawn: Duration,
        retry: u32,
        previous: Option<Duration>,
    ) -> Duration {
        if asked.is_zero() {
            return drawn;
        }
        let least = self.wait(retry, previous, 0.0);
        asked.max(least).saturating_add(drawn.saturating_sub(least))
    }

    /// The wait before the given retry without jitter, capped.
    fn step(&self, retry: u32) -> Duration {
        let step = match &self.backoff {
            Backoff::Exponential => {
                let exponent = i32::try_from(retry.saturating_sub(1)).unwrap_or(i32::MAX);
                // It may well be infinite.
                let grown = self.initial.as_secs_f64() * self.multiplier.powi(exponent);
                if grown < self.cap.as_secs_f64() {
                    Duration::from_secs_f64(grown)
                } else {
                    self.cap
                }
            }
            Backoff::Constant => self.initial,
            Backoff::Linear => self.initial.saturating_mul(retry),
            Backoff::Fibonacci => self.fibonacci(retry),
            Backoff::Custom(backoff) => backoff(retry),
        };
        step.min(self.cap)
    }

    fn fibonacci(&self, retry: u32) -> Duration {
        let (mut this, mut next) = (self.initial, self.initial);
        for _ in 1..retry {
            // At most some seventy rounds: from a nanosecond to a day.
            if this >= self.cap {
                return self.cap;
            }
            (this, next) = (next, this.saturating_add(next));
        }
        this
    }

    /// Between the initial wait and three times the one before. The article caps what is drawn, which puts two
    /// thirds of the later waits on the cap itself; here the draw is from below the cap.
    fn decorrelated(&self, previous: Duration, draw: f64) -> Duration {
        let top = previous.saturating_mul(3).min(self.cap);
        let span = top.saturating_sub(self.initial);
        (self.initial + span.mul_f64(draw)).min(self.cap)
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
