use std::time::Duration;

use super::{LimitAlgorithm, Sample};
use crate::priority::permit::Measure;

/// An algorithm at work, within its bounds.
#[derive(Debug)]
pub(in crate::priority) struct Controller {
    algorithm: Box<dyn LimitAlgorithm>,
    min: f64,
    max: f64,
    /// Not a whole number: small steps add up.
    limit: f64,
}

impl Controller {
    pub(super) fn new(algorithm: Box<dyn LimitAlgorithm>, min: u32, max: u32, initial: u32) -> Self {
        let (min, max) = (f64::from(min), f64::from(max));
        Self {
            algorithm,
            min,
            max,
            limit: f64::from(initial).clamp(min, max),
        }
    }

    /// The limit, now that another call is over.
    pub(in crate::priority) fn observe(&mut self, sample: &Sample) -> u32 {
        let limit = self.algorithm.observe(sample, self.limit);
        // What is not a number changes nothing.
        if !limit.is_nan() {
            self.limit = limit.clamp(self.min, self.max);
        }
        self.limit as u32
    }
}

impl From<Measure> for Sample {
    fn from(measure: Measure) -> Self {
        Self {
            started: Duration::from_nanos(measure.started),
            latency: Duration::from_nanos(measure.latency),
            in_flight: measure.running,
            limited: measure.full,
            dropped: measure.dropped,
        }
    }
}
