//! One endpoint: how busy it is, how it does, and whether it may be chosen.

mod phase;
mod turn;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{
            AtomicU8, AtomicU32, AtomicU64,
            Ordering::{AcqRel, Acquire, Relaxed},
        },
    },
    time::Duration,
};

use tokio::{sync::Notify, task::AbortHandle};

use super::{events::PoolEvent, fading::Tick, hub::Hub, measures::Measures, token::PoolToken};
use crate::{
    admission::{Admission, Admitted},
    clock::{self, Instant},
    outcome::{Outcome, Verdict},
    striped::Striped,
};

pub use phase::Phase;
use turn::Turn;
pub(super) use turn::Urgency;

pub(super) struct Node {
    pub(super) id: u32,
    /// One of 64; two endpoints of a pool of at most 64 have never the same.
    pub(super) slot: u8,
    pub(super) name: Arc<str>,
    pub(super) hub: Arc<Hub>,
    guard: OnceLock<Arc<dyn Admission>>,
    /// Calls in flight, and the flags below.
    word: AtomicU64,
    phase: AtomicU8,
    /// Until when it has asked to be left alone.
    throttled_until: AtomicU64,
    /// Since when it is eased in, one more than it is; 0 if it is not.
    ramp_from: AtomicU64,
    pub(super) weight: AtomicU32,
    pub(super) measures: Measures,
    /// One for all that have the name in turn, so that no count ever falls.
    pub(super) books: Arc<Striped<8>>,
    // Locked when something is found out about the endpoint, and by those who look; not on the way of a call.
    turn: Mutex<Turn>,
    /// The last call has left, and somebody waits for that.
    pub(super) empty: Notify,
    /// The checks of its health should not wait.
    pub(super) hurry: Arc<Notify>,
    // Locked when the checks begin and end.
    watcher: Mutex<Option<AbortHandle>>,
}

const REMOVED: u64 = 1 << 63;
const DRAINING: u64 = 1 << 62;
const UNHEALTHY: u64 = 1 << 61;
/// Somebody waits until no call is in flight.
const AWAITED: u64 = 1 << 60;
/// Those that keep calls away.
const OUT: u64 = REMOVED | DRAINING | UNHEALTHY;
const FLAGS: u64 = OUT | AWAITED;

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

impl Node {
    /// One that takes the place of `before`, if there is one of its name, goes on with its books.
    pub(super) fn new(
        hub: Arc<Hub>,
        slot: u8,
        name: Arc<str>,
        weight: u32,
        guard: Option<Arc<dyn Admission>>,
        before: Option<&Self>,
    ) -> Arc<Self> {
        Arc::new(Self {
            turn: Mutex::new(
                before
                    .map(|before| before.next_turn(clock::now()))
                    .unwrap_or_default(),
            ),
            books: before.map_or_else(|| Arc::new(Striped::new()), |before| before.books.clone()),
            id: hub.next_id.fetch_add(1, Relaxed),
            slot,
            name,
            hub,
            guard: guard.map_or_else(OnceLock::new, OnceLock::from),
            word: AtomicU64::new(0),
            phase: AtomicU8::new(Phase::Up as u8),
            throttled_until: AtomicU64::new(0),
            ramp_from: AtomicU64::new(0),
            weight: AtomicU32::new(weight),
            measures: Measures::default(),
            empty: Notify::new(),
            hurry: Arc::default(),
            watcher: Mutex::default(),
        })
    }

    /// Has its breaker tell of every change, now that the endpoint is in the pool, and tells those who listen to the pool.
    pub(super) fn listen(self: &Arc<Self>) {
        if let Some(guard) = self.guard() {
            // A breaker may outlive the pool, and listeners are for ever.
            let weak = Arc::downgrade(self);
            guard.listen(Arc::new(move |event| {
                if let Some(node) = weak.upgrade().filter(|node| !node.is_removed()) {
                    node.hub.events.forward_of_member(event, &node.name);
                    node.look();
                }
            }));
            self.look();
        }
    }

    /// Its breaker, if it has one.
    #[inline]
    pub(super) fn guard(&self) -> Option<&Arc<dyn Admission>> {
        self.guard.get()
    }

