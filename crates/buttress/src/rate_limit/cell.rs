use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{
    Algorithm,
    counter::Counter,
    gcra::Gcra,
    log::Log,
    meter::Meter,
    quota::{Quota, Refusal},
    rules::{Rule, Rules, SEALED, epoch, state, word},
};
use crate::sync::atomic::{
    AtomicU64,
    Ordering::{AcqRel, Acquire},
};

/// The state of one limit.
#[derive(Debug)]
pub(super) enum Cell {
    TokenBucket(AtomicU64),
    Leaky(AtomicU64),
    Counter(AtomicU64),
    // A lock on the way of a call, held for a few looks and writes: what is exact about a log is more than a word.
    Log(Box<Mutex<Log>>),
}

/// Why a cell gave nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotNow {
    /// The limit is used up.
    Refused(Refusal),
    /// The cell has been given up: the key is to be looked for again.
    Sealed,
}

/// By how much the turn of a waiter may be in the past for it still to count as taken in time: timers are exact to a
/// millisecond. Without it, a leaky bucket would lose that at each turn, for it saves nothing.
const LATE: u64 = 1_000_000;

impl Cell {
    pub(super) fn new(algorithm: Algorithm, rules: &Rules) -> Self {
        let epoch = rules.present();
        let fresh = || AtomicU64::new(word(0, epoch));
        match algorithm {
            Algorithm::TokenBucket => Self::TokenBucket(fresh()),
            Algorithm::Leaky => Self::Leaky(fresh()),
            Algorithm::SlidingWindowCounter => Self::Counter(fresh()),
            Algorithm::SlidingWindowLog => Self::Log(Box::new(Mutex::new(Log::new(rules.of(epoch), epoch)))),
        }
    }

    /// One look and one try, which is enough for nearly every call on a token bucket. Where it is not, nothing is taken
    /// and [`charge`](Self::charge) tells why.
    #[inline]
    pub(super) fn charge_at_once(&self, rules: &Rules, now: u64, permits: u32) -> Option<u64> {
        let Self::TokenBucket(cell) = self else {
            return None;
        };
        let seen = cell.load(Acquire);
        let present = rules.present();
        if epoch(seen) != present {
            return None;
        }
        let (next, at) = Gcra::of(rules.of(present)).charge(state(seen), now, permits)?;
        let taken = cell.compare_exchange(seen, word(next, present), AcqRel, Acquire);
        taken.is_ok().then_some(at)
    }

    /// Takes permits; returns the moment at which they count as taken.
    pub(super) fn charge(&self, rules: &Rules, now: u64, permits: u32) -> Result<u64, NotNow> {
        match self {
            Self::TokenBucket(word) | Self::Leaky(word) => charge::<Gcra>(word, rules, now, permits),
            Self::Counter(word) => charge::<Counter>(word, rules, now, permits),
            Self::Log(log) => {
                let mut log = present(log, rules);
                if log.sealed {
                    return Err(NotNow::Sealed);
                }
                let charged = log.charge(now, permits);
                charged.ok_or_else(|| NotNow::Refused(log.wait(now, 0, permits)))
            }
        }
    }

    /// [`charge`](Self::charge) for the first of those who wait, since `entered`.
    pub(super) fn charge_waiter(
        &self,
        rules: &Rules,
        now: u64,
        entered: u64,
        permits: u32,
    ) -> Result<u64, NotNow> {
        let Self::Leaky(word) = self else {
            return self.charge(rules, now, permits);
        };
        let since = now.saturating_sub(LATE).max(entered);
        charge_by(word, rules, now, permits, |meter: Gcra, state| {
            meter.charge_late(state, since, now, permits)
        })
    }

    /// How long until that many permits can be had after `ahead` others.
    pub(super) fn wait(&self, rules: &Rules, now: u64, ahead: u64, permits: u32) -> Refusal {
        match self {
            Self::TokenBucket(word) | Self::Leaky(word) => {
                let (state, meter) = look::<Gcra>(word, rules, now);
                meter.wait(state, now, ahead, permits)
            }
            Self::Counter(word) => {
                let (state, meter) = look::<Counter>(word, rules, now);
                meter.wait(state, now, ahead, permits)
            }
            Self::Log(log) => present(log, rules).wait(now, ahead, permits),
        }
    }

    /// Gives back permits that count as taken at `at`.
    pub(super) fn give_back(&self, rules: &Rules, now: u64, at: u64, permits: u32) {
        match self {
            Self::TokenBucket(word) | Self::Leaky(word) => give_back::<Gcra>(word, rules, now, at, permits),
            Self::Counter(word) => give_back::<Counter>(word, rules, now, at, permits),
            Self::Log(log) => present(log, rules).give_back(at, permits),
        }
    }

    pub(super) fn quota(&self, rules: &Rules, now: u64) -> Quota {
        match self {
            Self::TokenBucket(word) | Self::Leaky(word) => {
                let (state, meter) = look::<Gcra>(word, rules, now);
                meter.quota(state, now)
            }
            Self::Counter(word) => {
                let (state, meter) = look::<Counter>(word, rules, now);
                meter.quota(state, now)
            }
            Self::Log(log) => present(log, rules).quota(now),
        }
    }

    /// Brings the state to the present rule, so that those before it can be forgotten.
    pub(super) fn refresh(&self, rules: &Rules, now: u64) {
        match self {
            Self::TokenBucket(word) | Self::Leaky(word) => update::<Gcra>(word, rules, now, |state, _| state),
            Self::Counter(word) => update::<Counter>(word, rules, now, |state, _| state),
            Self::Log(log) => drop(present(log, rules)),
        }
    }

