//! What a hedge shares among its clones.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use arc_swap::ArcSwap;

use super::{After, CONCERN, builder::HedgeBuilder, snapshot::Snapshot};
use crate::{
    budget::{BudgetExhausted, Purse, is_look_due},
    clock::{self, Instant},
    histogram::{self, Moving, Window},
    name::{Name, Unnamed},
    registry::{Emitter, PolicyChanged},
    striped::Striped,
};

static UNNAMED: Unnamed = Unnamed::new(CONCERN);

pub(super) struct Shared {
    hot: Hot,
    pub(super) options: ArcSwap<HedgeBuilder>,
    // Not on the way of a call: held while what is hot and the options are changed, which belong together.
    pub(super) changing: Mutex<()>,
    latencies: Moving,
    purse: Purse,
    pub(super) events: Emitter,
    pub(super) name: Name,
    pub(super) books: Striped<8>,
}

/// Indices of the books.
pub(super) mod book {
    pub(in super::super) const CALLS: usize = 0;
    pub(in super::super) const HEDGES: usize = 1;
    pub(in super::super) const AFTER_FAILURE: usize = 2;
    pub(in super::super) const WON: usize = 3;
    pub(in super::super) const OUT_OF_TIME: usize = 4;
    pub(in super::super) const OUT_OF_BUDGET: usize = 5;
    pub(in super::super) const NOT_REPEATABLE: usize = 6;
    /// Latencies that were recorded.
    pub(super) const SAMPLES: usize = 7;
}

/// What every call has to know of the options. Apart, because a delay that is fixed must not be overwritten by one who
/// has just worked out the quantile that it has taken the place of.
struct Hot {
    /// Nanoseconds; 0 if the delay is a quantile.
    fixed: AtomicU64,
    /// Nanoseconds; `UNKNOWN` while there is no delay.
    by_quantile: AtomicU64,
    max_body: AtomicU64,
    hedge_non_idempotent: AtomicBool,
}

const UNKNOWN: u64 = u64::MAX;

/// How many latencies a thread records before it looks what they come to. A power of two.
const SAMPLES_A_LOOK: u64 = 32;

impl Shared {
    pub(super) fn new(options: HedgeBuilder) -> Self {
        let hot = Hot {
            fixed: AtomicU64::new(0),
            by_quantile: AtomicU64::new(UNKNOWN),
            max_body: AtomicU64::new(0),
            hedge_non_idempotent: AtomicBool::new(false),
        };
        hot.apply(&options);
        let this = Self {
            hot,
            name: Name::new(options.name.as_ref()),
            options: ArcSwap::from_pointee(options),
            changing: Mutex::new(()),
            latencies: Moving::new(),
            purse: Purse::new(),
            events: Emitter::default(),
            books: Striped::new(),
        };
        this.look_at_latencies(clock::now());
        this
    }

    pub(super) fn name(&self) -> &Arc<str> {
        self.name.or(&UNNAMED)
    }

    // ===== calls =====

    /// Counts a call.
    #[inline]
    pub(super) fn begin(&self) {
        if is_look_due(self.books.count(book::CALLS, 1)) {
            self.look_at_calls();
        }
    }

    #[inline]
    pub(super) fn max_body(&self) -> usize {
        usize::try_from(self.hot.max_body.load(Relaxed)).unwrap_or(usize::MAX)
    }

    /// Whether a request is hedged that its protocol does not call idempotent.
    #[cold]
    pub(super) fn hedges_all_the_same<'a>(&self, route: impl FnOnce() -> Option<&'a str>) -> bool {
        self.hot.hedge_non_idempotent.load(Relaxed) || {
            let listed = &self.options.load().idempotent_routes;
            !listed.is_empty() && route().is_some_and(|route| listed.iter().any(|r| r == route))
        }
    }

    /// How long a first attempt may take at present.
    #[inline]
    pub(super) fn delay(&self) -> Option<Duration> {
        let nanos = match self.hot.fixed.load(Relaxed) {
            0 => self.hot.by_quantile.load(Relaxed),
            fixed => fixed,
        };
        (nanos != UNKNOWN).then(|| Duration::from_nanos(nanos))
    }

    /// Whether it matters how long calls take.
    #[inline]
    pub(super) fn measures(&self) -> bool {
        self.hot.fixed.load(Relaxed) == 0
    }

    /// Notes how long a first attempt took, or that it took no less.
    #[inline]
    pub(super) fn record(&self, latency: Duration) {
        self.latencies.record(histogram::nanos(latency));
        if self.books.count(book::SAMPLES, 1) % SAMPLES_A_LOOK == SAMPLES_A_LOOK - 1 {
            self.look_at_latencies(clock::now());
        }
    }

    /// Takes a second attempt from the budget, if there is one or no budget at all.
    pub(super) fn withdraw(&self, options: &HedgeBuilder, now: Instant) -> bool {
        let Some(budget) = &options.budget else {
            return true;
        };
        let granted = self.purse.withdraw(budget, now, self.calls());
        if !granted && self.purse.refusal_is_news(now) {
            self.events.emit(CONCERN, self.name(), || BudgetExhausted);
        }
        granted
    }

    fn calls(&self) -> u64 {
        self.books.total(book::CALLS)
    }

    #[cold]
    fn look_at_calls(&self) {
        if let Some(budget) = &self.options.load().budget {
            self.purse.look(budget, clock::now(), self.calls());
        }
    }

    #[cold]
    fn look_at_latencies(&self, now: Instant) {
        let options = self.options.load();
        let After::Quantile(quantile) = options.after else {
            return;
        };
        let window = Window {
            time: options.window,
            enough: options.min_samples,
        };
        let delay = options.delay_at(self.latencies.quantile(quantile, now, window));
        let nanos = delay.map_or(UNKNOWN, histogram::nanos);
        self.hot.by_quantile.store(nanos, Relaxed);
    }

    // ===== reading and steering =====

    pub(super) fn reconfigure(&self, mut options: HedgeBuilder) {
        {
            let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
            options.name = self.options.load().name.clone();
            let options = Arc::new(options);
            self.options.store(options.clone());
            self.hot.apply(&options);
            self.look_at_latencies(clock::now());
        }
        self.events.emit(CONCERN, self.name(), || PolicyChanged);
    }

    pub(super) fn reset(&self) {
        self.books.rebase();
        self.latencies.clear();
        self.look_at_latencies(clock::now());
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let [
            calls,
            hedges,
            after_failure,
            won,
            out_of_time,
            out_of_budget,
            not_repeatable,
            _,
        ] = self.books.read();
        let budget = self.options.load().budget;
        Snapshot {
            name: self.name().clone(),
            calls,
            attempts: calls + hedges,
            hedges,
            after_failure,
            won,
            out_of_time,
            out_of_budget,
            not_repeatable,
            delay: self.delay(),
            budget_balance: budget.map(|b| self.purse.balance(&b, clock::now(), self.calls())),
        }
    }
}

impl Hot {
    fn apply(&self, options: &HedgeBuilder) {
        let fixed = match options.after {
            After::Delay(delay) => histogram::nanos(delay),
            After::Quantile(_) => 0,
        };
        self.max_body.store(options.max_body, Relaxed);
        self.hedge_non_idempotent
            .store(options.hedge_non_idempotent, Relaxed);
        self.fixed.store(fixed, Relaxed);
    }
}
