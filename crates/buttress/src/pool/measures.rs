//! What an endpoint's answers say about it, for strategies to choose by.
//!
//! All of it fades with time, so that an endpoint that was found wanting is tried again, sooner or later, whoever
//! chooses; and none of it is bettered by anything but success. An endpoint that fails is faster than one that works:
//! judged by its latency alone it would get all the calls (tower's balancer gave such a one 999 of 1000).

use super::{
    fading::{Fading, Tick},
    hub::Hub,
};

#[derive(Debug, Default)]
pub(super) struct Measures {
    /// The worst latency of late, in microseconds: Finagle's Peak-EWMA.
    peak: Fading,
    /// The average latency of successes, in microseconds.
    average: Fading,
    /// The share of failures.
    failures: Fading,
}

/// In milliseconds: how fast peaks are forgotten (as in Finagle and tower), and how fast averages are.
const PEAK_SPAN: f32 = 10_000.0;
const AVERAGE_SPAN: f32 = 30_000.0;
/// How much one call counts in an average.
const ONE: f32 = 1.0 / 20.0;
/// A failure counts as an answer that takes so many times what usually stands in an endpoint's queue, and at least a
/// tenth of a second, in microseconds. Not what an answer takes: then an idle endpoint that fails would be preferred to
/// one with enough calls in flight.
const FAILURE_FACTOR: f32 = 20.0;
const LEAST_FAILURE: f32 = 100_000.0;

impl Measures {
    /// A good answer has begun, after so many microseconds.
    #[inline]
    pub(super) fn answered(&self, now: Tick, micros: f32) {
        self.peak.update(now, PEAK_SPAN, |before, kept| match before {
            Some(before) => micros.max(before * kept + micros * (1.0 - kept)),
            None => micros,
        });
        self.average.update(now, AVERAGE_SPAN, |before, _| match before {
            Some(before) => before + (micros - before) * ONE,
            None => micros,
        });
    }

    /// A call has succeeded.
    #[inline]
    pub(super) fn succeeded(&self, now: Tick) {
        if self.failures.is_some() {
            self.failures.update(now, AVERAGE_SPAN, |before, kept| {
                before.unwrap_or_default() * kept * (1.0 - ONE)
            });
        }
    }

    /// A call has failed, after so many microseconds.
    pub(super) fn failed(&self, hub: &Hub, now: Tick, micros: f32) {
        let typical = hub.typical_cost().unwrap_or_default();
        let cost = micros + (typical * FAILURE_FACTOR).max(LEAST_FAILURE);
        self.took_at_least(now, cost);
        self.failures.update(now, AVERAGE_SPAN, |before, kept| {
            let before = before.unwrap_or_default() * kept;
            before + (1.0 - before) * ONE
        });
    }

    /// A call has ended, after so many microseconds, in a way that says nothing good: it may have been slow, but it
    /// was not fast.
    pub(super) fn took_at_least(&self, now: Tick, micros: f32) {
        let raise = |before: Option<f32>, kept: f32| micros.max(before.unwrap_or_default() * kept);
        if self.peak.read(now, PEAK_SPAN).is_none_or(|known| known < micros) {
            self.peak.update(now, PEAK_SPAN, raise);
        }
    }

    /// The worst latency of late; `None` if there was no call of late that said anything.
    #[inline]
    pub(super) fn peak(&self, now: Tick) -> Option<f32> {
        self.peak.read(now, PEAK_SPAN)
    }

    #[inline]
    pub(super) fn average(&self, now: Tick) -> Option<f32> {
        self.average.read(now, AVERAGE_SPAN)
    }

    /// The same, as if no time had gone by.
    pub(super) fn last_average(&self, now: Tick) -> Option<f32> {
        self.average.read(now, f32::INFINITY)
    }

    /// 0 to 1.
    #[inline]
    pub(super) fn success_rate(&self, now: Tick) -> f32 {
        1.0 - self.failures.read(now, AVERAGE_SPAN).unwrap_or_default()
    }

    /// Has it failed since it was last cleared?
    #[inline]
    pub(super) fn is_troubled(&self) -> bool {
        self.failures.is_some()
    }

    pub(super) fn clear(&self) {
        for measure in [&self.peak, &self.average, &self.failures] {
            measure.clear();
        }
    }
}
