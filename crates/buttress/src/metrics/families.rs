use super::Snapshot;
use crate::export::{Family, Samples};

static REQUESTS: Family = Family::counter("requests", "Calls that have ended, by how they did");
static ERRORS: Family = Family::counter("request_errors", "Calls that ended in an error for the caller");
static IN_FLIGHT: Family = Family::gauge("requests_in_flight", "Calls that have not ended");
static TO_HEADERS: Family = Family::durations(
    "request_duration",
    "Time to the headers of the answer, or to the answer where it has none",
);
static TO_END: Family = Family::durations("request_duration_to_end", "Time to the end of the answer's body");

pub(crate) static FAMILIES: &[&Family] = &[&REQUESTS, &ERRORS, &IN_FLIGHT, &TO_HEADERS, &TO_END];

pub(super) fn write(snapshot: &Snapshot, stack: &str, route: Option<&str>, samples: &mut Samples) {
    let labels = [("stack", stack), ("route", route.unwrap_or_default())];
    let labels = if route.is_some() {
        &labels[..]
    } else {
        &labels[..1]
    };
    for ((outcome, count), exemplar) in snapshot.outcomes.iter().zip(snapshot.exemplars) {
        let labels = [labels, &[("outcome", outcome)]].concat();
        samples.counter_with(&REQUESTS, &labels, count, exemplar);
    }
    samples.counter(&ERRORS, labels, snapshot.errors());
    samples.gauge(&IN_FLIGHT, labels, snapshot.in_flight as f64);
    samples.durations(&TO_HEADERS, labels, snapshot.to_headers.clone());
    samples.durations(&TO_END, labels, snapshot.to_end.clone());
}
