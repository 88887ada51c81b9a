//! Each algorithm against a naive one, call by call.

use proptest::prelude::*;

use super::*;

/// What happens to a limit.
#[derive(Clone, Debug)]
enum Step {
    Pass(u64),
    Take(u32),
    /// The grant that is so many back is not used.
    GiveBack(usize),
}

/// A naive limit: everything that was granted, and a rule that looks at all of it.
trait Naive {
    fn new(permits: u64, per: u64, burst: u64) -> Self;
    /// How long until that many can be had, `None` for never, having looked at nothing but the past.
    fn wait(&mut self, now: u64, permits: u32) -> Option<u64>;
    fn take(&mut self, now: u64, permits: u32);
    fn give_back(&mut self, now: u64, at: u64, permits: u32);
    fn remaining(&mut self, now: u64) -> u64;
}

/// Tokens, `per` parts each, that are really poured in: `permits` parts a nanosecond.
struct Bucket {
    permits: u128,
    per: u128,
    most: u128,
    tokens: u128,
    seen: u64,
}

impl Bucket {
    fn pour(&mut self, now: u64) {
        let come = u128::from(now - self.seen) * self.permits;
        self.tokens = (self.tokens + come).min(self.most);
        self.seen = now;
    }
}

impl Naive for Bucket {
    fn new(permits: u64, per: u64, burst: u64) -> Self {
        let most = u128::from(burst) * u128::from(per);
        Self {
            permits: permits.into(),
            per: per.into(),
            most,
            tokens: most,
            seen: 0,
        }
    }

    fn wait(&mut self, now: u64, permits: u32) -> Option<u64> {
        self.pour(now);
        let wanted = u128::from(permits) * self.per;
        let wait = wanted.saturating_sub(self.tokens).div_ceil(self.permits);
        (wanted <= self.most).then_some(wait as u64)
    }

    fn take(&mut self, _: u64, permits: u32) {
        self.tokens -= u128::from(permits) * self.per;
    }

    fn give_back(&mut self, now: u64, at: u64, permits: u32) {
        self.pour(now);
        let come = u128::from(now - at) * self.permits;
        let worth = (u128::from(permits) * self.per).saturating_sub(come);
        self.tokens = (self.tokens + worth).min(self.most);
    }

    fn remaining(&mut self, now: u64) -> u64 {
        self.pour(now);
        (self.tokens / self.per) as u64
    }
}

/// When the next call may pass, in parts of which there are `permits` in a nanosecond.
struct Drip {
    permits: u128,
    per: u128,
    next: u128,
}

impl Naive for Drip {
    fn new(permits: u64, per: u64, _: u64) -> Self {
        Self {
            permits: permits.into(),
            per: per.into(),
            next: 0,
        }
    }

    fn wait(&mut self, now: u64, _: u32) -> Option<u64> {
        let wait = self.next.saturating_sub(u128::from(now) * self.permits);
        Some(wait.div_ceil(self.permits) as u64)
    }

    fn take(&mut self, now: u64, permits: u32) {
        self.next = self.next.max(u128::from(now) * self.permits) + u128::from(permits) * self.per;
    }

    fn give_back(&mut self, now: u64, at: u64, permits: u32) {
        let come = u128::from(now - at) * self.permits;
        let worth = (u128::from(permits) * self.per).saturating_sub(come);
        self.next = self.next.saturating_sub(worth);
    }

    fn remaining(&mut self, now: u64) -> u64 {
        u64::from(self.next <= u128::from(now) * self.permits)
    }
}

/// Every permit that was granted, with its moment.
struct Everything {
    permits: u64,
    per: u64,
    granted: Vec<u64>,
}

impl Everything {
    fn counting(&self, now: u64) -> u64 {
        self.granted.iter().filter(|at| **at + self.per > now).count() as u64
    }
}

impl Naive for Everything {
    fn new(permits: u64, per: u64, _: u64) -> Self {
        Self {
            permits,
            per,
            granted: Vec::new(),
        }
    }

    fn wait(&mut self, now: u64, permits: u32) -> Option<u64> {
        let wanted = u64::from(permits);
        let moments = self.granted.iter().map(|at| at + self.per);
        let mut moments: Vec<_> = moments.filter(|end| *end > now).chain([now]).collect();
        moments.sort_unstable();
        let first = moments
            .into_iter()
            .find(|at| self.counting(*at) + wanted <= self.permits)?;
        Some(first - now)
    }

    fn take(&mut self, now: u64, permits: u32) {
        self.granted.extend((0..permits).map(|_| now));
    }

    fn give_back(&mut self, _: u64, at: u64, permits: u32) {
        for _ in 0..permits {
            let found = self.granted.iter().position(|granted| *granted == at);
            self.granted.remove(found.expect("it was granted"));
        }
    }

    fn remaining(&mut self, now: u64) -> u64 {
        self.permits - self.counting(now)
    }
}

/// The same, looked at through two windows of a clock.
struct TwoWindows(Everything);