    /// As if it had never been used.
    pub(super) fn clear(&self, rules: &Rules, now: u64) {
        match self {
            Self::TokenBucket(word) | Self::Leaky(word) => update::<Gcra>(word, rules, now, |_, _| 0),
            Self::Counter(word) => update::<Counter>(word, rules, now, |_, _| 0),
            Self::Log(log) => present(log, rules).clear(),
        }
    }

    /// Is it as good as a new one?
    #[cfg(feature = "keyed")]
    pub(super) fn is_idle(&self, rules: &Rules, now: u64) -> bool {
        match self {
            Self::TokenBucket(word) | Self::Leaky(word) => is_idle::<Gcra>(word, rules, now),
            Self::Counter(word) => is_idle::<Counter>(word, rules, now),
            Self::Log(log) => {
                let log = present(log, rules);
                log.sealed || log.is_idle(now)
            }
        }
    }

    /// Gives the cell up if it is as good as a new one: nothing is taken from it any more. Of a call that is just being
    /// decided either this knows, or the call learns that it has to look for the cell that took this one's place.
    #[cfg(any(feature = "keyed", all(test, loom)))]
    pub(super) fn seal(&self, rules: &Rules, now: u64) -> bool {
        match self {
            Self::TokenBucket(word) | Self::Leaky(word) => seal::<Gcra>(word, rules, now),
            Self::Counter(word) => seal::<Counter>(word, rules, now),
            Self::Log(log) => {
                let mut log = present(log, rules);
                log.sealed |= log.is_idle(now);
                log.sealed
            }
        }
    }
}

#[inline]
fn charge<M: Meter>(cell: &AtomicU64, rules: &Rules, now: u64, permits: u32) -> Result<u64, NotNow> {
    charge_by(cell, rules, now, permits, |meter: M, state| {
        meter.charge(state, now, permits)
    })
}

#[inline]
fn charge_by<M: Meter>(
    cell: &AtomicU64,
    rules: &Rules,
    now: u64,
    permits: u32,
    charge: impl Fn(M, u64) -> Option<(u64, u64)>,
) -> Result<u64, NotNow> {
    let mut seen = cell.load(Acquire);
    loop {
        let present = rules.present();
        if epoch(seen) != present {
            match renew::<M>(cell, rules, now, seen, present) {
                Some(renewed) => seen = renewed,
                None => return Err(NotNow::Sealed),
            }
            continue;
        }
        let meter = M::of(rules.of(present));
        let Some((next, at)) = charge(meter, state(seen)) else {
            return Err(refused(meter, seen, now, permits));
        };
        match cell.compare_exchange_weak(seen, word(next, present), AcqRel, Acquire) {
            Ok(_) => return Ok(at),
            Err(changed) => seen = changed,
        }
    }
}

#[cold]
fn refused<M: Meter>(meter: M, seen: u64, now: u64, permits: u32) -> NotNow {
    NotNow::Refused(meter.wait(state(seen), now, 0, permits))
}

/// Brings the word to the present rule; what it is now, or `None` if it is sealed.
#[cold]
fn renew<M: Meter>(cell: &AtomicU64, rules: &Rules, now: u64, seen: u64, present: u64) -> Option<u64> {
    if seen == SEALED {
        return None;
    }
    let (from, to) = (M::of(rules.of(epoch(seen))), M::of(rules.of(present)));
    let renewed = word(from.convert(state(seen), to, now), present);
    match cell.compare_exchange(seen, renewed, AcqRel, Acquire) {
        Ok(_) => Some(renewed),
        Err(changed) => Some(changed),
    }
}

/// The state under the present rule.
fn look<M: Meter>(cell: &AtomicU64, rules: &Rules, now: u64) -> (u64, M) {
    let seen = cell.load(Acquire);
    let present = rules.present();
    let meter = M::of(rules.of(present));
    if seen == SEALED {
        return (0, meter);
    }
    let state = state(seen);
    if epoch(seen) == present {
        return (state, meter);
    }
    (M::of(rules.of(epoch(seen))).convert(state, meter, now), meter)
}

fn update<M: Meter>(cell: &AtomicU64, rules: &Rules, now: u64, change: impl Fn(u64, M) -> u64) {
    let mut seen = cell.load(Acquire);
    while seen != SEALED {
        let present = rules.present();
        let meter = M::of(rules.of(present));
        let state = if epoch(seen) == present {
            state(seen)
        } else {
            M::of(rules.of(epoch(seen))).convert(state(seen), meter, now)
        };
        match cell.compare_exchange_weak(seen, word(change(state, meter), present), AcqRel, Acquire) {
            Ok(_) => return,
            Err(changed) => seen = changed,
        }
    }
}

fn give_back<M: Meter>(cell: &AtomicU64, rules: &Rules, now: u64, at: u64, permits: u32) {
    update::<M>(cell, rules, now, |state, meter| {
        meter.give_back(state, now, at, permits)
    });
}

#[cfg(feature = "keyed")]
fn is_idle<M: Meter>(cell: &AtomicU64, rules: &Rules, now: u64) -> bool {
    let (state, meter) = look::<M>(cell, rules, now);
    meter.is_idle(state, now)
}

#[cfg(any(feature = "keyed", all(test, loom)))]
fn seal<M: Meter>(cell: &AtomicU64, rules: &Rules, now: u64) -> bool {
    let seen = cell.load(Acquire);
    if seen == SEALED {
        return true;
    }
    let meter = M::of(rules.of(epoch(seen)));
    meter.is_idle(state(seen), now) && cell.compare_exchange(seen, SEALED, AcqRel, Acquire).is_ok()
}

/// The log under the present rule.
fn present<'a>(log: &'a Mutex<Log>, rules: &Rules) -> MutexGuard<'a, Log> {
    let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
    let present = rules.present();
    if log.epoch != present {
        let rule: Rule = rules.of(present);
        log.convert(rule, present);
    }
    log
}
