//! A bounded map of policies by key: one breaker a host, one limit a client.
//!
//! Keys come from outside, so whoever sends them decides how many there are. The map therefore has a hard
//! capacity, entries that nobody uses leave, and a new key that finds no room shares one *overflow* value with all
//! the others of its kind: it is counted, never refused.
//!
//! # The capacity
//!
//! A place is reserved, by compare-and-swap on one counter, before anything is inserted, and returned by whoever
//! really removed the entry. So the map never holds more, however many threads insert at once. The price is that
//! two threads with the same new key may for a moment hold two places, and that a key for which the last place is
//! just being filled may be sent to the overflow once.
//!
//! # Who leaves, and when
//!
//! No task runs in the background, and a hit reads no clock. A hit only marks its entry as *used* if it is not
//! marked yet. An insertion that finds the last sweep to be `idle` ago sweeps: it unmarks the entries that are
//! marked and removes those that are not, if [`Evictable::evictable`] lets them go. So an entry that is not used
//! any more leaves after `idle`, and where insertions go on, before twice that. (It is the *clock* algorithm of
//! page replacement, Corbató 1968, with time in the place of a hand.)
//!
//! A full map may be swept early, after an eighth of `idle` and never within a second: residents that are rarely
//! used then leave sooner, and keys that came in a burst do not keep others out for long. One sweep looks at every
//! entry, and the insertion that does it pays for it; however many new keys arrive, it happens no more often than
//! that.
//!
//! An entry is marked as *leaving* before it is removed, by the same compare-and-swap by which a hit marks it as
//! used. One of the two wins: a hit never returns a value that has been given up. The value itself is dropped a
//! little later, when no thread can be looking at it any more.

#[cfg(all(test, not(loom)))]
mod tests;

use std::{
    fmt,
    hash::Hash,
    sync::atomic::{
        AtomicBool, AtomicU8, AtomicU64, AtomicUsize,
        Ordering::{AcqRel, Acquire, Relaxed, Release},
    },
    time::Duration,
};

use papaya::{Equivalent, Guard, HashMap};

use crate::clock::{self, Instant};

/// An early sweep is due after this part of `idle`,
const EARLY: u32 = 8;

/// and, unless `idle` itself is shorter, never before this.
const EARLIEST: Duration = Duration::from_secs(1);

/// A value that knows whether it may be forgotten.
pub(crate) trait Evictable {
    /// Whether nothing is lost if a fresh value takes this one's place: no call in flight, nothing counted that
    /// still matters.
    fn evictable(&self, now: Instant) -> bool;

    /// The last word, once no hit hands the value out any more: those who have it in hand already may have used it
    /// since it was asked. A value that says yes here must have them look for the key again. `false` lets it stay.
    fn retire(&self, now: Instant) -> bool {
        self.evictable(now)
    }
}

/// The map. Values are handles: cloned on each hit.
pub(crate) struct Keyed<K, V> {
    map: HashMap<K, Slot<V>>,
    capacity: usize,
    /// Entries in the map and those about to be: at most `capacity`.
    reserved: AtomicUsize,
    overflow: V,
    overflowed: AtomicU64,
    idle: Duration,
    origin: Instant,
    /// When the last sweep ended, in nanoseconds after `origin`: no mark is younger than what it left.
    swept: AtomicU64,
    sweeping: AtomicBool,
}

struct Slot<V> {
    value: V,
    mark: AtomicU8,
}

/// Not used since the last sweep.
const UNUSED: u8 = 0;
/// Used since the last sweep.
const USED: u8 = 1;
/// Given up: about to be removed, and not to be handed out any more.
const LEAVING: u8 = 2;

/// What a key got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found<V> {
    /// The value that the key had already.
    Known(V),
    /// A value made for it just now, by this very call.
    Made(V),
    /// The value shared by all keys for which there is no room.
    Overflow(V),
}

impl<V> Found<V> {
    pub(crate) fn into_value(self) -> V {
        match self {
            Self::Known(value) | Self::Made(value) | Self::Overflow(value) => value,
        }
    }
}