impl TwoWindows {
    /// Parts, `per` to a permit.
    fn used(&self, now: u64) -> u128 {
        let Everything { per, granted, .. } = &self.0;
        let window = now / per;
        let of = |w: Option<u64>| granted.iter().filter(|at| Some(*at / per) == w).count() as u128;
        let left = u128::from(per - now % per);
        of(window.checked_sub(1)) * left + of(Some(window)) * u128::from(*per)
    }

    fn fits(&self, now: u64, permits: u32) -> bool {
        let per = u128::from(self.0.per);
        self.used(now) + u128::from(permits) * per <= u128::from(self.0.permits) * per
    }
}

impl Naive for TwoWindows {
    fn new(permits: u64, per: u64, burst: u64) -> Self {
        Self(Everything::new(permits, per, burst))
    }

    /// By halves: what is used only becomes less.
    fn wait(&mut self, now: u64, permits: u32) -> Option<u64> {
        let (mut no, mut yes) = (now, now + 2 * self.0.per);
        if self.fits(now, permits) {
            return Some(0);
        }
        if !self.fits(yes, permits) {
            return None;
        }
        while yes - no > 1 {
            let middle = no + (yes - no) / 2;
            if self.fits(middle, permits) {
                yes = middle
            } else {
                no = middle
            }
        }
        Some(yes - now)
    }

    fn take(&mut self, now: u64, permits: u32) {
        self.0.take(now, permits);
    }

    fn give_back(&mut self, now: u64, at: u64, permits: u32) {
        self.0.give_back(now, at, permits);
    }

    fn remaining(&mut self, now: u64) -> u64 {
        let per = u128::from(self.0.per);
        ((u128::from(self.0.permits) * per).saturating_sub(self.used(now)) / per) as u64
    }
}

/// What a quota says of the time to come: when the next permit is there, and when all are.
fn foretells(cell: &Cell, rules: &Rules, now: u64, quota: Quota) -> Result<(), TestCaseError> {
    let left = |wait: u64| cell.quota(rules, now + wait).remaining;
    let reset = quota.reset.as_nanos() as u64;
    prop_assert_eq!(left(reset), quota.limit, "all of them {} after {}", reset, now);
    prop_assert_eq!(reset == 0, quota.remaining == quota.limit, "at {}", now);
    prop_assert!(
        reset == 0 || left(reset - 1) < quota.limit,
        "not before {}",
        reset
    );
    prop_assert_eq!(quota.retry_after.is_some(), quota.remaining == 0, "at {}", now);
    if let Some(next) = quota.retry_after {
        let next = next.as_nanos() as u64;
        prop_assert_eq!(left(next - 1), 0, "none {} after {}", next - 1, now);
        prop_assert!(left(next) > 0, "the next {} after {}", next, now);
    }
    Ok(())
}

fn compare<N: Naive>(algorithm: Algorithm, limit: Limit, steps: &[Step]) -> Result<(), TestCaseError> {
    let per = limit.per().as_nanos() as u64;
    let (rules, mut naive) = (
        rules(&limit, algorithm),
        N::new(limit.permits(), per, limit.at_once()),
    );
    let cell = Cell::new(algorithm, &rules);
    let (mut now, mut granted) = (0, Vec::new());
    for step in steps {
        match *step {
            Step::Pass(nanos) => now += nanos,
            Step::Take(permits) => {
                let expected = naive.wait(now, permits);
                let got = cell.charge(&rules, now, permits);
                match expected {
                    Some(0) => {
                        prop_assert_eq!(got, Ok(now), "at {}", now);
                        naive.take(now, permits);
                        granted.push((now, permits));
                    }
                    Some(wait) => {
                        prop_assert_eq!(got, Err(NotNow::Refused(Refusal::Until(wait))), "at {}", now);
                    }
                    None => prop_assert_eq!(got, Err(NotNow::Refused(Refusal::Never))),
                }
            }
            Step::GiveBack(back) => {
                let Some(index) = granted.len().checked_sub(back + 1) else {
                    continue;
                };
                let (at, permits) = granted.remove(index);
                cell.give_back(&rules, now, at, permits);
                naive.give_back(now, at, permits);
            }
        }
        let quota = cell.quota(&rules, now);
        prop_assert_eq!(quota.remaining, naive.remaining(now), "at {}", now);
        foretells(&cell, &rules, now, quota)?;
    }
    // Whatever was given back, the calls that went on are within the limit by themselves.
    let mut alone = N::new(limit.permits(), per, limit.at_once());
    for (at, permits) in granted {
        prop_assert_eq!(alone.wait(at, permits), Some(0), "{} too many at {}", permits, at);
        alone.take(at, permits);
    }
    Ok(())
}

/// Rates that are exact in the units of a bucket.
fn limits() -> impl Strategy<Value = Limit> {
    let per = prop_oneof![
        Just(7 * SECOND),
        Just(SECOND),
        Just(1_000_003),
        1_000_u64..2_000_000
    ];
    (1_u64..=8, per).prop_map(|(permits, per)| Limit::new(permits, Duration::from_nanos(per)))
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let pass = prop_oneof![Just(0), 1_u64..50_000, 1_u64..5_000_000, 1_u64..20 * SECOND];
    let step = prop_oneof![
        2 => pass.prop_map(Step::Pass),
        4 => (1_u32..4).prop_map(Step::Take),
        1 => (5_u32..12).prop_map(Step::Take),
        1 => (0_usize..3).prop_map(Step::GiveBack),
    ];
    proptest::collection::vec(step, 1..120)
}

