//! What all endpoints of a pool share.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{
            AtomicBool, AtomicU32, AtomicU64, AtomicUsize,
            Ordering::{AcqRel, Acquire, Relaxed},
        },
    },
    time::Duration,
};

use tokio::sync::Notify;

use super::{
    CONCERN,
    events::PoolEvent,
    fading::{Fading, Tick},
    node::Node,
    options::PoolOptions,
};
use crate::{
    budget::{Purse, is_look_due},
    clock::{self, Instant},
    name::{Name, Unnamed},
    registry::Emitter,
    striped::Striped,
};

static UNNAMED: Unnamed = Unnamed::new(CONCERN);

pub(super) struct Hub {
    born: Instant,
    pub(super) name: Name,
    pub(super) events: Emitter,
    pub(super) books: Striped<5>,
    pub(super) purse: Purse,
    /// The longest that an endpoint's `Retry-After` is obeyed, and how long an endpoint is eased in, in ticks.
    pub(super) max_retry_after: AtomicU64,
    pub(super) slow_start: AtomicU64,
    /// When the last easing in ends.
    pub(super) ramp_until: AtomicU64,
    /// What a success usually takes times the calls that are in flight with it, in microseconds.
    pub(super) typical: Fading,
    pub(super) next_id: AtomicU32,
    /// Endpoints that take calls.
    up: AtomicUsize,
    /// Endpoints that do not, though nobody took them out.
    pub(super) down: AtomicUsize,
    /// Failovers that have begun and whose first success is still to come: their number, and whose they are.
    moving: AtomicUsize,
    // Locked when an endpoint fails, and by the first success after that.
    moves: Mutex<Vec<(Weak<Node>, Instant)>>,
    /// An endpoint has, and the weights have not been set anew since.
    pub(super) has_recovered: AtomicBool,
    /// Of interest to calls that wait for an endpoint to get ready, and to those that follow a stream.
    pub(super) changed: Arc<Notify>,
}

/// Indices of the books.
pub(super) mod book {
    pub(in super::super) const CALLS: usize = 0;
    /// Calls that no endpoint could take.
    pub(in super::super) const NO_ENDPOINT: usize = 1;
    pub(in super::super) const FAILOVERS: usize = 2;
    pub(in super::super) const RECOVERIES: usize = 3;
    /// Calls that might have failed over, had the budget not been exhausted.
    pub(in super::super) const OUT_OF_BUDGET: usize = 4;
}

impl Hub {
    pub(super) fn new(options: &PoolOptions) -> Self {
        let hub = Self {
            born: clock::now(),
            name: Name::new(options.name.as_ref()),
            events: Emitter::default(),
            books: Striped::new(),
            purse: Purse::new(),
            max_retry_after: AtomicU64::new(0),
            slow_start: AtomicU64::new(0),
            ramp_until: AtomicU64::new(0),
            typical: Fading::default(),
            next_id: AtomicU32::new(1),
            up: AtomicUsize::new(0),
            down: AtomicUsize::new(0),
            moving: AtomicUsize::new(0),
            moves: Mutex::default(),
            has_recovered: AtomicBool::new(false),
            changed: Arc::default(),
        };
        hub.set(options);
        hub
    }

    pub(super) fn set(&self, options: &PoolOptions) {
        self.max_retry_after
            .store(ticks(options.max_retry_after), Relaxed);
        self.slow_start.store(ticks(options.slow_start), Relaxed);
    }

    pub(super) fn name(&self) -> &Arc<str> {
        self.name.or(&UNNAMED)
    }

    #[inline]
    pub(super) fn tick(&self, now: Instant) -> Tick {
        ticks(now.saturating_duration_since(self.born))
    }

    pub(super) fn instant(&self, tick: Tick) -> Instant {
        self.born + Duration::from_millis(tick)
    }

    /// Counts a call.
    #[inline]
    pub(super) fn begin(&self, options: &PoolOptions) {
        if is_look_due(self.books.count(book::CALLS, 1)) {
            self.look(options);
        }
    }

    #[cold]
    fn look(&self, options: &PoolOptions) {
        if let Some(budget) = &options.budget {
            self.purse
                .look(budget, clock::now(), self.books.total(book::CALLS));
        }
    }

