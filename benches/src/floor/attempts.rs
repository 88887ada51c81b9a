//! What limits, repeats, doubles or replaces a call cannot do without; the table is in the [module above](super).

use std::{
    cell::Cell,
    sync::{
        Arc,
        atomic::{
            AtomicU32, AtomicU64,
            Ordering::{AcqRel, Acquire, Relaxed},
        },
    },
};

use buttress::clock::{self, Instant};

use super::{Counters, bucket, nanos};
thread_local! {
    /// The attempt that is being made.
    static MARK: Cell<u32> = const { Cell::new(0) };
    static DEADLINE: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// What a timeout shares.
#[derive(Debug)]
pub struct Limit(AtomicU64);

impl Limit {
    /// A second.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Self(AtomicU64::new(1_000_000_000))
    }

    /// A call that may take so long, and is answered at once. The clock is read only if there is a deadline.
    #[inline]
    pub fn call<T>(&self, work: impl FnOnce() -> T) -> Option<T> {
        if self.0.load(Relaxed) == 0 || DEADLINE.get().is_some_and(|until| until <= clock::now()) {
            return None;
        }
        Some(work())
    }

    /// The same where those further in are told when it is over.
    #[inline]
    pub fn total<T>(&self, work: impl FnOnce() -> T) -> Option<T> {
        let limit = self.0.load(Relaxed);
        let outer = DEADLINE.get();
        if outer.is_some() {
            return None;
        }
        let until = clock::now() + std::time::Duration::from_nanos(limit);
        DEADLINE.set(Some(until));
        let result = work();
        DEADLINE.set(outer);
        Some(result)
    }
}

/// What a retry, or a hedge, shares.
#[derive(Debug)]
pub struct Attempts {
    max: AtomicU32,
    books: Counters,
    born: Instant,
    counted: AtomicU64,
    earned: AtomicU64,
    buckets: [AtomicU64; 258],
}

impl Attempts {
    /// With a budget.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            max: AtomicU32::new(3),
            books: Counters::new(),
            born: clock::now(),
            counted: AtomicU64::new(0),
            earned: AtomicU64::new(0),
            buckets: std::array::from_fn(|_| AtomicU64::new(0)),
        })
    }

    /// A call that could be made again, and need not be.
    #[inline]
    pub fn call<T>(this: &Arc<Self>, work: impl FnOnce() -> T) -> Option<T> {
        this.within(0, work)
    }

    /// The same inside of so many others.
    #[inline]
    pub(super) fn within<T>(self: &Arc<Self>, others: u32, work: impl FnOnce() -> T) -> Option<T> {
        if self.books.count(0) % 64 == 63 {
            self.look();
        }
        if self.max.load(Relaxed) <= 1 || MARK.get() != others || DEADLINE.get() == Some(self.born) {
            return None;
        }
        let shared = self.clone();
        MARK.set(others + 1);
        let result = work();
        MARK.set(others);
        drop(shared);
        Some(result)
    }

    /// The same where it is noted how long calls take; this one took no time.
    #[inline]
    pub fn measured<T>(this: &Arc<Self>, work: impl FnOnce() -> T) -> Option<T> {
        let result = Self::call(this, work);
        this.buckets[bucket(0)].fetch_add(1, Relaxed);
        if this.books.count(1) % 32 == 31 {
            this.quantile();
        }
        result
    }

    /// Lets the calls since the last time earn their share of the budget.
    #[cold]
    fn look(&self) {
        let age = nanos(self.born);
        let calls = self.books.total(0);
        let word = self.earned.load(Acquire);
        let fresh = calls.saturating_sub(self.counted.fetch_max(calls, AcqRel));
        let next = (word / 2).saturating_add(fresh).min(age);
        // Whoever loses would look again; here there is nobody to lose against.
        let _ = self.earned.compare_exchange(word, next, AcqRel, Acquire);
    }

    #[cold]
    fn quantile(&self) {
        let total: u64 = self.buckets.iter().map(|bucket| bucket.load(Relaxed)).sum();
        self.earned.fetch_max(u64::from(total == 0), Relaxed);
    }
}

/// What a fallback shares.
#[derive(Debug)]
pub struct Spare {
    books: Counters,
    value: u64,
}

impl Spare {
    /// One that answers with 7.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            books: Counters::new(),
            value: 7,
        })
    }

    /// A call that is answered one way or the other.
    #[inline]
    pub fn call<E>(this: &Arc<Self>, work: impl FnOnce() -> Result<u64, E>) -> Result<u64, E> {
        let shared = this.clone();
        work().or_else(|_| {
            shared.books.add(0, 1);
            Ok(shared.value)
        })
    }
}
