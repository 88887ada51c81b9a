//! Rate limit and priority queue.

use std::sync::{
    Arc, Mutex,
    atomic::{
        AtomicU64,
        Ordering::{AcqRel, Acquire, Relaxed},
    },
};

use buttress::clock::{self, Instant};

use super::{Counters, nanos};

/// What all threads write, on a cache line of its own: what is beside it would have to be fetched anew each time.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Alone(AtomicU64);

/// A token bucket in one word: until when what was taken is paid for.
#[derive(Debug)]
pub struct Bucket {
    word: Alone,
    price: u64,
    room: u64,
    books: Counters,
    name: Arc<str>,
    born: Instant,
}

impl Bucket {
    /// One that gives a permit every 10 ns.
    pub fn plenty() -> Arc<Self> {
        Self::with(10)
    }

    /// One that has nothing for years.
    pub fn empty() -> Arc<Self> {
        let bucket = Self::with(1 << 50);
        bucket.word.0.store(1 << 60, Relaxed);
        bucket
    }

    fn with(price: u64) -> Arc<Self> {
        Arc::new(Self {
            word: Alone::default(),
            price,
            room: price * 1_000,
            books: Counters::new(),
            name: "floor".into(),
            born: clock::now(),
        })
    }

    /// Takes a permit, or says in how many nanoseconds, and of whom, there will be one.
    #[inline]
    pub fn take(&self) -> Result<(), (u64, Arc<str>)> {
        let now = nanos(self.born);
        let mut seen = self.word.0.load(Acquire);
        loop {
            let end = seen.max(now) + self.price;
            if end - now > self.room {
                self.books.add(1, 1);
                return Err((end - now - self.room, self.name.clone()));
            }
            match self.word.0.compare_exchange_weak(seen, end, AcqRel, Acquire) {
                Ok(_) => break,
                Err(changed) => seen = changed,
            }
        }
        self.books.add(0, 1);
        Ok(())
    }
}

/// Slots in one word, of which some are taken.
#[derive(Debug)]
pub struct Slots {
    taken: Alone,
    limit: AtomicU64,
    books: Counters,
    born: Instant,
    learned: Mutex<(u64, u64)>,
}

impl Slots {
    /// 64 of them.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            taken: Alone::default(),
            limit: AtomicU64::new(64),
            books: Counters::new(),
            born: clock::now(),
            learned: Mutex::default(),
        })
    }

    /// A call in a slot that is free.
    #[inline]
    pub fn call<T>(this: &Arc<Self>, work: impl FnOnce() -> T) -> Option<T> {
        let shared = this.clone();
        shared.take()?;
        let result = work();
        shared.books.add(0, 1);
        shared.taken.0.fetch_sub(1, AcqRel);
        Some(result)
    }

    /// The same, timed, and something learned from it.
    #[inline]
    pub fn timed<T>(this: &Arc<Self>, work: impl FnOnce() -> T) -> Option<T> {
        let shared = this.clone();
        shared.take()?;
        let began = nanos(shared.born);
        let result = work();
        let took = nanos(shared.born) - began;
        shared.books.add(0, 1);
        if let Ok(mut learned) = shared.learned.try_lock() {
            learned.0 += 1;
            learned.1 += took;
        }
        shared.taken.0.fetch_sub(1, AcqRel);
        Some(result)
    }

    #[inline]
    fn take(&self) -> Option<()> {
        let mut seen = self.taken.0.load(Relaxed);
        loop {
            if seen >= self.limit.load(Relaxed) {
                return None;
            }
            match self
                .taken
                .0
                .compare_exchange_weak(seen, seen + 1, Acquire, Relaxed)
            {
                Ok(_) => return Some(()),
                Err(changed) => seen = changed,
            }
        }
    }
}
