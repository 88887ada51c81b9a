use super::books::Books;
use crate::export::{Family, Samples};

static ANSWERED: Family = Family::counter(
    "fallback_answered",
    "Calls that it answered, by what they had ended in",
);
static UNANSWERED: Family = Family::counter(
    "fallback_unanswered",
    "Calls that were for it to answer, and that it did not, by why",
);

pub(crate) static FAMILIES: &[&Family] = &[&ANSWERED, &UNANSWERED];

pub(super) fn write(books: &Books, name: &str, samples: &mut Samples) {
    let name = ("name", name);
    let (answered, [declined, failed, not_repeatable]) = books.totals();
    for (cause, count) in answered {
        samples.counter(&ANSWERED, &[name, ("cause", cause)], count);
    }
    for (reason, count) in [
        ("declined", declined),
        ("failed", failed),
        ("not_repeatable", not_repeatable),
    ] {
        samples.counter(&UNANSWERED, &[name, ("reason", reason)], count);
    }
}