proptest! {
    #[test]
    fn a_token_bucket_is_one(limit in limits(), burst in 1_u64..10, steps in steps()) {
        compare::<Bucket>(Algorithm::TokenBucket, limit.burst(burst), &steps)?;
    }

    #[test]
    fn a_leaky_bucket_lets_one_through_at_a_time(limit in limits(), steps in steps()) {
        compare::<Drip>(Algorithm::Leaky, limit, &steps)?;
    }

    #[test]
    fn a_log_knows_every_call_of_its_window(limit in limits(), steps in steps()) {
        compare::<Everything>(Algorithm::SlidingWindowLog, limit, &steps)?;
    }

    #[test]
    fn a_counter_takes_the_window_before_to_have_been_even(limit in limits(), steps in steps()) {
        compare::<TwoWindows>(Algorithm::SlidingWindowCounter, limit, &steps)?;
    }

    /// What the head of a line of waiters is told is when it will have its permits, however many go before it.
    #[test]
    fn the_turn_of_a_waiter_is_known_when_it_comes(
        limit in limits(), burst in 1_u64..10, taken in 0_u32..10, line in proptest::collection::vec(1_u32..4, 1..20)
    ) {
        let limit = limit.burst(burst);
        let rules = rules(&limit, Algorithm::TokenBucket);
        let cell = Cell::new(Algorithm::TokenBucket, &rules);
        let _ = cell.charge(&rules, 0, taken);
        let line: Vec<_> = line.into_iter().map(|n| n.min(burst as u32)).collect();
        let mut ahead = 0;
        let told: Vec<_> = line.iter().map(|n| {
            let wait = cell.wait(&rules, 0, ahead, *n);
            ahead += u64::from(*n);
            wait
        }).collect();
        let mut now = 0;
        for (permits, told) in line.into_iter().zip(told) {
            while let Err(NotNow::Refused(Refusal::Until(wait))) = cell.charge(&rules, now, permits) {
                now += wait;
            }
            let Refusal::Until(told) = told else { panic!("{told:?}") };
            // Each that went before may have been late by the part of a nanosecond.
            prop_assert!(told <= now && now <= told + 20, "told {}, had at {}", told, now);
        }
    }

    /// The same where those before it take one each, however long ago the limit was used.
    #[test]
    fn the_turn_behind_others_is_known_whatever_the_algorithm(
        limit in limits(), past in proptest::collection::vec((1_u64..3 * SECOND, 1_u32..9), 0..4),
        ahead in 0_usize..40, permits in 1_u32..4
    ) {
        for algorithm in Algorithm::ALL {
            let rules = rules(&limit, algorithm);
            let cell = Cell::new(algorithm, &rules);
            let mut now = 0;
            for (pass, taken) in &past {
                now += pass;
                for _ in 0..*taken {
                    let _ = cell.charge(&rules, now, 1);
                }
            }
            let permits = permits.min(limit.permits() as u32);
            let told = cell.wait(&rules, now, ahead as u64, permits);
            let mut had = now;
            for permits in std::iter::repeat_n(1, ahead).chain([permits]) {
                while let Err(NotNow::Refused(Refusal::Until(wait))) = cell.charge(&rules, had, permits) {
                    had += wait;
                }
            }
            let Refusal::Until(told) = told else { panic!("{told:?}") };
            // A bucket fills in parts of a nanosecond, and each that went before may have been late by one.
            let late = match algorithm {
                Algorithm::TokenBucket | Algorithm::Leaky => ahead as u64,
                Algorithm::SlidingWindowLog | Algorithm::SlidingWindowCounter => 0,
            };
            prop_assert!(
                now + told <= had && had <= now + told + late,
                "{}: told {}, had at {}", algorithm, now + told, had
            );
        }
    }

    /// Rates that are no whole number of units are rounded to the side of the limit, by next to nothing.
    #[test]
    fn any_rate_is_kept(permits in 1_u64..20_000, millis in 1_u64..100_000) {
        let limit = Limit::new(permits, Duration::from_millis(millis)).burst(1);
        let rules = rules(&limit, Algorithm::TokenBucket);
        let cell = Cell::new(Algorithm::TokenBucket, &rules);
        let (mut now, mut count) = (0, 0_u64);
        let end = limit.per().as_nanos() as u64;
        let end = end.min(end / permits * 1000 + 1);
        while now < end {
            match cell.charge(&rules, now, 1) {
                Ok(_) => count += 1,
                Err(NotNow::Refused(Refusal::Until(wait))) => now += wait,
                Err(other) => prop_assert!(false, "{:?}", other),
            }
        }
        let exact = end as f64 * permits as f64 / limit.per().as_nanos() as f64;
        prop_assert!(count as f64 <= exact + 1.0, "{} of {}", count, exact);
        prop_assert!(count as f64 >= exact * 0.99 - 1.0, "{} of {}", count, exact);
    }
}
