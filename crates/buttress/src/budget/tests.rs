use proptest::prelude::*;

use super::*;

/// Every look there ever was, in floating point: what the two words of a [`Purse`] stand for.
struct Naive {
    budget: Budget,
    /// When, and by how much what was earned changed then.
    changes: Vec<(f64, f64)>,
    last_look: f64,
    last_calls: u64,
    free: Vec<f64>,
}

impl Naive {
    fn new(budget: Budget) -> Self {
        Self {
            budget,
            changes: Vec::new(),
            last_look: 0.0,
            last_calls: 0,
            free: Vec::new(),
        }
    }

    fn earned(&self, now: f64) -> f64 {
        self.changes.iter().map(|(at, by)| by * (at - now).exp()).sum()
    }

    fn look(&mut self, now: f64, calls: u64) {
        // Evenly spread, in parts that are small beside a second.
        let new = (calls - self.last_calls) as f64;
        let (span, parts) = (now - self.last_look, 400);
        let recent = span.min(20.0);
        for i in 0..parts {
            let at = now - recent * (f64::from(i) + 0.5) / f64::from(parts);
            let share = if span > 0.0 { recent / span } else { 1.0 };
            self.changes
                .push((at, self.budget.ratio * new * share / f64::from(parts)));
        }
        (self.last_look, self.last_calls) = (now, calls);
        self.changes.retain(|(at, _)| now - at < 20.0);
    }

    /// Is there an earned one, as far as that can be told?
    fn has_earned(&self, now: f64) -> Option<bool> {
        let earned = self.earned(now);
        // Rounding down, and the parts.
        let blur = 0.02 + 0.01 * earned;
        if earned > 1.0 + blur {
            Some(true)
        } else if earned < 1.0 - blur {
            Some(false)
        } else {
            None
        }
    }

    fn has_free(&mut self, now: f64) -> bool {
        let all = self.free.len() == self.budget.min_per_second as usize;
        let began = if all { self.free.last() } else { self.free.first() };
        let over = began.is_none_or(|began| now >= began + 1.0);
        if over {
            self.free.clear();
        }
        self.free.len() < self.budget.min_per_second as usize
    }
}

/// So many calls after so many ticks of 16 ms, then perhaps a retry.
fn steps() -> impl Strategy<Value = Vec<(u64, u64, bool)>> {
    let ticks = prop_oneof![Just(0), 0..4_u64, 0..200_u64, Just(162_000_000)];
    let calls = prop_oneof![0..3_u64, 0..50_u64, 0..300_u64];
    prop::collection::vec((ticks, calls, prop::bool::weighted(0.8)), 1..100)
}

proptest! {
    #[test]
    fn the_budget_follows_a_naive_model(
        steps in steps(),
        ratio in prop_oneof![Just(0.0), Just(0.2), 0.01..1.0_f64],
        min in 0..12_u32,
    ) {
        let budget = Budget::new(ratio, min);
        let (purse, born) = at_birth();
        let mut naive = Naive::new(budget);
        let (mut ticks, mut calls) = (0, 0);
        for (later, more, retry) in steps {
            ticks += later;
            calls += more;
            let age = Duration::from_millis(16 * ticks);
            // Like the purse, the model knows when a second begins to a millisecond: all steps are of 16.
            let at = age.as_secs_f64();
            naive.look(at, calls);
            if !retry {
                purse.look(&budget, born + age, calls);
                continue;
            }
            let free_before = purse.free.load(Relaxed);
            let granted = purse.withdraw(&budget, born + age, calls);
            let was_free = purse.free.load(Relaxed) != free_before;
            let free = naive.has_free(at);
            let earned = naive.earned(at);
            match naive.has_earned(at) {
                Some(true) => prop_assert_eq!((granted, was_free), (true, false), "{} earned", earned),
                Some(false) => prop_assert_eq!((granted, was_free), (free, free), "{} earned", earned),
                None => {}
            }
            if was_free {
                naive.free.push(at);
            } else if granted {
                naive.changes.push((at, -1.0));
            }
        }
    }

    #[test]
    fn never_more_than_the_share_and_the_free_ones(steps in steps(), ratio in 0.0..1.0_f64, min in 0..12_u32) {
        let budget = Budget::new(ratio, min);
        let (purse, born) = at_birth();
        let (mut ticks, mut calls, mut granted) = (0, 0, 0);
        let mut seconds: u64 = 0;
        let mut second_began = None;
        for (later, more, retry) in steps {
            ticks += later;
            calls += more;
            let now = born + Duration::from_millis(16 * ticks);
            if second_began.is_none_or(|began| 16 * (ticks - began) >= 1000) {
                second_began = Some(ticks);
                seconds += 1;
            }
            // All that there is: with one at a time the share would never be reached.
            granted += if retry { withdrawals(&purse, &budget, now, calls) } else { 0 };
            prop_assert!(granted as f64 <= ratio * calls as f64 + (u64::from(min) * seconds) as f64 + 1e-6);
        }
    }
}

fn at_birth() -> (Purse, Instant) {
    let purse = Purse::new();
    let born = purse.born;
    (purse, born)
}

fn withdrawals(purse: &Purse, budget: &Budget, now: Instant, calls: u64) -> usize {
    (0..10_000)
        .take_while(|_| purse.withdraw(budget, now, calls))
        .count()
}

const STANDARD: Budget = Budget::new(0.2, 10);

#[test]
fn a_quiet_service_has_its_ten_a_second() {
    let (purse, born) = at_birth();
    for second in [0, 1, 2, 7] {
        let now = born + Duration::from_millis(second * 1000);
        assert_eq!(withdrawals(&purse, &STANDARD, now, 0), 10);
        assert_eq!(
            withdrawals(&purse, &STANDARD, now + Duration::from_millis(999), 0),
            0
        );
    }
}

