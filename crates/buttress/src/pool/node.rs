//! One endpoint: how busy it is, how it does, and whether it may be chosen.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicU8, AtomicU32, AtomicU64,
            Ordering::{AcqRel, Acquire, Relaxed},
        },
    },
    time::Duration,
};

use tokio::{sync::Notify, task::AbortHandle};

use super::{
    events::{Cause, PoolEvent},
    fading::Tick,
    hub::{Hub, book as pool_book},
    measures::Measures,
    token::PoolToken,
};
use crate::{
    admission::{Admission, Standing},
    clock::{self, Instant},
    outcome::{Outcome, Verdict},
    striped::Striped,
};

pub(super) struct Node {
    pub(super) id: u32,
    /// One of 64; two endpoints of a pool of at most 64 have never the same.
    pub(super) slot: u8,
    pub(super) name: Arc<str>,
    pub(super) hub: Arc<Hub>,
    pub(super) guard: Option<Arc<dyn Admission>>,
    /// Calls in flight, and the flags below.
    word: AtomicU64,
    phase: AtomicU8,
    /// Until when it has asked to be left alone.
    throttled_until: AtomicU64,
    /// Since when it is eased in, one more than it is; 0 if it is not.
    ramp_from: AtomicU64,
    pub(super) weight: AtomicU32,
    pub(super) measures: Measures,
    pub(super) books: Striped<8>,
    // Locked when something is found out about the endpoint, and by those who look; not on the way of a call.
    turn: Mutex<Turn>,
    /// The last call has left an endpoint that takes no more.
    pub(super) empty: Notify,
    /// The checks of its health should not wait.
    pub(super) hurry: Arc<Notify>,
    // Locked when the checks begin and end.
    watcher: Mutex<Option<AbortHandle>>,
}

const REMOVED: u64 = 1 << 63;
const DRAINING: u64 = 1 << 62;
const UNHEALTHY: u64 = 1 << 61;
const FLAGS: u64 = REMOVED | DRAINING | UNHEALTHY;

/// Indices of the books.
pub(super) mod book {
    pub(in super::super) const SUCCESS: usize = 0;
    pub(in super::super) const FAILURE: usize = 1;
    pub(in super::super) const THROTTLED: usize = 2;
    pub(in super::super) const NEUTRAL: usize = 3;
    pub(in super::super) const CANCELLED: usize = 4;
    /// Failed calls that were made again elsewhere.
    pub(in super::super) const MOVED: usize = 5;
    pub(in super::super) const FAILOVERS: usize = 6;
    pub(in super::super) const RECOVERIES: usize = 7;
}

/// Whether an endpoint has its share of the calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// It has.
    Up,
    /// It is out.
    Failed,
    /// It is out, and a few calls or checks find out whether it is back.
    Recovering,
}

impl Phase {
    /// In `SCREAMING_SNAKE_CASE`, as it appears in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "UP",
            Self::Failed => "FAILED",
            Self::Recovering => "RECOVERING",
        }
    }

    const fn of(byte: u8) -> Self {
        match byte {
            0 => Self::Up,
            1 => Self::Failed,
            _ => Self::Recovering,
        }
    }
}

/// What has been found out.
#[derive(Default)]
struct Turn {
    health: Health,
    failed_since: Option<Instant>,
    failed_before: Duration,
    /// The successes and failures at the last rebalance.
    rebalanced: (u64, u64),
}

/// What the checks say.
#[derive(Clone, Copy, Debug, Default)]
struct Health {
    is_bad: bool,
    /// So many checks in a row said what is news, and whether that is good.
    against: u32,
    says_well: bool,
}

