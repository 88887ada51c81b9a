use super::shared::{Shared, book};
use crate::export::{Family, Samples};

static CALLS: Family = Family::counter("retry_calls", "Calls that came in");
static ATTEMPTS: Family = Family::counter("retry_attempts", "Attempts that were made at them");
static RECOVERED: Family = Family::counter(
    "retry_recovered",
    "Calls that failed at first, and then succeeded",
);
static GIVEN_UP: Family = Family::counter("retry_given_up", "Failures that got no other attempt, by why");
static BALANCE: Family = Family::gauge("retry_budget_balance", "Retries that the budget allows at once");

pub(crate) static FAMILIES: &[&Family] = &[&CALLS, &ATTEMPTS, &RECOVERED, &GIVEN_UP, &BALANCE];

const REASONS: [(&str, usize); 5] = [
    ("out_of_attempts", book::OUT_OF_ATTEMPTS),
    ("out_of_time", book::OUT_OF_TIME),
    ("out_of_budget", book::OUT_OF_BUDGET),
    ("forbidden", book::FORBIDDEN),
    ("not_repeatable", book::NOT_REPEATABLE),
];

pub(super) fn write(shared: &Shared, name: &str, samples: &mut Samples) {
    let name = ("name", name);
    let total = |book| shared.books.total(book);
    // Retries first, so that there are never fewer attempts than calls.
    let retries = total(book::RETRIES);
    let calls = total(book::CALLS);
    samples.counter(&CALLS, &[name], calls);
    samples.counter(&ATTEMPTS, &[name], calls + retries);
    samples.counter(&RECOVERED, &[name], total(book::RECOVERED));
    for (reason, book) in REASONS {
        samples.counter(&GIVEN_UP, &[name, ("reason", reason)], total(book));
    }
    if let Some(balance) = shared.snapshot().budget_balance {
        samples.gauge(&BALANCE, &[name], balance);
    }
}
