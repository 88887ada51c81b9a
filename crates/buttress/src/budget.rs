//! What keeps extra calls in proportion: a retry, or a hedge, is paid for by the calls of its policy.
//!
//! A layer that may make more calls than it is given multiplies an outage by as much as it is allowed to: three
//! attempts are three times the load, just when there is too much of it, and three such layers are 27 times. A
//! [`Budget`] bounds the extra calls *in all*, whatever becomes of each: a share of the calls there are, and a few in
//! every second besides, so that a quiet service is helped as well.
//!
//! # How it counts
//!
//! * **The free ones.** In each second `min_per_second` extra calls are free. The second begins with the first of them;
//!   once the last is taken, the next ones come a second later. What is not used in a second is gone.
//! * **The earned ones.** Every call earns `ratio` of an extra call. What is earned and not spent melts away, by half
//!   in 0.7 s (an exponential with a time constant of one second): so "recent calls" are those of about the last
//!   second. That is long enough that the calls of a connection which breaks, all at once, can be repeated; and so
//!   short that good times earn next to nothing toward a bad one: after any number of good calls at a steady pace,
//!   what has been saved is the share of one second.
//!
//! An extra call takes what was earned first, and is free only if there is none. So from the first call on, over any
//! time in which `c` calls were made, there are at most `ratio × c` extra calls plus `min_per_second` for each second
//! begun. Over a time that is preceded by others, add what was saved in those: at most the share of a second of calls.
//!
//! # What it costs
//!
//! Two words. A call touches neither: it counts itself in the policy's books, as it does anyway, and once in 64 calls
//! the books are looked at. An extra call looks at them too: calls that were made since the last look are taken to
//! have come evenly spread over the time since, which is what lets one look stand for all of it, be it a millisecond
//! or a month. Both words change by compare-and-swap; nothing is refilled one by one, nothing grows by waiting.
//!
//! The idea of a budget for retries is Finagle's (`RetryBudget`), which Linkerd and tower took over.

use std::{fmt, time::Duration};

use crate::{
    clock::{self, Instant},
    config::{Problems, Setting},
    registry::News,
    sync::atomic::{
        AtomicU64,
        Ordering::{AcqRel, Acquire, Relaxed},
    },
};

/// How many extra calls there may be: a share of the recent calls, and some in every second besides.
///
/// The default is 20 % and 10 a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    ratio: f64,
    min_per_second: u32,
}

/// The most free calls a second that there can be.
const MAX_PER_SECOND: u32 = 1_000_000;

impl Budget {
    /// Extra calls are at most this share (0 to 1) of the recent calls, and so many a second besides.
    #[must_use]
    pub const fn new(ratio: f64, min_per_second: u32) -> Self {
        Self {
            ratio,
            min_per_second,
        }
    }

    /// The share of the recent calls.
    #[must_use]
    pub const fn ratio(&self) -> f64 {
        self.ratio
    }

    /// How many there may be in every second besides.
    #[must_use]
    pub const fn min_per_second(&self) -> u32 {
        self.min_per_second
    }

    /// Reads `{ ratio = 0.2, min_per_second = 10 }`; what is absent is as in `default`.
    pub(crate) fn read(setting: Setting<'_, '_>, default: Self) -> Option<Self> {
        let mut section = setting.section()?;
        let ratio = section.ratio("ratio", 0.0..=1.0);
        let minimum = section.number("min_per_second", 0..=MAX_PER_SECOND);
        Some(Self::new(
            ratio.unwrap_or(default.ratio),
            minimum.unwrap_or(default.min_per_second),
        ))
    }

    pub(crate) fn check(&self, problems: &mut Problems) {
        let Self {
            ratio,
            min_per_second,
        } = *self;
        problems.check(
            (0.0..=1.0).contains(&ratio),
            "budget.ratio",
            ratio,
            "a share, 0 to 1",
        );
        problems.check(
            min_per_second <= MAX_PER_SECOND,
            "budget.min_per_second",
            min_per_second,
            "0 to 1000000 a second",
        );
        problems.check(
            ratio > 0.0 || min_per_second > 0,
            "budget",
            "nothing at all",
            "a ratio or a minimum above zero: with neither, nothing is ever repeated",
        );
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self::new(0.2, 10)
    }
}

