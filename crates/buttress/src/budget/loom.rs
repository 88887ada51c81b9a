//! Every interleaving of a budget's atomics, explored by loom on the very source that runs.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p buttress --lib --release loom_`

use std::time::Duration;

use loom::{
    model::Builder,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
};

use super::{Budget, Purse};
use crate::clock;

/// Two threads of two withdrawals each have too many interleavings for all of them: those of at most three preemptions.
fn model(check: impl Fn() + Sync + Send + 'static) {
    let mut bounded = Builder::new();
    bounded.preemption_bound = Some(3);
    bounded.check(check);
}

fn granted_to_two(budget: Budget, calls: [u64; 2], after: [Duration; 2]) -> usize {
    let now = clock::now();
    let shared = Arc::new((Purse::new(), AtomicUsize::new(0)));
    let take = move |(purse, granted): &(Purse, AtomicUsize), i: usize| {
        for _ in 0..2 {
            if purse.withdraw(&budget, now + after[i], calls[i]) {
                granted.fetch_add(1, SeqCst);
            }
        }
    };
    let other = shared.clone();
    let handle = thread::spawn(move || take(&other, 1));
    take(&shared, 0);
    handle.join().expect("no panic");
    shared.1.load(SeqCst)
}

#[test]
fn loom_what_was_earned_is_spent_once() {
    model(|| {
        // Ten calls, of which each thread has seen some: half a retry each.
        let granted = granted_to_two(Budget::new(0.2, 0), [5, 10], [Duration::ZERO; 2]);
        assert!((1..=2).contains(&granted), "{granted}");
    });
}

#[test]
fn loom_a_free_one_is_taken_once() {
    model(|| {
        let granted = granted_to_two(Budget::new(0.0, 3), [0, 0], [Duration::ZERO; 2]);
        assert_eq!(granted, 3);
    });
}

#[test]
fn loom_the_calls_of_a_month_never_pass_for_those_of_an_instant() {
    const MONTH: Duration = Duration::from_secs(30 * 24 * 3600);
    model(|| {
        // A million calls in a month are less than one in a second: whoever claims them, nobody gets rich.
        let granted = granted_to_two(Budget::new(0.2, 0), [1_000_000, 1_000_001], [MONTH; 2]);
        assert_eq!(granted, 0);
    });
}