    /// Takes one failover from the budget.
    pub(super) fn withdraw(&self, options: &PoolOptions, now: Instant) -> bool {
        let Some(budget) = &options.budget else {
            return true;
        };
        let granted = self.purse.withdraw(budget, now, self.books.total(book::CALLS));
        if !granted {
            self.books.add(book::OUT_OF_BUDGET, 1);
        }
        granted
    }

    /// How many failovers there could be at once; `None` if there is no limit.
    pub(super) fn budget_balance(&self, options: &PoolOptions, now: Instant) -> Option<f64> {
        let budget = options.budget.as_ref()?;
        Some(self.purse.balance(budget, now, self.books.total(book::CALLS)))
    }

    /// Notes that a success took so long, in microseconds, at an endpoint with so many calls in flight.
    pub(super) fn note_success(&self, now: Tick, micros: f32, in_flight: u64) {
        let cost = micros * in_flight.max(1) as f32;
        self.typical.update(now, f32::INFINITY, |before, _| {
            before.map_or(cost, |before| before + (cost - before) / 8.0)
        });
    }

    /// What stands in the queue of an endpoint that works, in microseconds.
    pub(super) fn typical_cost(&self) -> Option<f32> {
        self.typical.read(0, f32::INFINITY)
    }

    // ===== endpoints that come and go =====

    pub(super) fn entered(&self, is_up: bool) {
        self.count(is_up).fetch_add(1, AcqRel);
    }

    /// `false` if that was the last that was up.
    pub(super) fn left(&self, was_up: bool) -> bool {
        let last = self.count(was_up).fetch_sub(1, AcqRel) == 1;
        !(was_up && last)
    }

    fn count(&self, is_up: bool) -> &AtomicUsize {
        if is_up { &self.up } else { &self.down }
    }

    pub(super) fn up(&self) -> usize {
        self.up.load(Acquire)
    }

    pub(super) fn emit(&self, event: PoolEvent) {
        match event.severity() {
            Some(super::Severity::Info) | None => {
                tracing::info!(target: "buttress::pool", pool = %self.name(), event = event.as_str(), "{event}");
            }
            Some(severity) => {
                tracing::warn!(target: "buttress::pool", pool = %self.name(), event = event.as_str(), %severity, "{event}");
            }
        }
        self.events.emit(CONCERN, self.name(), || event);
    }

    // ===== failovers =====

    pub(super) fn failover_began(&self, node: &Arc<Node>) {
        self.books.add(book::FAILOVERS, 1);
        self.emit(PoolEvent::FailoverStarted {
            from: node.name.clone(),
        });
        let mut moves = self.moves();
        moves.push((Arc::downgrade(node), clock::now()));
        self.moving.store(moves.len(), Relaxed);
    }

    /// The endpoint is back, or gone: nobody has to answer for it.
    pub(super) fn failover_ended(&self, node: &Node) {
        let mut moves = self.moves();
        moves.retain(|(from, _)| from.upgrade().is_some_and(|from| from.id != node.id));
        self.moving.store(moves.len(), Relaxed);
    }

    /// A call to `node` has succeeded.
    #[inline]
    pub(super) fn succeeded(&self, node: &Node) {
        if self.moving.load(Relaxed) > 0 {
            self.moved_to(node);
        }
    }

    #[cold]
    fn moved_to(&self, node: &Node) {
        let now = clock::now();
        let done: Vec<_> = {
            let mut moves = self.moves();
            let (own, others) = moves
                .drain(..)
                .filter_map(|(from, began)| Some((from.upgrade()?, began)))
                .partition::<Vec<_>, _>(|(from, _)| from.id == node.id);
            moves.extend(own.iter().map(|(from, began)| (Arc::downgrade(from), *began)));
            self.moving.store(moves.len(), Relaxed);
            others
        };
        for (from, began) in done {
            self.emit(PoolEvent::FailoverCompleted {
                from: from.name.clone(),
                to: node.name.clone(),
                took: now.saturating_duration_since(began),
            });
        }
    }

    fn moves(&self) -> MutexGuard<'_, Vec<(Weak<Node>, Instant)>> {
        self.moves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn ticks(time: Duration) -> Tick {
    time.as_secs()
        .saturating_mul(1000)
        .saturating_add(time.subsec_millis().into())
}
