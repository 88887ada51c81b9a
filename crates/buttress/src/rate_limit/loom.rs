//! Every interleaving of a limit's word, and of its line, explored by loom on the very source that runs.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p buttress --lib --release loom_`

use std::{
    sync::Arc as StdArc,
    task::{Wake, Waker},
    time::Duration,
};

use loom::{
    model::Builder,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
};

use super::{
    Algorithm, Limit,
    cell::{Cell, NotNow},
    rules::{Rule, Rules},
    spot::Spot,
    tariff::Tariff,
};
use crate::{
    clock,
    wait_line::{Standing, Waiter},
};

/// All interleavings of at most three preemptions.
fn model(check: impl Fn() + Sync + Send + 'static) {
    let mut bounded = Builder::new();
    bounded.preemption_bound = Some(3);
    bounded.check(check);
}

const SECOND: u64 = 1_000_000_000;

fn limited(permits: u64, algorithm: Algorithm) -> (Rules, Cell) {
    let rules = Rules::new(Rule::of(&Limit::per_second(permits), algorithm));
    let cell = Cell::new(algorithm, &rules);
    (rules, cell)
}

fn together<S: Send + Sync + 'static>(shared: S, each: [fn(&S) -> usize; 2]) -> (Arc<S>, usize) {
    let shared = Arc::new(shared);
    let other = shared.clone();
    let handle = thread::spawn(move || each[1](&other));
    let mine = each[0](&shared);
    let theirs = handle.join().expect("no panic");
    (shared, mine + theirs)
}

fn take(rules: &Rules, cell: &Cell, now: u64) -> usize {
    usize::from(cell.charge(rules, now, 1).is_ok())
}

#[test]
fn loom_no_permit_is_had_twice() {
    for algorithm in [Algorithm::TokenBucket, Algorithm::SlidingWindowCounter] {
        model(move || {
            let twice = |(rules, cell): &(Rules, Cell)| take(rules, cell, 0) + take(rules, cell, 1);
            let (_, granted) = together(limited(3, algorithm), [twice, twice]);
            assert_eq!(granted, 3, "{algorithm}");
        });
    }
}

#[test]
fn loom_what_is_given_back_is_had_once() {
    model(|| {
        let give = |(rules, cell): &(Rules, Cell)| {
            let at = cell.charge(rules, 0, 1).ok();
            if let Some(at) = at {
                cell.give_back(rules, 0, at, 1);
            }
            0
        };
        let keep = |(rules, cell): &(Rules, Cell)| take(rules, cell, 0) + take(rules, cell, 0);
        let (shared, kept) = together(limited(2, Algorithm::TokenBucket), [give, keep]);
        let (rules, cell) = &*shared;
        let left = (0..3).map(|_| take(rules, cell, 0)).sum::<usize>();
        assert_eq!(kept + left, 2);
    });
}

#[test]
fn loom_a_change_of_the_rule_forgets_nothing_that_was_taken() {
    model(|| {
        let take = |(rules, cell): &(Rules, Cell)| take(rules, cell, 0) + take(rules, cell, 0);
        let change = |(rules, cell): &(Rules, Cell)| {
            // The same burst in other units: whoever mixed the two would have more, or none.
            let other = Limit::new(2, Duration::from_nanos(7 * SECOND));
            rules.change(Rule::of(&other, Algorithm::TokenBucket));
            cell.refresh(rules, 0);
            0
        };
        let (shared, granted) = together(limited(2, Algorithm::TokenBucket), [take, change]);
        let (rules, cell) = &*shared;
        assert_eq!(granted, 2);
        assert!(cell.charge(rules, 0, 1).is_err());
        assert!(cell.charge(rules, 3 * SECOND + SECOND / 2, 1).is_ok());
    });
}

#[cfg(feature = "keyed")]
#[test]
fn loom_a_cell_is_given_up_or_used_but_not_both() {
    model(|| {
        let shared = Arc::new((limited(1, Algorithm::TokenBucket), AtomicUsize::new(0)));
        let other = shared.clone();
        let sweep = thread::spawn(move || {
            let ((rules, cell), _) = &*other;
            cell.seal(rules, 0)
        });
        let ((rules, cell), sealed) = &*shared;
        let charged = cell.charge(rules, 0, 1);
        if charged == Err(NotNow::Sealed) {
            sealed.store(1, SeqCst);
        }
        let given_up = sweep.join().expect("no panic");
        assert_eq!(given_up, charged.is_err());
        assert_eq!(given_up, sealed.load(SeqCst) == 1);
    });
}

struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: StdArc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

/// The first in the line leaves, while the second looks: it learns that it is the first now, or is woken.
#[test]
fn loom_the_next_in_the_line_is_told() {
    model(|| {
        let tariff = Tariff::new(Limit::per_second(1), Algorithm::TokenBucket, clock::now());
        let spot = Arc::new(Spot::new(StdArc::new(tariff)));
        let waiter = Waiter {
            class: 0,
            weight: 1,
            entered: clock::now(),
            until: None,
        };
        let first = spot.line.open().enter(waiter);
        let mut second = Some(spot.line.open().enter(waiter));
        let other = spot.clone();
        let leaving = thread::spawn(move || {
            let _ = other.line.leave(first);
        });
        let count = StdArc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(count.clone());
        let standing = spot.line.look(&mut second, &waker);
        leaving.join().expect("no panic");
        assert!(standing == Standing::First || count.0.load(SeqCst) > 0);
        assert_eq!(spot.line.look(&mut second, &waker), Standing::First);
        if let Some(ticket) = second.take() {
            let _ = spot.line.leave(ticket);
        }
        assert!(
            spot.charge(0, 1).is_ok(),
            "newcomers have the line to themselves again"
        );
    });
}
