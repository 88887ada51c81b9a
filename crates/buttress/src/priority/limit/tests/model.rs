//! Adaptive limits over long random histories, against naive ones: what a queue tells its limit of each call, and what
//! each algorithm makes of it.
//!
//! `PROPTEST_CASES=10000 cargo test -p buttress --all-features --lib limit::tests::model` looks further.

use proptest::prelude::*;

use super::*;

mod algorithms;
mod naive;
mod queue;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// The bounds of a limit, and what it is at first.
fn bounds() -> impl Strategy<Value = (u32, u32, u32)> {
    (1..10_u32, 0..60_u32, 0..60_u32)
        .prop_map(|(min, initial, more)| (min, min + initial, min + initial + more))
}

fn within(adaptive: Adaptive, (min, initial, max): (u32, u32, u32)) -> Adaptive {
    adaptive.min(min).initial(initial).max(max)
}
