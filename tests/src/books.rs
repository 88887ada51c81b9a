//! What the books of a stack say, in a form to compare with what was expected.

use buttress::{circuit_breaker::CircuitBreaker, metrics::Metrics};

/// Policies whose books a test reads.
#[derive(Clone, Debug)]
pub struct Books {
    /// The breaker; it needs many failures to open, so that it does not disturb what is counted.
    pub breaker: CircuitBreaker,
    /// The metrics.
    pub metrics: Metrics,
}

/// How the calls ended that are over, as the breaker has them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    /// Those that succeeded.
    pub success: u64,
    /// Those that failed.
    pub failure: u64,
    /// Those that say nothing.
    pub neutral: u64,
    /// Those that were told to come with less.
    pub throttled: u64,
    /// Those that were dropped.
    pub cancelled: u64,
}

/// One call that succeeded.
pub const SUCCESS: Ends = Ends {
    success: 1,
    ..NOTHING
};
/// One call that failed.
pub const FAILURE: Ends = Ends {
    failure: 1,
    ..NOTHING
};
/// One call that says nothing.
pub const NEUTRAL: Ends = Ends {
    neutral: 1,
    ..NOTHING
};
/// One call that was told to come with less.
pub const THROTTLED: Ends = Ends {
    throttled: 1,
    ..NOTHING
};
/// One call that was dropped.
pub const CANCELLED: Ends = Ends {
    cancelled: 1,
    ..NOTHING
};
/// No call.
pub const NOTHING: Ends = Ends {
    success: 0,
    failure: 0,
    neutral: 0,
    throttled: 0,
    cancelled: 0,
};

impl Books {
    /// Empty ones.
    ///
    /// # Panics
    ///
    /// Never: the options are good.
    #[must_use]
    pub fn new() -> Self {
        Self {
            breaker: CircuitBreaker::builder()
                .consecutive_failures(1000)
                .build()
                .expect("good options"),
            metrics: Metrics::new(),
        }
    }

    /// How the calls ended.
    ///
    /// # Panics
    ///
    /// If the breaker's books and the metrics' disagree, or a call is still running.
    #[must_use]
    pub fn ends(&self) -> Ends {
        let breaker = self.breaker.snapshot();
        let metrics = self.metrics.snapshot();
        let ends = Ends {
            success: breaker.success,
            failure: breaker.failure,
            neutral: breaker.neutral,
            throttled: breaker.throttled,
            cancelled: breaker.cancelled,
        };
        let Ends {
            success,
            failure,
            neutral,
            throttled,
            cancelled,
        } = ends;
        let expected = [
            success,
            failure + throttled,
            neutral,
            cancelled,
            breaker.rejected,
            0,
        ];
        let o = metrics.outcomes;
        // A panic is a failure to the breaker and has a column of its own in the metrics.
        let counted = [
            o.success,
            o.failure + o.panicked,
            o.neutral,
            o.cancelled,
            o.rejected,
            metrics.in_flight,
        ];
        assert_eq!(expected, counted, "breaker: {breaker:?}, metrics: {metrics:?}");
        ends
    }
}

impl Default for Books {
    fn default() -> Self {
        Self::new()
    }
}
