use std::sync::Arc;

use super::{
    cell::{Cell, NotNow},
    quota::{Quota, Refusal},
    tariff::Tariff,
};
use crate::wait_line::{Heads, WaitLine};

/// One limit: its state, what it is under, and those who wait for it.
#[derive(Debug)]
pub(super) struct Spot {
    cell: Cell,
    pub(super) tariff: Arc<Tariff>,
    pub(super) line: WaitLine,
}

impl Spot {
    pub(super) fn new(tariff: Arc<Tariff>) -> Self {
        Self {
            cell: Cell::new(tariff.algorithm, &tariff.rules),
            tariff,
            line: WaitLine::new(1, Heads::Told),
        }
    }

    /// [`charge`](Self::charge) where that is simple.
    #[inline]
    pub(super) fn charge_at_once(&self, now: u64, permits: u32) -> Option<u64> {
        if !self.line.is_empty() {
            return None;
        }
        self.cell.charge_at_once(&self.tariff.rules, now, permits)
    }

    /// Takes permits, unless somebody waits already: those who came before go first.
    pub(super) fn charge(&self, now: u64, permits: u32) -> Result<u64, NotNow> {
        if self.line.is_empty() {
            self.cell.charge(&self.tariff.rules, now, permits)
        } else {
            Err(NotNow::Refused(self.wait(now, permits)))
        }
    }

    /// Takes permits for the first in the line, who has stood in it since `entered`.
    pub(super) fn charge_first(&self, now: u64, entered: u64, permits: u32) -> Result<u64, NotNow> {
        self.cell.charge_waiter(&self.tariff.rules, now, entered, permits)
    }

    /// How long until that many could be had behind all who wait.
    #[cold]
    pub(super) fn wait(&self, now: u64, permits: u32) -> Refusal {
        let ahead = match self.line.is_empty() {
            true => 0,
            false => self.line.open().weight(),
        };
        self.wait_behind(now, ahead, permits)
    }

    pub(super) fn wait_behind(&self, now: u64, ahead: u64, permits: u32) -> Refusal {
        self.cell.wait(&self.tariff.rules, now, ahead, permits)
    }

    pub(super) fn give_back(&self, now: u64, at: u64, permits: u32) {
        self.cell.give_back(&self.tariff.rules, now, at, permits);
        self.tell_first();
    }

    pub(super) fn quota(&self, now: u64) -> Quota {
        self.cell.quota(&self.tariff.rules, now)
    }

    /// Brings the state under the rule that is in force since just now. The first in the line has to be
    /// [told](Self::tell_first).
    pub(super) fn refresh(&self, now: u64) {
        self.cell.refresh(&self.tariff.rules, now);
    }

    pub(super) fn clear(&self, now: u64) {
        self.cell.clear(&self.tariff.rules, now);
        self.tell_first();
    }

    /// Has the first in the line look again: its turn may have come nearer.
    pub(super) fn tell_first(&self) {
        if !self.line.is_empty() {
            self.line.open().tell_first_again();
        }
    }
}

/// Nothing is lost with a limit that is as good as a new one and that nobody holds. One that is used up is never that,
/// so no stream of new keys can have it forgotten.
#[cfg(feature = "keyed")]
impl crate::keyed::Evictable for Arc<Spot> {
    fn evictable(&self, now: crate::clock::Instant) -> bool {
        let now = self.tariff.nanos(now);
        Arc::strong_count(self) == 1 && self.cell.is_idle(&self.tariff.rules, now)
    }

    fn retire(&self, now: crate::clock::Instant) -> bool {
        let held = Arc::strong_count(self) > 1;
        !held && self.cell.seal(&self.tariff.rules, self.tariff.nanos(now))
    }
}