impl<V> Slot<V> {
    /// Marks the entry as used; `false` if it has been given up.
    #[inline]
    fn touch(&self) -> bool {
        match self.mark.load(Relaxed) {
            USED => true,
            UNUSED => {
                let marked = self.mark.compare_exchange(UNUSED, USED, Relaxed, Relaxed);
                marked != Err(LEAVING)
            }
            _ => false,
        }
    }
}

impl<K, V> Keyed<K, V>
where
    K: Hash + Eq,
    V: Clone + Evictable,
{
    /// A map of at most `capacity` entries, from which those leave that are not used for `idle`. Keys beyond the
    /// capacity get `overflow`.
    pub(crate) fn new(capacity: usize, idle: Duration, overflow: V) -> Self {
        Self {
            map: HashMap::new(),
            capacity,
            reserved: AtomicUsize::new(0),
            overflow,
            overflowed: AtomicU64::new(0),
            idle,
            origin: clock::now(),
            swept: AtomicU64::new(0),
            sweeping: AtomicBool::new(false),
        }
    }

    /// The value of `key`, if it has one. This is a use of the entry.
    #[inline]
    pub(crate) fn get<Q>(&self, key: &Q) -> Option<V>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let guard = self.map.guard();
        let slot = self.map.get(key, &guard)?;
        slot.touch().then(|| slot.value.clone())
    }

    /// The value of `key`, made by `make` if it has none. This is a use of the entry.
    ///
    /// `own` makes a key to keep of the one that was asked for: `Arc::from`. Both closures run only where there is
    /// room, under no lock, and what they make may be thrown away if another thread was quicker with the same key:
    /// do not announce a value before it comes back as [`Found::Made`].
    #[inline]
    pub(crate) fn get_or_insert_with<'q, Q>(
        &self,
        key: &'q Q,
        own: impl Fn(&'q Q) -> K,
        make: impl Fn(&K) -> V,
    ) -> Found<V>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        match self.get(key) {
            Some(value) => Found::Known(value),
            None => self.insert(key, own, make),
        }
    }

    #[cold]
    fn insert<'q, Q>(&self, key: &'q Q, own: impl Fn(&'q Q) -> K, make: impl Fn(&K) -> V) -> Found<V>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let guard = self.map.guard();
        self.sweep_if_due(&guard);
        loop {
            if let Some(slot) = self.map.get(key, &guard) {
                if slot.touch() {
                    return Found::Known(slot.value.clone());
                }
                // Given up but not gone: help, rather than wait for the thread that sweeps.
                self.drop_leaving(key, clock::now(), &guard);
            }
            let Some(place) = self.reserve() else {
                // Perhaps the very key was put into the last place meanwhile.
                if let Some(value) = self.get(key) {
                    return Found::Known(value);
                }
                self.overflowed.fetch_add(1, Relaxed);
                return Found::Overflow(self.overflow.clone());
            };
            let key = own(key);
            let value = make(&key);
            let slot = Slot {
                value: value.clone(),
                mark: AtomicU8::new(USED),
            };
            match self.map.try_insert(key, slot, &guard) {
                Ok(_) => {
                    place.fill();
                    return Found::Made(value);
                }
                // Another thread was quicker; the next round finds what it made.
                Err(_) => drop(place),
            }
        }
    }

    /// Removes the entry of `key`, used or not, evictable or not.
    pub(crate) fn remove<Q>(&self, key: &Q) -> Option<V>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let guard = self.map.guard();
        let slot = self.map.remove(key, &guard)?;
        self.release();
        Some(slot.value.clone())
    }

    /// Calls `f` with each entry, in no order. This is no use of them.
    pub(crate) fn for_each(&self, mut f: impl FnMut(&K, &V)) {
        let guard = self.map.guard();
        for (key, slot) in self.map.iter(&guard) {
            f(key, &slot.value);
        }
    }

    /// The entries, in no order. This is no use of them.
    pub(crate) fn snapshot(&self) -> Vec<(K, V)>
    where
        K: Clone,
    {
        let mut all = Vec::with_capacity(self.len());
        self.for_each(|key, value| all.push((key.clone(), value.clone())));
        all
    }

    /// How many entries there are, those being inserted included; never more than [`capacity`](Self::capacity).
    pub(crate) fn len(&self) -> usize {
        self.reserved.load(Relaxed)
    }

    /// How many entries there can be.
    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// The value of the keys for which there is no room.
    pub(crate) fn overflow(&self) -> &V {
        &self.overflow
    }

    /// How often a key got the overflow value.
    pub(crate) fn overflowed(&self) -> u64 {
        self.overflowed.load(Relaxed)
    }

    fn sweep_if_due(&self, guard: &impl Guard) {
        let wait = if self.len() < self.capacity {
            self.idle
        } else {
            (self.idle / EARLY).max(EARLIEST).min(self.idle)
        };
        let due = |now| {
            let swept = Duration::from_nanos(self.swept.load(Acquire));
            self.since_origin(now).saturating_sub(swept) >= wait
        };
        let now = clock::now();
        if !due(now) || self.sweeping.swap(true, Acquire) {
            return;
        }
        let _sweeping = Sweeping(&self.sweeping);
        // Another thread's sweep may have ended since the clock was read.
        if !due(now) {
            return;
        }
        for (key, slot) in self.map.iter(guard) {
            let unused = slot.mark.compare_exchange(USED, UNUSED, Relaxed, Relaxed) == Err(UNUSED);
            if unused && slot.value.evictable(now) {
                // Fails if the entry was used just now.
                let left = slot.mark.compare_exchange(UNUSED, LEAVING, Relaxed, Relaxed);
                if left.is_ok() {
                    self.drop_leaving(key, now, guard);
                }
            }
        }
        let end = u64::try_from(self.since_origin(clock::now()).as_nanos()).unwrap_or(u64::MAX);
        self.swept.store(end, Release);
    }

    /// Removes the entry if it has been given up, or lets it stay after all. Whoever gets it out returns its place.
    fn drop_leaving<Q>(&self, key: &Q, now: Instant, guard: &impl Guard)
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let leaving = |_: &K, slot: &Slot<V>| slot.mark.load(Relaxed) == LEAVING && slot.value.retire(now);
        match self.map.remove_if(key, leaving, guard) {
            Ok(Some(_)) => self.release(),
            Ok(None) => {}
            Err((_, slot)) => {
                let _ = slot.mark.compare_exchange(LEAVING, USED, Relaxed, Relaxed);
            }
        }
    }
}

