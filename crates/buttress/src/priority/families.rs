use super::{
    Priority,
    class::BANDS,
    shared::{Shared, book},
};
use crate::export::{Family, Samples};

static LIMIT: Family = Family::gauge("priority_limit", "Calls that may run at a time");
static RUNNING: Family = Family::gauge("priority_running", "Calls that run");
static QUEUED: Family = Family::gauge("priority_queued", "Calls that wait, by class");
static WAIT: Family = Family::durations(
    "priority_wait",
    "How long those who had to wait and then ran have waited",
);
static CALLS: Family = Family::counter(
    "priority_calls",
    "Calls that were not refused, by what became of them",
);
static REJECTED: Family = Family::counter("priority_rejected", "Calls that were refused, by why");
static DISPLACED: Family = Family::counter(
    "priority_displaced",
    "Calls that had to leave the line for more important ones",
);
static SHED_BELOW: Family = Family::gauge(
    "priority_shed_below",
    "The class below which the load has calls refused; 0 for none",
);

pub(crate) static FAMILIES: &[&Family] = &[
    &LIMIT,
    &RUNNING,
    &QUEUED,
    &WAIT,
    &CALLS,
    &REJECTED,
    &DISPLACED,
    &SHED_BELOW,
];

const OUTCOMES: [(&str, usize); 4] = [
    ("completed", book::COMPLETED),
    ("failed", book::FAILED),
    ("cancelled", book::CANCELLED),
    ("left", book::LEFT),
];

const REASONS: [(&str, usize); 4] = [
    ("full", book::FULL),
    ("timeout", book::LATE),
    ("deadline", book::EXPIRED),
    ("shed", book::SHED),
];

pub(super) fn write(shared: &Shared, name: &str, samples: &mut Samples) {
    let name = ("name", name);
    let word = shared.word();
    samples.gauge(&LIMIT, &[name], word.limit().into());
    samples.gauge(&RUNNING, &[name], word.taken().into());
    let mut queued = [0_usize; BANDS];
    for (class, count) in shared.queued() {
        queued[class.index()] += count;
    }
    for (index, (class, _)) in Priority::bands().enumerate() {
        let labels = [name, ("class", class)];
        samples.gauge(&QUEUED, &labels, queued[index] as f64);
        samples.durations(&WAIT, &labels, shared.waits[index].snapshot());
    }
    for (outcome, book) in OUTCOMES {
        samples.counter(&CALLS, &[name, ("outcome", outcome)], shared.books.total(book));
    }
    for (reason, book) in REASONS {
        samples.counter(&REJECTED, &[name, ("reason", reason)], shared.books.total(book));
    }
    samples.counter(&DISPLACED, &[name], shared.displaced.total(0));
    let threshold = shared.load_threshold().map_or(0, Priority::get);
    samples.gauge(&SHED_BELOW, &[name], threshold.into());
}