impl Node {
    pub(super) fn new(
        hub: Arc<Hub>,
        slot: u8,
        name: Arc<str>,
        weight: u32,
        guard: Option<Arc<dyn Admission>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            id: hub.next_id.fetch_add(1, Relaxed),
            slot,
            name,
            hub,
            guard,
            word: AtomicU64::new(0),
            phase: AtomicU8::new(Phase::Up as u8),
            throttled_until: AtomicU64::new(0),
            ramp_from: AtomicU64::new(0),
            weight: AtomicU32::new(weight),
            measures: Measures::default(),
            books: Striped::new(),
            turn: Mutex::default(),
            empty: Notify::new(),
            hurry: Arc::default(),
            watcher: Mutex::default(),
        })
    }

    /// Has its breaker tell of every change, now that the endpoint is in the pool.
    pub(super) fn listen(self: &Arc<Self>) {
        if let Some(guard) = &self.guard {
            // A breaker may outlive the pool, and listeners are for ever.
            let weak = Arc::downgrade(self);
            guard.listen(Arc::new(move |_| {
                if let Some(node) = weak.upgrade() {
                    node.look();
                }
            }));
            self.look();
        }
    }

    // ===== what a choice asks =====

    #[inline]
    pub(super) fn in_flight(&self) -> u64 {
        self.word.load(Relaxed) & !FLAGS
    }

    /// May it be chosen?
    #[inline]
    pub(super) fn is_usable(&self, now: Instant, tick: Tick) -> bool {
        self.word.load(Acquire) & FLAGS == 0
            && self.throttled_until.load(Relaxed) <= tick
            && self.guard.as_ref().is_none_or(|guard| guard.would_admit(now))
    }

    /// Was it not taken out by hand?
    #[inline]
    pub(super) fn is_offered(&self) -> bool {
        self.word.load(Acquire) & (REMOVED | DRAINING) == 0
    }

    pub(super) fn is_draining(&self) -> bool {
        self.word.load(Acquire) & DRAINING != 0
    }

    pub(super) fn is_healthy(&self) -> bool {
        self.word.load(Acquire) & UNHEALTHY == 0
    }

    pub(super) fn is_throttled(&self, tick: Tick) -> bool {
        self.throttled_until.load(Relaxed) > tick
    }

    #[inline]
    pub(super) fn phase(&self) -> Phase {
        Phase::of(self.phase.load(Acquire))
    }

    /// Which share of its calls it gets while it is eased in: from a tenth to all.
    pub(super) fn ramp(&self, tick: Tick) -> f64 {
        let from = self.ramp_from.load(Relaxed);
        if from == 0 {
            return 1.0;
        }
        let span = self.hub.slow_start.load(Relaxed).max(1);
        let past = tick.saturating_sub(from - 1);
        (past as f64 / span as f64).clamp(0.1, 1.0)
    }

    /// When it may be chosen again though nothing else happens, if that is known.
    pub(super) fn next_chance(&self, now: Instant) -> Option<Instant> {
        if self.word.load(Acquire) & FLAGS != 0 {
            return None;
        }
        let left_alone = self.hub.instant(self.throttled_until.load(Relaxed)).max(now);
        match &self.guard {
            None => Some(left_alone),
            Some(guard) => Some(guard.next_chance(now)?.max(left_alone)),
        }
    }

    /// Takes a call in, unless the endpoint was taken out or its breaker refuses. With `overrule` the breaker has no
    /// say, and what it would have refused does not count for it.
    ///
    /// This is the moment at which a call has chosen. The flags are in the word that counts it, so whoever sets one
    /// knows that no call comes after.
    pub(super) fn admit(self: &Arc<Self>, now: Instant, overrule: bool) -> Option<PoolToken> {
        let admitted = match &self.guard {
            None => None,
            Some(guard) => match guard.admit(now) {
                Ok(admitted) => Some(admitted),
                Err(_) if overrule => None,
                Err(_) => return None,
            },
        };
        let before = self.word.fetch_add(1, AcqRel);
        if before & (REMOVED | DRAINING) != 0 {
            self.leave();
            if let (Some(guard), Some(admitted)) = (&self.guard, admitted) {
                guard.cancel(admitted);
            }
            return None;
        }
        Some(PoolToken::new(self.clone(), admitted, now))
    }

    /// A call is over.
    #[inline]
    pub(super) fn leave(&self) {
        let before = self.word.fetch_sub(1, AcqRel);
        if before & (REMOVED | DRAINING) != 0 && before & !FLAGS == 1 {
            self.empty.notify_waiters();
        }
    }

    /// How a call ended, which is no success.
    pub(super) fn heed(&self, tick: Tick, outcome: &Outcome) {
        if let (Verdict::Throttled, Some(after)) = (outcome.verdict(), outcome.retry_after()) {
            let longest = self.hub.max_retry_after.load(Relaxed);
            let until = tick + super::hub::ticks(after).min(longest);
            self.throttled_until.fetch_max(until, Relaxed);
        }
    }

    // ===== taking it out by hand =====

    /// `false` if that has been done.
    pub(super) fn remove(&self) -> bool {
        self.take_out(REMOVED)
    }

    pub(super) fn drain(&self) -> bool {
        self.take_out(DRAINING)
    }

    fn take_out(&self, flag: u64) -> bool {
        let turn = self.turn();
        let before = self.word.fetch_or(flag, AcqRel);
        if before & flag != 0 {
            return false;
        }
        let was_last = before & (REMOVED | DRAINING) == 0 && !self.hub.left(self.phase() == Phase::Up);
        drop(turn);
        self.hub.failover_ended(self);
        if flag == REMOVED {
            self.unwatch();
        }
        if before & !FLAGS == 0 {
            self.empty.notify_waiters();
        }
        if was_last && self.hub.down.load(Acquire) > 0 {
            self.hub.emit(PoolEvent::Exhausted);
        }
        true
    }

    pub(super) fn resume(&self) -> bool {
        let turn = self.turn();
        let before = self.word.fetch_and(!DRAINING, AcqRel);
        let resumed = before & (REMOVED | DRAINING) == DRAINING;
        if resumed {
            self.hub.entered(self.phase() == Phase::Up);
        }
        drop(turn);
        resumed
    }

    /// Waits until it has no calls in flight.
    pub(super) async fn emptied(&self) {
        loop {
            let notified = self.empty.notified();
            if self.in_flight() == 0 {
                return;
            }
            notified.await;
        }
    }

    // ===== what is found out =====

    /// A check has said whether it is well.
    pub(super) fn checked(self: &Arc<Self>, is_well: bool, failures: u32, recoveries: u32) {
        let suspects = self.guard_is_down();
        let decided = {
            let mut turn = self.turn();
            let health = &mut turn.health;
            // While the breaker is open, a good check is news.
            let agrees = is_well != health.is_bad && !(is_well && suspects);
            let goes_on = health.says_well == is_well;
            health.against = match agrees {
                true => 0,
                false if goes_on => health.against + 1,
                false => 1,
            };
            health.says_well = is_well;
            let threshold = if is_well { recoveries } else { failures };
            let decided = !agrees && health.against >= threshold;
            if decided {
                *health = Health {
                    is_bad: !is_well,
                    ..Health::default()
                };
                if is_well {
                    self.word.fetch_and(!UNHEALTHY, AcqRel);
                } else {
                    self.word.fetch_or(UNHEALTHY, AcqRel);
                }
            }
            decided
        };
        if let (true, true, Some(guard)) = (decided, is_well, &self.guard) {
            guard.hasten();
        }
        self.look();
    }

    fn guard_is_down(&self) -> bool {
        self.standing() == Standing::Down
    }

    fn standing(&self) -> Standing {
        self.guard
            .as_ref()
            .map_or(Standing::Sound, |guard| guard.standing())
    }

    /// Whether the next check is to come soon: the endpoint is in doubt, or out.
    pub(super) fn urgency(&self) -> Urgency {
        let health = self.turn().health;
        if health.against > 0 {
            Urgency::Doubtful
        } else if health.is_bad || self.guard_is_down() {
            Urgency::Out
        } else {
            Urgency::None
        }
    }

    /// Looks at breaker and checks, and tells what is new.
    pub(super) fn look(self: &Arc<Self>) {
        let mut news = Vec::new();
        let now = clock::now();
        let (before, after) = {
            let mut turn = self.turn();
            if self.word.load(Acquire) & REMOVED != 0 {
                return;
            }
            let health = turn.health;
            let standing = self.standing();
            let after = if health.is_bad {
                if health.against > 0 {
                    Phase::Recovering
                } else {
                    Phase::Failed
                }
            } else {
                match standing {
                    Standing::Down => Phase::Failed,
                    Standing::Trial => Phase::Recovering,
                    Standing::Sound => Phase::Up,
                }
            };
            let before = self.phase();
            if before == after {
                return;
            }
            let is_counted = self.is_offered();
            match (before, after) {
                (Phase::Up, _) => {
                    turn.failed_since = Some(now);
                    let cause = if health.is_bad {
                        Cause::HealthCheck
                    } else {
                        Cause::Breaker
                    };
                    news.push(PoolEvent::NodeMarkedFailed {
                        node: self.name.clone(),
                        cause,
                    });
                }
                (Phase::Recovering, Phase::Failed) => news.push(PoolEvent::RecoveryFailed {
                    node: self.name.clone(),
                }),
                (_, Phase::Up) => {
                    let since = turn.failed_since.take().unwrap_or(now);
                    let failed_for = now.saturating_duration_since(since);
                    turn.failed_before += failed_for;
                    turn.rebalanced = self.judged();
                    self.measures.clear();
                    self.throttled_until.store(0, Relaxed);
                    self.begin_ramp(now);
                    if before == Phase::Failed {
                        news.push(PoolEvent::RecoveryStarted {
                            node: self.name.clone(),
                        });
                    }
                    news.push(PoolEvent::RecoveryCompleted {
                        node: self.name.clone(),
                        failed_for,
                    });
                    self.books.add(book::RECOVERIES, 1);
                    self.hub.books.add(pool_book::RECOVERIES, 1);
                }
                _ => {}
            }
            if after == Phase::Recovering {
                news.push(PoolEvent::RecoveryStarted {
                    node: self.name.clone(),
                });
            }
            self.phase
                .store(after as u8, std::sync::atomic::Ordering::Release);
            if is_counted && (before == Phase::Up) != (after == Phase::Up) {
                self.hub.left(before == Phase::Up);
                self.hub.entered(after == Phase::Up);
            }
            (before, after)
        };
        self.tell(news, before, after);
    }

    /// Outside the lock: listeners may ask and steer the pool.
    fn tell(self: &Arc<Self>, news: Vec<PoolEvent>, before: Phase, after: Phase) {
        news.into_iter().for_each(|event| self.hub.emit(event));
        if after == Phase::Up {
            self.hub.has_recovered.store(true, Relaxed);
        }
        self.hurry.notify_one();
        if !self.is_offered() {
            return;
        }
        match (before == Phase::Up, after == Phase::Up) {
            (true, false) if self.hub.up() > 0 => {
                self.books.add(book::FAILOVERS, 1);
                self.hub.failover_began(self);
            }
            (true, false) => self.hub.emit(PoolEvent::Exhausted),
            (false, true) => {
                self.hub.failover_ended(self);
                self.hub.changed.notify_waiters();
            }
            _ => {}
        }
    }

    fn begin_ramp(&self, now: Instant) {
        let span = self.hub.slow_start.load(Relaxed);
        if span > 0 {
            let tick = self.hub.tick(now);
            self.ramp_from.store(tick + 1, Relaxed);
            self.hub.ramp_until.fetch_max(tick + span, Relaxed);
        }
    }

    /// Successes and failures so far.
    fn judged(&self) -> (u64, u64) {
        let failures = self.books.total(book::FAILURE) + self.books.total(book::THROTTLED);
        (self.books.total(book::SUCCESS), failures)
    }

    /// Its weight, in thousandths, by how it did since it was last asked: that of one that failed is less, but never
    /// less than a tenth.
    pub(super) fn rebalanced_weight(&self) -> u64 {
        let (successes, failures) = {
            let mut turn = self.turn();
            let now = self.judged();
            let before = std::mem::replace(&mut turn.rebalanced, now);
            (now.0.saturating_sub(before.0), now.1.saturating_sub(before.1))
        };
        let rate = match successes + failures {
            0 => 1.0,
            all => successes as f64 / all as f64,
        };
        let whole = self.full_weight();
        ((whole as f64 * rate) as u64).max(whole / 10)
    }

    /// Its weight, in thousandths.
    pub(super) fn full_weight(&self) -> u64 {
        u64::from(self.weight.load(Relaxed)) * 1000
    }

    pub(super) fn reset(self: &Arc<Self>) {
        {
            let mut turn = self.turn();
            turn.health = Health::default();
            self.word.fetch_and(!UNHEALTHY, AcqRel);
        }
        self.measures.clear();
        self.throttled_until.store(0, Relaxed);
        if let Some(guard) = &self.guard {
            // One that cannot be reset has nothing to reset.
            let _ = guard.drill(&crate::registry::Drill::Reset);
        }
        self.look();
        self.ramp_from.store(0, Relaxed);
    }

    /// How long it is out, if it is, and how long it has been in all.
    pub(super) fn failed_for(&self, now: Instant) -> (Option<Duration>, Duration) {
        let turn = self.turn();
        let present = turn
            .failed_since
            .map(|since| now.saturating_duration_since(since));
        (present, turn.failed_before + present.unwrap_or_default())
    }

    // ===== checks =====

    /// Notes who checks its health, unless somebody does already.
    pub(super) fn watch(&self, spawn: impl FnOnce() -> AbortHandle) {
        let mut watcher = self.watcher.lock().unwrap_or_else(PoisonError::into_inner);
        if watcher.is_none() && self.word.load(Acquire) & REMOVED == 0 {
            *watcher = Some(spawn());
        }
    }

    pub(super) fn unwatch(&self) {
        let watcher = self.watcher.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(watcher) = watcher {
            watcher.abort();
        }
    }

    fn turn(&self) -> MutexGuard<'_, Turn> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.unwatch();
    }
}

/// How soon an endpoint's health is to be checked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Urgency {
    None,
    Out,
    Doubtful,
}