/// The budget refused an extra call, for the first time in ten seconds or ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BudgetExhausted;

impl fmt::Display for BudgetExhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "the budget is exhausted: too many calls fail or are slow, no more of them are made again",
        )
    }
}

/// The state of a budget. `calls` in its methods is the number of calls ever made, as the policy's books have it.
#[derive(Debug)]
pub(crate) struct Purse {
    born: Instant,
    /// How many calls have earned their share already.
    counted: AtomicU64,
    /// Ticks and what is left of what was earned, see [`Earned`].
    earned: AtomicU64,
    /// When the second of the free ones began, in milliseconds (40 bits), and how many were taken in it (24 bits).
    free: AtomicU64,
    refused: News,
}

/// How many calls may pass between two looks at the books. A power of two.
const CALLS_A_LOOK: u64 = 64;

/// The time constant with which savings melt.
const RECENT: Duration = Duration::from_secs(1);

/// Whether a call is one whose turn it is to have the books looked at; `before` is how many calls were in the
/// counter that it added itself to.
#[inline]
pub(crate) fn is_look_due(before: u64) -> bool {
    before % CALLS_A_LOOK == CALLS_A_LOOK - 1
}

impl Purse {
    pub(crate) fn new() -> Self {
        Self {
            born: clock::now(),
            counted: AtomicU64::new(0),
            earned: AtomicU64::new(0),
            free: AtomicU64::new(0),
            refused: News::new(),
        }
    }

    /// Lets the calls that were made since the last look earn their share.
    pub(crate) fn look(&self, budget: &Budget, now: Instant, calls: u64) {
        self.change(budget, self.age(now), calls, |_| true);
    }

    /// Takes one extra call, if there is one left.
    #[must_use]
    pub(crate) fn withdraw(&self, budget: &Budget, now: Instant, calls: u64) -> bool {
        let age = self.age(now);
        let spend = |earned: &mut Earned| {
            let enough = earned.units >= UNITS_A_CALL;
            if enough {
                earned.units -= UNITS_A_CALL;
            }
            enough
        };
        self.change(budget, age, calls, spend) || self.take_free(budget.min_per_second, millis(age))
    }

    /// Notes that the budget has refused a call; whether that is [worth telling](BudgetExhausted).
    pub(crate) fn refusal_is_news(&self, now: Instant) -> bool {
        self.refused.happens(now)
    }

    /// How many extra calls could be made at once.
    pub(crate) fn balance(&self, budget: &Budget, now: Instant, calls: u64) -> f64 {
        let age = self.age(now);
        let word = self.earned.load(Acquire);
        let fresh = calls.saturating_sub(self.counted.load(Relaxed));
        let earned = Earned::of(word).after(age, fresh, budget.ratio);
        let (_, taken) = second_at(self.free.load(Relaxed), millis(age));
        f64::from(earned.units) / f64::from(UNITS_A_CALL)
            + f64::from(budget.min_per_second.saturating_sub(taken))
    }

    fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.born)
    }

    fn change(
        &self,
        budget: &Budget,
        age: Duration,
        calls: u64,
        spend: impl Fn(&mut Earned) -> bool,
    ) -> bool {
        // The time of the last look is read before the calls since are claimed: whoever claims many calls knows then
        // how long they took, however many others look meanwhile. The other way round, a month's calls could pass for
        // those of this instant.
        let mut word = self.earned.load(Acquire);
        let claimed = calls.saturating_sub(self.counted.fetch_max(calls, AcqRel));
        let fresh = Earned::of(word).income(age, claimed, budget.ratio);
        loop {
            let mut next = Earned::of(word).melted(age);
            next.units = next.units.saturating_add(fresh).min(MOST_UNITS);
            let spent = spend(&mut next);
            match self
                .earned
                .compare_exchange_weak(word, next.word(), AcqRel, Acquire)
            {
                Ok(_) => return spent,
                Err(now) => word = now,
            }
        }
    }

    fn take_free(&self, per_second: u32, now: u64) -> bool {
        let mut word = self.free.load(Relaxed);
        loop {
            let (began, taken) = second_at(word, now);
            if taken >= per_second {
                return false;
            }
            // Counted from the first, ten at the end of one second and ten at the beginning of the next would be twenty.
            let began = if taken + 1 == per_second { now } else { began };
            let next = (began << TAKEN_BITS) | u64::from(taken + 1);
            match self.free.compare_exchange_weak(word, next, Relaxed, Relaxed) {
                Ok(_) => return true,
                Err(changed) => word = changed,
            }
        }
    }
}