    /// Gives it a breaker; `false` if it has one.
    pub(super) fn set_guard(self: &Arc<Self>, guard: Arc<dyn Admission>) -> bool {
        self.guard.set(guard).is_ok()
    }

    // ===== what a choice asks =====

    #[inline]
    pub(super) fn in_flight(&self) -> u64 {
        self.word.load(Relaxed) & !FLAGS
    }

    /// May it be chosen?
    #[inline]
    pub(super) fn is_usable(&self, now: Instant, tick: Tick) -> bool {
        self.word.load(Acquire) & OUT == 0
            && self.throttled_until.load(Relaxed) <= tick
            && self.guard().is_none_or(|guard| guard.would_admit(now))
    }

    /// Is it kept from calls by what is thought of it, and not just by a limit that is used up?
    pub(super) fn is_out(&self, now: Instant, tick: Tick) -> bool {
        !self.is_usable(now, tick) && self.turn_in(now, tick).is_none()
    }

    /// When a call that comes now would have its turn, where nothing but a limit is in the way.
    pub(super) fn turn_in(&self, now: Instant, tick: Tick) -> Option<Duration> {
        if self.word.load(Acquire) & OUT != 0 || self.is_throttled(tick) {
            return None;
        }
        self.guard()?.turn_in(now)
    }

    /// Was it not taken out by hand?
    #[inline]
    pub(super) fn is_offered(&self) -> bool {
        self.word.load(Acquire) & (REMOVED | DRAINING) == 0
    }

    fn is_removed(&self) -> bool {
        self.word.load(Acquire) & REMOVED != 0
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
        if self.word.load(Acquire) & OUT != 0 {
            return None;
        }
        let left_alone = self.hub.instant(self.throttled_until.load(Relaxed)).max(now);
        match self.guard() {
            None => Some(left_alone),
            Some(guard) => Some(guard.next_chance(now)?.max(left_alone)),
        }
    }

    /// Takes a call in, unless the endpoint was taken out or its breaker refuses. With `overrule` the breaker has no
    /// say, and what it would have refused does not count for it; a limit has.
    #[inline]
    pub(super) fn admit(self: &Arc<Self>, now: Instant, overrule: bool) -> Option<PoolToken> {
        let admitted = match self.guard() {
            None => None,
            Some(guard) => match guard.admit(now) {
                Ok(admitted) => Some(admitted),
                Err(_) if overrule => {
                    guard.overrule(now).ok()?;
                    None
                }
                Err(_) => return None,
            },
        };
        self.take_in(now, admitted)
    }

    /// Takes a call in that has the leave of the guard, unless the endpoint was taken out.
    ///
    /// This is the moment at which a call has chosen. The flags are in the word that counts it, so whoever sets one
    /// knows that no call comes after.
    #[inline]
    pub(super) fn take_in(self: &Arc<Self>, now: Instant, admitted: Option<Admitted>) -> Option<PoolToken> {
        let before = self.word.fetch_add(1, AcqRel);
        if before & (REMOVED | DRAINING) != 0 {
            self.leave();
            if let (Some(guard), Some(admitted)) = (self.guard(), admitted) {
                guard.withdraw(admitted);
            }
            return None;
        }
        Some(PoolToken::new(self.clone(), admitted, now))
    }

    /// A call is over.
    #[inline]
    pub(super) fn leave(&self) {
        let before = self.word.fetch_sub(1, AcqRel);
        if before & AWAITED != 0 && before & !FLAGS == 1 {
            self.tell_that_it_is_empty();
        }
    }

    #[cold]
    fn tell_that_it_is_empty(&self) {
        // Who wants to be told again says so again.
        self.word.fetch_and(!AWAITED, AcqRel);
        self.empty.notify_waiters();
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
        self.hub.changed.notify_waiters();
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
            // It hears of whatever happens from here on, and the flag is raised after: no end of a call is missed.
            let notified = self.empty.notified();
            if self.word.fetch_or(AWAITED, AcqRel) & !FLAGS == 0 {
                return;
            }
            notified.await;
        }
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
