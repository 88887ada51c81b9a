//! The sliding-window log: the moments of the last `n` permits, in a ring.
//!
//! So many permits can be had as the oldest entries of the ring have left the window; the call writes its own moment
//! over them. Whether it may is one look at the youngest entry that it would overwrite. In no window of the length of
//! `per`, wherever it begins, are there more than `n`: a call that comes exactly one window after another is in another
//! window.
//!
//! It takes eight bytes a permit of the limit, made when the limit is, and a lock for the time of those looks and
//! writes: a ring is no word.

use std::time::Duration;

use super::{
    quota::{Quota, Refusal},
    rules::Rule,
};

/// The most permits that a window may have.
pub(super) const MOST: u64 = 1_000_000;

#[derive(Debug)]
pub(super) struct Log {
    window: u64,
    /// Moments, each one nanosecond late, so that 0 is long ago.
    moments: Box<[u64]>,
    /// The oldest.
    head: usize,
    /// The moment of the last call that was let through, given back or not.
    latest: u64,
    /// The place of the log in a map has been given up.
    pub(super) sealed: bool,
    pub(super) epoch: u64,
}

impl Log {
    pub(super) fn new(rule: Rule, epoch: u64) -> Self {
        let permits = usize::try_from(rule.room.clamp(1, MOST)).unwrap_or(1);
        Self {
            window: rule.price,
            moments: vec![0; permits].into_boxed_slice(),
            head: 0,
            latest: 0,
            sealed: false,
            epoch,
        }
    }

    fn limit(&self) -> usize {
        self.moments.len()
    }

    fn at(&self, age: usize) -> usize {
        (self.head + age) % self.limit()
    }

    /// From when on the entry, 0 being the oldest, is out of the window.
    fn free_from(&self, entry: usize) -> u64 {
        match self.moments[self.at(entry)] {
            0 => 0,
            moment => moment - 1 + self.window,
        }
    }

    /// Another thread may have looked at the clock later and been here earlier; the ring stays in order. That holds too if
    /// what it took has been given back: the entries that it took the place of are gone, and would be missed by a reading
    /// from before they were out of the window.
    pub(super) fn charge(&mut self, now: u64, permits: u32) -> Option<u64> {
        let wanted = usize::try_from(permits).ok().filter(|n| *n <= self.limit())?;
        let now = now.max(self.latest);
        if wanted == 0 || self.free_from(wanted - 1) > now {
            return (wanted == 0).then_some(now);
        }
        for age in 0..wanted {
            let at = self.at(age);
            self.moments[at] = now + 1;
        }
        self.head = self.at(wanted);
        self.latest = now;
        Some(now)
    }

    pub(super) fn wait(&self, now: u64, ahead: u64, permits: u32) -> Refusal {
        let limit = self.limit() as u64;
        if u64::from(permits) > limit {
            return Refusal::Never(limit);
        }
        // Who comes after as many others as the window holds waits for those, who are yet to come.
        let last = ahead.saturating_add(permits.into()).saturating_sub(1);
        let (rounds, entry) = (last / limit, (last % limit) as usize);
        let free = self.free_from(entry).max(if rounds > 0 { now } else { 0 });
        let free = free.saturating_add(rounds.saturating_mul(self.window));
        Refusal::Until(free.saturating_sub(now))
    }

    /// Takes out what was entered at `at`. Those that came later move up, so that the ring stays in order.
    pub(super) fn give_back(&mut self, at: u64, permits: u32) {
        let limit = self.limit();
        let age = |entry: usize| self.moments[self.at(entry)];
        let moment = at + 1;
        let first = partition(limit, |entry| age(entry) < moment);
        let behind = partition(limit, |entry| age(entry) <= moment);
        let removed = (behind - first).min(usize::try_from(permits).unwrap_or(limit));
        for entry in first + removed..limit {
            let (from, to) = (self.at(entry), self.at(entry - removed));
            self.moments[to] = self.moments[from];
        }
        for entry in limit - removed..limit {
            let at = self.at(entry);
            self.moments[at] = 0;
        }
        self.head = self.at(limit - removed);
    }

    pub(super) fn quota(&self, now: u64) -> Quota {
        let limit = self.limit();
        let free = partition(limit, |entry| self.free_from(entry) <= now);
        let until = |entry| Duration::from_nanos(self.free_from(entry).saturating_sub(now));
        Quota {
            limit: limit as u64,
            remaining: free as u64,
            window: Duration::from_nanos(self.window),
            reset: until(limit - 1),
            retry_after: (free == 0).then(|| until(0)),
        }
    }

    #[cfg_attr(not(feature = "keyed"), allow(dead_code))]
    pub(super) fn is_idle(&self, now: u64) -> bool {
        self.free_from(self.limit() - 1) <= now
    }

    /// The youngest entries go over to the new ring, as many as it holds.
    pub(super) fn convert(&mut self, rule: Rule, epoch: u64) {
        let mut next = Self::new(rule, epoch);
        let kept = self.limit().min(next.limit());
        for back in 1..=kept {
            let at = next.limit() - back;
            next.moments[at] = self.moments[self.at(self.limit() - back)];
        }
        (next.sealed, next.latest) = (self.sealed, self.latest);
        *self = next;
    }

    pub(super) fn clear(&mut self) {
        self.moments.fill(0);
    }
}

/// How many of `0..len` come before the first for which it does not hold any more.
fn partition(len: usize, holds: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, len);
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}
