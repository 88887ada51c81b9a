use std::{sync::Arc, time::Duration};

use crate::{
    export::Exemplar,
    histogram,
    outcome::Ending,
    value::{Table, Value},
};

/// What the books of a [`Metrics`](super::Metrics) said at one moment.
///
/// While calls are running it is not a single instant: one that ends meanwhile may be in a histogram and not yet
/// in the outcomes, or the other way round.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Snapshot {
    /// The name of the books.
    pub name: Arc<str>,
    /// How many calls have begun: those that have ended and those in flight.
    pub started: u64,
    /// How many have not ended: for a streamed answer, until its body has.
    pub in_flight: u64,
    /// How the others ended.
    pub outcomes: Outcomes,
    /// The average duration to the headers of the last 100 calls that had an answer, in whole microseconds each;
    /// `None` if there was none.
    pub recent_latency: Option<Duration>,
    /// Durations to the headers, or to the answer where it has none. Calls dropped before that are missing.
    pub to_headers: histogram::Snapshot,
    /// Durations to the end of all the calls that have ended.
    pub to_end: histogram::Snapshot,
    pub(super) exemplars: [Option<Exemplar>; Ending::COUNT],
}

/// How many calls ended in which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outcomes {
    /// The service did its work.
    pub success: u64,
    /// The service, or the way to it, failed, or it asked for less (throttled): the caller went without.
    pub failure: u64,
    /// The answer says nothing about the service: the request was at fault (most 4xx).
    pub neutral: u64,
    /// A layer further in refused.
    pub rejected: u64,
    /// A layer further in cut the call off after its time limit.
    pub timed_out: u64,
    /// The caller gave up before the end.
    pub cancelled: u64,
    /// The service panicked.
    pub panicked: u64,
}

impl Outcomes {
    /// How many calls have ended.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.iter().map(|(_, count)| count).sum()
    }

    /// Each way to end with its count, in `snake_case` as in a metric's label.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        [
            (Ending::Success, self.success),
            (Ending::Failure, self.failure),
            (Ending::Neutral, self.neutral),
            (Ending::Rejected, self.rejected),
            (Ending::TimedOut, self.timed_out),
            (Ending::Cancelled, self.cancelled),
            (Ending::Panicked, self.panicked),
        ]
        .into_iter()
        .map(|(ending, count)| (ending.as_str(), count))
    }
}

impl Snapshot {
    /// Of each way to end the newest call that did, as far as there is one: an [outcome](Outcomes::iter) and a trace. Only
    /// with [`exemplars`](super::Metrics::with_exemplars).
    pub fn exemplars(&self) -> impl Iterator<Item = (&'static str, Exemplar)> {
        let outcomes = self.outcomes.iter().map(|(outcome, _)| outcome);
        outcomes
            .zip(self.exemplars)
            .filter_map(|(outcome, exemplar)| Some((outcome, exemplar?)))
    }

    /// How many calls have ended.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.outcomes.total()
    }

    /// How many of them ended in an error for the caller: failed, rejected, timed out or panicked. It does not
    /// matter to the caller that a rejection is no fault of the service.
    #[must_use]
    pub fn errors(&self) -> u64 {
        let o = &self.outcomes;
        o.failure + o.rejected + o.timed_out + o.panicked
    }

    /// Which part of the calls succeeded, 0 to 1, of those that either did or ended in an
    /// [error](Self::errors); neutral and cancelled calls say nothing. 1 if there was none.
    #[must_use]
    pub fn success_rate(&self) -> f64 {
        match self.outcomes.success + self.errors() {
            0 => 1.0,
            judged => self.outcomes.success as f64 / judged as f64,
        }
    }

    /// Writes the snapshot as plain data: `successRate`, `avgLatency` (to the headers, the last 100 calls; 0 if
    /// there was none), `requests`, `errors`, `inFlight`, `outcomes`, `latency` (to the headers) and
    /// `latencyToEnd`, both with `p50`, `p95` and `p99` (`null` if there was none), `count`, and `buckets`: those that
    /// are not empty, each its middle and how many were in it. Times are in milliseconds.
    pub fn describe(&self, state: &mut Table) {
        state.insert("successRate", self.success_rate());
        state.insert("avgLatency", self.recent_latency.map_or(0.0, millis));
        state.insert("requests", self.requests());
        state.insert("errors", self.errors());
        state.insert("inFlight", self.in_flight);
        let o = &self.outcomes;
        state.insert(
            "outcomes",
            Table::new()
                .with("success", o.success)
                .with("failure", o.failure)
                .with("neutral", o.neutral)
                .with("rejected", o.rejected)
                .with("timedOut", o.timed_out)
                .with("cancelled", o.cancelled)
                .with("panicked", o.panicked),
        );
        state.insert("latency", durations(&self.to_headers));
        state.insert("latencyToEnd", durations(&self.to_end));
    }
}

fn durations(histogram: &histogram::Snapshot) -> Table {
    let at = |q| Value::from(histogram.quantile(q).map(millis));
    let buckets = histogram.buckets().filter(|bucket| bucket.count > 0);
    let buckets =
        buckets.map(|bucket| Value::List(vec![millis(bucket.midpoint()).into(), bucket.count.into()]));
    Table::new()
        .with("p50", at(0.50))
        .with("p95", at(0.95))
        .with("p99", at(0.99))
        .with("count", histogram.count())
        .with("buckets", buckets.collect::<Vec<_>>())
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
