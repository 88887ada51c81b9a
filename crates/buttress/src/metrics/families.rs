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

pub(super) fn write(snapshot: &Snapshot, stack: &str, samples: &mut Samples) {
    let stack = ("stack", stack);
    for (outcome, count) in snapshot.outcomes.iter() {
        samples.counter(&REQUESTS, &[stack, ("outcome", outcome)], count);
    }
    samples.counter(&ERRORS, &[stack], snapshot.errors());
    samples.gauge(&IN_FLIGHT, &[stack], snapshot.in_flight as f64);
    samples.durations(&TO_HEADERS, &[stack], snapshot.to_headers.clone());
    samples.durations(&TO_END, &[stack], snapshot.to_end.clone());
}