#[test]
fn the_second_begins_with_the_first_that_is_taken() {
    let (purse, born) = at_birth();
    assert_eq!(
        withdrawals(&purse, &STANDARD, born + Duration::from_millis(700), 0),
        10
    );
    assert_eq!(
        withdrawals(&purse, &STANDARD, born + Duration::from_millis(1699), 0),
        0
    );
    assert_eq!(
        withdrawals(&purse, &STANDARD, born + Duration::from_millis(1700), 0),
        10
    );
}

#[test]
fn the_free_ones_of_two_seconds_never_come_at_once() {
    let (purse, born) = at_birth();
    let at = |millis| born + Duration::from_millis(millis);
    assert!(purse.withdraw(&STANDARD, at(0), 0));
    assert_eq!(withdrawals(&purse, &STANDARD, at(999), 0), 9);
    assert_eq!(withdrawals(&purse, &STANDARD, at(1998), 0), 0);
    assert_eq!(withdrawals(&purse, &STANDARD, at(1999), 0), 10);
}

#[test]
fn calls_that_fail_all_at_once_have_earned_their_share() {
    let (purse, born) = at_birth();
    assert_eq!(withdrawals(&purse, &STANDARD, born, 1000), 200 + 10);
}

#[test]
fn savings_melt_in_about_a_second() {
    let (purse, born) = at_birth();
    let budget = Budget::new(0.2, 0);
    purse.look(&budget, born, 5000);
    let left = |millis| purse.balance(&budget, born + Duration::from_millis(millis), 5000);
    assert!((left(0) - 1000.0).abs() < 1.0);
    assert!((left(700) - 500.0).abs() < 20.0, "{}", left(700));
    assert!((left(4600) - 10.0).abs() < 1.0, "{}", left(4600));
}

#[test]
fn an_hour_of_steady_calls_saves_the_share_of_a_second() {
    let (purse, born) = at_birth();
    let budget = Budget::new(0.2, 0);
    let mut calls = 0;
    for second in 1..3600 {
        calls += 1000;
        purse.look(&budget, born + Duration::from_secs(second), calls);
    }
    let saved = withdrawals(&purse, &budget, born + Duration::from_secs(3599), calls);
    assert!((190..=200).contains(&saved), "{saved}");
    // And so it does if nobody looked for that hour.
    let (purse, born) = at_birth();
    let saved = withdrawals(&purse, &budget, born + Duration::from_secs(3599), calls);
    assert!((190..=200).contains(&saved), "{saved}");
}

#[test]
fn a_month_idle_costs_the_same_and_lets_nothing_grow() {
    let (purse, born) = at_birth();
    let month = Duration::from_secs(30 * 24 * 3600);
    assert_eq!(withdrawals(&purse, &STANDARD, born, 1000), 210);
    // What there is left when the idling begins is for then and not for later.
    purse.look(&STANDARD, born, 2000);
    for months in 1..=200 {
        // What it costs is a number of operations that no time changes: there is no loop over time in it.
        let granted = withdrawals(&purse, &STANDARD, born + month * months, 2000);
        assert_eq!(granted, 10, "after {months} months");
    }
}

#[test]
fn a_look_from_before_another_changes_no_time() {
    let (purse, born) = at_birth();
    let budget = Budget::new(1.0, 0);
    purse.look(&budget, born + Duration::from_secs(2), 10);
    let before = purse.balance(&budget, born + Duration::from_secs(2), 10);
    purse.look(&budget, born + Duration::from_secs(1), 10);
    assert_eq!(purse.balance(&budget, born + Duration::from_secs(2), 10), before);
}

#[test]
fn any_number_of_calls_fits() {
    let (purse, born) = at_birth();
    let budget = Budget::new(1.0, 0);
    purse.look(&budget, born, u64::MAX);
    purse.look(&budget, born, u64::MAX);
    let most = f64::from(MOST_UNITS) / f64::from(UNITS_A_CALL);
    assert_eq!(purse.balance(&budget, born, u64::MAX), most);
    // Nor have they touched the time.
    let later = purse.balance(&budget, born + Duration::from_secs(1), u64::MAX);
    assert!((later / most - (-1.0_f64).exp()).abs() < 0.01, "{}", later / most);
}

#[test]
fn calls_after_a_long_rest_earn_once_they_are_looked_at() {
    let (purse, born) = at_birth();
    let budget = Budget::new(0.2, 0);
    let hour = born + Duration::from_secs(3600);
    // The first look cannot know that those calls were all made just now.
    assert_eq!(withdrawals(&purse, &budget, hour, 64), 0);
    purse.look(&budget, hour + Duration::from_millis(1), 564);
    assert_eq!(
        withdrawals(&purse, &budget, hour + Duration::from_millis(2), 564),
        100
    );
}

#[test]
fn threads_share_one_budget() {
    // They may happen to come one after the other.
    for _ in 0..5 {
        threads_spend_it();
    }
}

fn threads_spend_it() {
    let (purse, born) = at_birth();
    let all_there = std::sync::Barrier::new(8);
    let granted: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    all_there.wait();
                    withdrawals(&purse, &STANDARD, born, 10_000)
                })
            })
            .collect();
        threads.into_iter().map(|t| t.join().expect("no panic")).sum()
    });
    assert_eq!(granted, 2000 + 10);
}

#[test]
fn a_look_comes_once_in_64_calls() {
    assert_eq!((0..6400).filter(|before| is_look_due(*before)).count(), 100);
    assert!(!is_look_due(0), "the first call has nobody to wait for");
}
