use std::sync::Arc;

use super::{Outcomes, Snapshot, exemplars::Exemplars, recent::Recent};
use crate::{histogram::Histogram, outcome::Ending, striped::Striped};

/// The counter after those of the [`Ending`]s, whose numbers are their own.
const STARTED: usize = Ending::COUNT;

/// What the calls of one policy came to.
///
/// How many are running is not counted but follows from the others, so a call that is counted as begun and as
/// ended can neither be forgotten nor go below zero.
///
/// Most calls have no headers apart from their end, so those are in a histogram of their own, once, instead of in
/// two: the two that are shown are sums with it.
pub(super) struct Books {
    counts: Striped<8>,
    /// Answers that came and ended in one.
    at_once: Histogram,
    /// The headers of answers that went on after them.
    headers: Histogram,
    /// The ends of those, and of calls that were dropped.
    end: Histogram,
    recent: Recent,
    pub(super) exemplars: Exemplars,
}

impl Books {
    pub(super) fn new() -> Self {
        Self {
            counts: Striped::new(),
            at_once: Histogram::new(),
            headers: Histogram::new(),
            end: Histogram::new(),
            recent: Recent::new(),
            exemplars: Exemplars::new(),
        }
    }

    #[inline]
    pub(super) fn started(&self) {
        self.counts.add(STARTED, 1);
    }

    /// A call that had begun here has turned out to belong into other books.
    #[cfg(feature = "keyed")]
    pub(super) fn left(&self) {
        // One fewer: it is its own addition that is taken back.
        self.counts.add(STARTED, u64::MAX);
    }

    /// The headers have come and the end has not.
    #[inline]
    pub(super) fn headers_came(&self, nanos: u64) {
        self.headers.record_nanos(nanos);
        self.recent.record(nanos);
    }

    /// The answer came and ended in one.
    #[inline]
    pub(super) fn ended_at_once(&self, ending: Ending, nanos: u64) {
        self.at_once.record_nanos(nanos);
        self.recent.record(nanos);
        self.counts.add(ending as usize, 1);
    }

    /// The call ended after its headers, or without any answer at all.
    #[inline]
    pub(super) fn ended(&self, ending: Ending, nanos: u64) {
        self.end.record_nanos(nanos);
        self.counts.add(ending as usize, 1);
    }

    pub(super) fn snapshot(&self, name: Arc<str>) -> Snapshot {
        let count = |ending: Ending| self.counts.total(ending as usize);
        let outcomes = Outcomes {
            success: count(Ending::Success),
            failure: count(Ending::Failure),
            neutral: count(Ending::Neutral),
            rejected: count(Ending::Rejected),
            timed_out: count(Ending::TimedOut),
            cancelled: count(Ending::Cancelled),
            panicked: count(Ending::Panicked),
        };
        // The beginnings are read after the ends, so that calls which begin and end meanwhile are running rather
        // than fewer than none.
        let in_flight = self.counts.total(STARTED).saturating_sub(outcomes.total());
        let at_once = self.at_once.snapshot();
        let [to_headers, to_end] = [&self.headers, &self.end].map(|histogram| {
            let mut both = histogram.snapshot();
            both.merge(&at_once);
            both
        });
        Snapshot {
            name,
            started: outcomes.total() + in_flight,
            in_flight,
            outcomes,
            recent_latency: self.recent.average(),
            to_headers,
            to_end,
            exemplars: self.exemplars.read(),
        }
    }
}
