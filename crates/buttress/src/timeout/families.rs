use super::{DEADLINE, Snapshot};
use crate::export::{Family, Samples};

static TIMEOUTS: Family = Family::counter(
    "timeouts",
    "Calls and bodies that were cut off, by the limit that they hit",
);
static EXPIRED: Family = Family::counter(
    "deadlines_expired",
    "Calls that were not made because their deadline had passed",
);

pub(crate) static FAMILIES: &[&Family] = &[&TIMEOUTS, &EXPIRED];

/// Of one of the two policies: a stack has both, under one name.
pub(super) fn write(totals: &Snapshot, policy: &str, name: &str, samples: &mut Samples) {
    let name = ("name", name);
    let limits: &[(&str, u64)] = if policy == DEADLINE {
        &[
            ("deadline", totals.timed_out),
            ("deadline_in_body", totals.body_total),
        ]
    } else {
        &[
            ("attempt", totals.timed_out),
            ("body_idle", totals.body_idle),
            ("body_total", totals.body_total),
        ]
    };
    for (limit, count) in limits {
        samples.counter(&TIMEOUTS, &[name, ("limit", limit)], *count);
    }
    samples.counter(&EXPIRED, &[name, ("policy", policy)], totals.deadline_expired);
}