const TAKEN_BITS: u32 = 24;

fn millis(age: Duration) -> u64 {
    // 34 years.
    (age.as_millis() as u64) & (u64::MAX >> TAKEN_BITS)
}

/// When the second that `now` is in began, and how many free ones were taken in it. A thread that looked at the clock
/// before another one that has begun the next second takes one of that second's.
fn second_at(word: u64, now: u64) -> (u64, u32) {
    let (began, taken) = (word >> TAKEN_BITS, (word & ((1 << TAKEN_BITS) - 1)) as u32);
    if taken == 0 || now >= began + 1000 {
        (now, 0)
    } else {
        (began, taken)
    }
}

/// What is left of what was earned, and when that was so: 34 bits of ticks (eight years, then they begin anew) and 30
/// bits of units.
#[derive(Clone, Copy)]
struct Earned {
    ticks: u64,
    units: u32,
}

/// 16 ms: fine enough beside the second in which savings melt.
const NANOS_A_TICK: u128 = 16_000_000;
const TICK_BITS: u32 = 34;
const UNIT_BITS: u32 = 30;
const UNITS_A_CALL: u32 = 1 << 12;
/// A quarter of a million extra calls: what 20 % of 1.3 million calls a second come to.
const MOST_UNITS: u32 = (1 << UNIT_BITS) - 1;

impl Earned {
    fn of(word: u64) -> Self {
        Self {
            ticks: word >> UNIT_BITS,
            units: (word & u64::from(MOST_UNITS)) as u32,
        }
    }

    fn word(self) -> u64 {
        (self.ticks << UNIT_BITS) | u64::from(self.units)
    }

    fn after(self, age: Duration, calls: u64, ratio: f64) -> Self {
        let income = self.income(age, calls, ratio);
        let mut next = self.melted(age);
        next.units = next.units.saturating_add(income).min(MOST_UNITS);
        next
    }

    /// What is left of it at `age`.
    fn melted(self, age: Duration) -> Self {
        let (ticks, since) = self.since(age);
        let left = f64::from(self.units) * (-since).exp();
        Self {
            ticks,
            units: left as u32,
        }
    }

    /// What so many calls have earned and what is left of that, if they came evenly between this and `age`.
    fn income(self, age: Duration, calls: u64, ratio: f64) -> u32 {
        let (_, since) = self.since(age);
        let left = if since > 0.0 {
            -(-since).exp_m1() / since
        } else {
            1.0
        };
        // A cast of what is too large gives the largest.
        (calls as f64 * ratio * f64::from(UNITS_A_CALL) * left) as u32
    }

    /// The ticks at `age`, never earlier than these, and the time from these to those in time constants.
    fn since(self, age: Duration) -> (u64, f64) {
        let mask = (1 << TICK_BITS) - 1;
        let ticks = (age.as_nanos() / NANOS_A_TICK) as u64 & mask;
        let since = ticks.wrapping_sub(self.ticks) & mask;
        // Half the range is "before": another thread has looked at the clock after this one.
        if since > mask / 2 {
            return (self.ticks, 0.0);
        }
        let nanos = since as f64 * NANOS_A_TICK as f64;
        (ticks, nanos / RECENT.as_nanos() as f64)
    }
}

#[cfg(all(test, loom))]
mod loom;
#[cfg(all(test, not(loom)))]
mod tests;
