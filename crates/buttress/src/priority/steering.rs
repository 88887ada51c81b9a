//! What is changed and asked while a queue runs: by hand, by an adaptive limit, by those who look.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, PoisonError, TryLockError, atomic::Ordering::Relaxed},
};

use super::{
    CONCERN, Priority, builder::PriorityQueueBuilder, event::LimitChanged, order::CLASSES, permit::Measure,
    shared::Shared, slots::Word,
};
use crate::{clock, error::RejectionKind, registry::PolicyChanged};

impl Shared {
    // ===== the limit =====

    /// Tells an adaptive limit of a call.
    pub(super) fn learn(&self, measure: Measure) {
        let learnt = {
            // One that finds it taken does without: a sample more or less is no matter, waiting would be.
            let mut controller = match self.controller.try_lock() {
                Ok(controller) => controller,
                Err(TryLockError::Poisoned(controller)) => controller.into_inner(),
                Err(TryLockError::WouldBlock) => return,
            };
            let Some(controller) = controller.as_mut() else {
                return;
            };
            // The algorithm may be a user's, and the call that ends here has nothing to do with it.
            let limit = catch_unwind(AssertUnwindSafe(|| controller.observe(&measure.into())));
            // With the lock held: a limit that is set by hand from now on is written over this one, not under it.
            limit.map(|limit| (self.slots.set_limit(limit), limit))
        };
        match learnt {
            Ok((before, limit)) => self.tell_limit(before, limit),
            Err(_) => {
                tracing::error!(target: "buttress::priority", policy = %self.name(), "a limit algorithm panicked");
            }
        }
    }

    /// After the limit was set, and no lock is held any more.
    fn tell_limit(&self, before: u32, limit: u32) {
        if limit > before && self.slots.load().anybody_waits() {
            self.hand_out();
        }
        if limit != before {
            self.events.emit(CONCERN, self.name(), || LimitChanged {
                from: before,
                to: limit,
            });
        }
    }

    pub(super) fn reconfigure(&self, mut options: PriorityQueueBuilder) {
        // Held to the end of the change: an adaptive limit learns nothing meanwhile, and of two changes one is the last.
        let mut controller = self.controller.lock().unwrap_or_else(PoisonError::into_inner);
        let present = self.options.load_full();
        options.name = present.name.clone();
        let changed = options.concurrency != present.concurrency;
        let limit = changed.then(|| (options.concurrency.controller(), options.concurrency.initial()));
        self.hot.reserved.store(options.reserved, Relaxed);
        self.hot.by_load.store(options.sheds_by_load(), Relaxed);
        self.hot.plain.store(options.is_plain(), Relaxed);
        self.options.store(Arc::new(options));
        let limit = limit.map(|(next, limit)| {
            self.hot.timed.store(next.is_some(), Relaxed);
            let former = std::mem::replace(&mut *controller, next);
            (former, self.slots.set_limit(limit), limit)
        });
        drop(controller);
        if let Some((_former, before, limit)) = limit {
            self.tell_limit(before, limit);
        }
        // A smaller reserve, or another order, may let somebody in.
        if self.slots.load().anybody_waits() {
            self.hand_out();
        }
        self.events.emit(CONCERN, self.name(), || PolicyChanged);
    }

    // ===== by hand =====

    /// Sends away whoever waits below that class, or everybody.
    pub(super) fn shed(&self, below: Option<Priority>) -> usize {
        let count = {
            let mut line = self.line.open();
            let count = line.dismiss_below(below.map_or(CLASSES, Priority::get), RejectionKind::Shed);
            if count > 0 {
                self.settle(&line, clock::now());
            }
            count
        };
        self.tell_if_drained();
        count
    }

    pub(super) fn close(&self) {
        self.slots.close();
        // The last may have gone before.
        self.tell_if_drained();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.slots.load().is_closed()
    }

    /// Waits until it is closed and nobody is inside.
    pub(super) async fn drained(&self) {
        loop {
            let told = self.drained.notified();
            if self.is_drained() {
                return;
            }
            told.await;
        }
    }

    fn is_drained(&self) -> bool {
        let word = self.slots.load();
        word.is_closed() && word.taken() == 0 && !word.anybody_waits()
    }

    /// After everything by which the last may have gone.
    pub(super) fn tell_if_drained(&self) {
        if self.is_drained() {
            self.drained.notify_waiters();
        }
    }

    // ===== reading =====

    pub(super) fn word(&self) -> Word {
        self.slots.load()
    }

    pub(super) fn displaced(&self) -> u64 {
        self.displaced.read()[0]
    }

    pub(super) fn load_threshold(&self) -> Option<Priority> {
        if !self.is_by_load() {
            return None;
        }
        self.renew_threshold();
        self.offered.threshold()
    }

    pub(super) fn queued(&self) -> Vec<(Priority, usize)> {
        if self.line.is_empty() {
            return Vec::new();
        }
        let line = self.line.open();
        let queued = line.classes().map(|class| (class.into(), line.len_of(class)));
        queued.collect()
    }
}