impl<K, V> Keyed<K, V> {
    fn since_origin(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.origin)
    }

    fn reserve(&self) -> Option<Place<'_, K, V>> {
        let more = |n| (n < self.capacity).then_some(n + 1);
        self.reserved.fetch_update(AcqRel, Relaxed, more).ok()?;
        Some(Place(self))
    }

    fn release(&self) {
        self.reserved.fetch_sub(1, Release);
    }
}

/// A reserved place: returned if nothing comes of it, a panic in `make` included.
struct Place<'a, K, V>(&'a Keyed<K, V>);

impl<K, V> Place<'_, K, V> {
    /// Leaves the place to the entry that now stands in it.
    fn fill(self) {
        std::mem::forget(self);
    }
}

impl<K, V> Drop for Place<'_, K, V> {
    fn drop(&mut self) {
        self.0.release();
    }
}

/// The right to sweep, given up even if [`Evictable::evictable`] panics.
struct Sweeping<'a>(&'a AtomicBool);

impl Drop for Sweeping<'_> {
    fn drop(&mut self) {
        self.0.store(false, Release);
    }
}

impl<K, V> fmt::Debug for Keyed<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyed")
            .field("len", &self.reserved.load(Relaxed))
            .field("capacity", &self.capacity)
            .field("overflowed", &self.overflowed.load(Relaxed))
            .finish_non_exhaustive()
    }
}
