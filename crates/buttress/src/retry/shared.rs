//! What a retry shares among its clones.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
};

use arc_swap::ArcSwap;

use super::{CONCERN, builder::RetryBuilder, snapshot::Snapshot};
use crate::{
    budget::{BudgetExhausted, Purse, is_look_due},
    clock::{self, Instant},
    name::{Name, Unnamed},
    random::Source,
    registry::{Emitter, PolicyChanged},
    striped::Striped,
};

static UNNAMED: Unnamed = Unnamed::new(CONCERN);

pub(super) struct Shared {
    hot: Hot,
    pub(super) options: ArcSwap<RetryBuilder>,
    // Not on the way of a call: held while what is hot and the options are changed, which belong together. Nothing
    // foreign runs under it.
    pub(super) changing: Mutex<()>,
    pub(super) source: Source,
    purse: Purse,
    pub(super) events: Emitter,
    pub(super) name: Name,
    pub(super) books: Striped<8>,
}

/// Indices of the books.
pub(super) mod book {
    pub(in super::super) const CALLS: usize = 0;
    pub(in super::super) const RETRIES: usize = 1;
    pub(in super::super) const RECOVERED: usize = 2;
    pub(in super::super) const OUT_OF_ATTEMPTS: usize = 3;
    pub(in super::super) const OUT_OF_TIME: usize = 4;
    pub(in super::super) const OUT_OF_BUDGET: usize = 5;
    pub(in super::super) const FORBIDDEN: usize = 6;
    pub(in super::super) const NOT_REPEATABLE: usize = 7;
}

/// What a call has to know of the options before it is known whether it fails.
struct Hot {
    max_attempts: AtomicU32,
    max_body: AtomicU64,
    retry_non_idempotent: AtomicBool,
}

/// What a call has to know of the options to be prepared for a second attempt.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) max_body: usize,
    pub(super) retry_non_idempotent: bool,
}

impl Shared {
    pub(super) fn new(options: RetryBuilder) -> Self {
        Self {
            hot: Hot {
                max_attempts: AtomicU32::new(options.max_attempts),
                max_body: AtomicU64::new(options.max_body),
                retry_non_idempotent: AtomicBool::new(options.retry_non_idempotent),
            },
            source: Source::new(options.seed),
            name: Name::new(options.name.as_ref()),
            options: ArcSwap::from_pointee(options),
            changing: Mutex::new(()),
            purse: Purse::new(),
            events: Emitter::default(),
            books: Striped::new(),
        }
    }

    pub(super) fn name(&self) -> &Arc<str> {
        self.name.or(&UNNAMED)
    }

    /// Counts a call; `None` if it is not to be repeated whatever becomes of it.
    #[inline]
    pub(super) fn begin(&self) -> Option<Plan> {
        if is_look_due(self.books.count(book::CALLS, 1)) {
            self.look();
        }
        (self.hot.max_attempts.load(Relaxed) > 1).then(|| Plan {
            max_body: usize::try_from(self.hot.max_body.load(Relaxed)).unwrap_or(usize::MAX),
            retry_non_idempotent: self.hot.retry_non_idempotent.load(Relaxed),
        })
    }

    #[cold]
    fn look(&self) {
        if let Some(budget) = &self.options.load().budget {
            self.purse.look(budget, clock::now(), self.calls());
        }
    }

    fn calls(&self) -> u64 {
        self.books.total(book::CALLS)
    }

    /// Takes a retry from the budget, if there is one or no budget at all.
    pub(super) fn withdraw(&self, options: &RetryBuilder, now: Instant) -> bool {
        let Some(budget) = &options.budget else {
            return true;
        };
        let granted = self.purse.withdraw(budget, now, self.calls());
        if !granted && self.purse.refusal_is_news(now) {
            self.events.emit(CONCERN, self.name(), || BudgetExhausted);
        }
        granted
    }

    pub(super) fn reconfigure(&self, mut options: RetryBuilder) {
        // Dropped with the lock free, for there may be closures in it.
        let _before = {
            let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
            let present = self.options.load();
            options.name = present.name.clone();
            options.seed = present.seed;
            self.hot.max_body.store(options.max_body, Relaxed);
            self.hot
                .retry_non_idempotent
                .store(options.retry_non_idempotent, Relaxed);
            self.hot.max_attempts.store(options.max_attempts, Relaxed);
            self.options.swap(Arc::new(options))
        };
        self.events.emit(CONCERN, self.name(), || PolicyChanged);
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let [
            calls,
            retries,
            recovered,
            out_of_attempts,
            out_of_time,
            out_of_budget,
            forbidden,
            not_repeatable,
        ] = self.books.read();
        let budget = self.options.load().budget;
        Snapshot {
            name: self.name().clone(),
            calls,
            attempts: calls + retries,
            retries,
            recovered,
            out_of_attempts,
            out_of_time,
            out_of_budget,
            forbidden,
            not_repeatable,
            budget_balance: budget.map(|b| self.purse.balance(&b, clock::now(), self.calls())),
        }
    }
}
