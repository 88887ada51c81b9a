use std::sync::atomic::Ordering::Relaxed;

use super::shared::{Shared, book};
use crate::export::{Family, Samples};

static ALLOWED: Family = Family::counter("rate_limit_allowed", "Calls that were let through");
static LIMITED: Family = Family::counter("rate_limit_limited", "Calls that were refused");
static WAITED: Family = Family::counter("rate_limit_waited", "Calls that had to wait for their turn");
static REFUNDED: Family = Family::counter(
    "rate_limit_refunded",
    "Calls that were let through, were not made, and gave their permits back",
);
static WAITING: Family = Family::gauge("rate_limit_waiting", "Calls that wait for their turn");
static REMAINING: Family = Family::gauge("rate_limit_remaining", "Permits that can be had at once");
static KEYS: Family = Family::gauge("rate_limit_keys", "Keys that have a limit each");
static OVERFLOWED: Family = Family::counter(
    "rate_limit_overflowed",
    "New keys that found no room and share the overflow limit",
);

pub(crate) static FAMILIES: &[&Family] = &[
    &ALLOWED,
    &LIMITED,
    &WAITED,
    &REFUNDED,
    &WAITING,
    &REMAINING,
    &KEYS,
    &OVERFLOWED,
];

pub(super) fn write(shared: &Shared, name: &str, samples: &mut Samples) {
    let name = ("name", name);
    for (family, book) in [
        (&ALLOWED, book::ALLOWED),
        (&LIMITED, book::LIMITED),
        (&WAITED, book::WAITED),
        (&REFUNDED, book::REFUNDED),
    ] {
        samples.counter(family, &[name], shared.books.total(book));
    }
    samples.gauge(&WAITING, &[name], shared.waiting.load(Relaxed) as f64);
    #[cfg(feature = "keyed")]
    if let Some(keys) = &shared.keys {
        // What is left is each key's own, and a key is no label.
        samples.gauge(&KEYS, &[name], keys.len() as f64);
        samples.counter(&OVERFLOWED, &[name], keys.overflowed());
        return;
    }
    let quota = shared.one.quota(shared.now());
    samples.gauge(&REMAINING, &[name], quota.remaining as f64);
}
