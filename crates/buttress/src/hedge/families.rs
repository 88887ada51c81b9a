use super::shared::{Shared, book};
use crate::export::{Family, Samples};

static CALLS: Family = Family::counter("hedge_calls", "Calls that came in");
static ATTEMPTS: Family = Family::counter("hedge_attempts", "Attempts that were made at them");
static AFTER_FAILURE: Family = Family::counter(
    "hedge_after_failure",
    "Second attempts that were made because the first had failed, and not because it was slow",
);
static WON: Family = Family::counter("hedge_won", "Calls that were answered by their second attempt");
static NOT_MADE: Family = Family::counter("hedge_not_made", "Second attempts that were not made, by why");
static DELAY: Family = Family::gauge("hedge_delay_seconds", "How long a first attempt may take");
static BALANCE: Family = Family::gauge(
    "hedge_budget_balance",
    "Second attempts that the budget allows at once",
);

pub(crate) static FAMILIES: &[&Family] = &[
    &CALLS,
    &ATTEMPTS,
    &AFTER_FAILURE,
    &WON,
    &NOT_MADE,
    &DELAY,
    &BALANCE,
];

const REASONS: [(&str, usize); 3] = [
    ("out_of_time", book::OUT_OF_TIME),
    ("out_of_budget", book::OUT_OF_BUDGET),
    ("not_repeatable", book::NOT_REPEATABLE),
];

pub(super) fn write(shared: &Shared, name: &str, samples: &mut Samples) {
    let name = ("name", name);
    let total = |book| shared.books.total(book);
    // Second attempts first, so that there are never fewer attempts than calls.
    let hedges = total(book::HEDGES);
    let calls = total(book::CALLS);
    samples.counter(&CALLS, &[name], calls);
    samples.counter(&ATTEMPTS, &[name], calls + hedges);
    samples.counter(&AFTER_FAILURE, &[name], total(book::AFTER_FAILURE));
    samples.counter(&WON, &[name], total(book::WON));
    for (reason, book) in REASONS {
        samples.counter(&NOT_MADE, &[name, ("reason", reason)], total(book));
    }
    let now = shared.snapshot();
    if let Some(delay) = now.delay {
        samples.gauge(&DELAY, &[name], delay.as_secs_f64());
    }
    if let Some(balance) = now.budget_balance {
        samples.gauge(&BALANCE, &[name], balance);
    }
}
