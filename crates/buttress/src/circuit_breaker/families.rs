use super::{
    core::{Core, book},
    state::State,
};
use crate::export::{Family, Samples};

static STATE: Family = Family::gauge(
    "circuit_breaker_state",
    "1 for the state that the breaker is in, else 0",
);
static CALLS: Family = Family::counter(
    "circuit_breaker_calls",
    "Calls that were let through, by what they said",
);
static REJECTED: Family = Family::counter("circuit_breaker_rejected", "Calls that were refused");
static SLOW: Family = Family::counter("circuit_breaker_slow_calls", "Calls that were slow");
static TRANSITIONS: Family =
    Family::counter("circuit_breaker_transitions", "Changes of state, by the new one");
static KEYS: Family = Family::gauge(
    "keyed_circuit_breaker_keys",
    "Keys that have a breaker, by the state that it is in",
);
static OVERFLOWED: Family = Family::counter(
    "keyed_circuit_breaker_overflowed",
    "New keys that found no room and share the overflow breaker",
);

pub(crate) static FAMILIES: &[&Family] =
    &[&STATE, &CALLS, &REJECTED, &SLOW, &TRANSITIONS, &KEYS, &OVERFLOWED];

const OUTCOMES: [(&str, usize); 6] = [
    ("success", book::SUCCESS),
    ("failure", book::FAILURE),
    ("throttled", book::THROTTLED),
    ("neutral", book::NEUTRAL),
    ("cancelled", book::CANCELLED),
    ("stale", book::STALE),
];

impl State {
    /// As a label.
    const fn label(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
            Self::ForcedOpen => "forced_open",
            Self::Disabled => "disabled",
            Self::MetricsOnly => "metrics_only",
        }
    }
}

pub(super) fn write(core: &Core, state: State, name: &str, samples: &mut Samples) {
    let name = ("name", name);
    for each in State::ALL {
        let labels = [name, ("state", each.label())];
        samples.gauge(&STATE, &labels, f64::from(u8::from(each == state)));
        let labels = [name, ("to", each.label())];
        samples.counter(&TRANSITIONS, &labels, core.entries(each));
    }
    for (outcome, book) in OUTCOMES {
        samples.counter(&CALLS, &[name, ("outcome", outcome)], core.books.total(book));
    }
    samples.counter(&REJECTED, &[name], core.books.total(book::REJECTED));
    samples.counter(&SLOW, &[name], core.books.total(book::SLOW));
}

/// Of breakers by key: how many are in which state.
#[cfg(feature = "keyed")]
pub(super) fn write_keyed(
    states: impl Iterator<Item = State>,
    overflowed: u64,
    name: &str,
    samples: &mut Samples,
) {
    let mut counts = [0_u32; State::ALL.len()];
    states.for_each(|state| counts[state as usize] += 1);
    for state in State::ALL {
        let labels = [("name", name), ("state", state.label())];
        samples.gauge(&KEYS, &labels, counts[state as usize].into());
    }
    samples.counter(&OVERFLOWED, &[("name", name)], overflowed);
}
