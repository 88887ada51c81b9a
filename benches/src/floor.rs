//! What a layer cannot do without, written by hand.
//!
//! Each floor is one function that does the same clock reads and atomic operations as the layers and nothing else: no
//! service trait, no future, no protocol, no token. What Buttress takes above it is the price of its structure.
//!
//! | floor | clock reads | atomic read-modify-writes | atomic loads |
//! |---|---|---|---|
//! | [`Breaker::closed`], success | 0 | `Arc` up and down, the books | state at admission, state at the end |
//! | the same, failure or a success after one | 0 | and one compare-and-swap | the same |
//! | [`Breaker::count_window`] | 0 | `Arc` up and down, the books, head, slot | and totals |
//! | [`Breaker::time_window`] | 1 | `Arc` up and down, the books, the bucket | and ten buckets of three counts |
//! | [`Breaker::slow_calls`] | 2 | as the count window | as the count window |
//! | [`Breaker::open`] | 1 | the books, the `Arc` of the name up and down | state |
//! | [`recover`] | 0 | 0 | the flag of the panic hook; and one `catch_unwind` |
//! | [`Books::call`] | 2 | `Arc` up and down, begun, ended, bucket, sum, place among the last 100 | 0 |
//! | [`Limit::call`] | 0; with a deadline 1 | 0 | the limit |
//! | [`Limit::total`] | 1 | 0 | the limit |
//! | [`Attempts::call`] | 0, and 1 in 64 calls | `Arc` up and down, the books; in 64 calls two for the budget | how many attempts |
//! | [`Attempts::measured`] | the same | and bucket, and how many were measured | and in 32 calls all buckets |
//! | [`Spare::call`] | 0 | `Arc` up and down; the books if it answers | 0 |
//! | [`Bucket::take`] | 1 | the bucket, the books; refused the books and the `Arc` of the name up | the bucket |
//! | [`Slots::call`] | 0 | `Arc` up and down, a slot taken and given back, the books | the slots, how many there are |
//! | [`Slots::timed`] | 2 | the same, and a lock that is tried | the same |
//! | [`stack`] | 2 | those of metrics and breaker | those of metrics, breaker and two of recover |
//! | [`Headed`] | 0 | 0 | no policy: a context in the extensions, and the values of one header or two |
//! | [`Client::call`] | 4 | those of the stack, and of fallback, retry and hedge | those of all of them |

use std::{
    array,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicU32, AtomicU64, AtomicUsize,
            Ordering::{AcqRel, Acquire, Relaxed},
        },
    },
    time::Duration,
};

use buttress::clock::{self, Instant};

use crate::service::{Broken, answer};

mod attempts;
mod client;
mod headed;
mod limits;

pub use attempts::{Attempts, Limit, Spare};
pub use client::Client;
pub use headed::Headed;
pub use limits::{Bucket, Slots};

static NEXT: AtomicUsize = AtomicUsize::new(0);
static HOOK: AtomicBool = AtomicBool::new(false);

thread_local! {
    static STRIPE: usize = NEXT.fetch_add(1, Relaxed) % 4;
}

/// Eight counters for each of four groups of threads.
#[derive(Debug)]
struct Counters([Line; 4]);

#[derive(Debug)]
#[repr(align(64))]
struct Line([AtomicU64; 8]);

impl Counters {
    fn new() -> Self {
        Self(array::from_fn(|_| Line(array::from_fn(|_| AtomicU64::new(0)))))
    }

    #[inline]
    fn add(&self, counter: usize, n: u64) {
        let stripe = STRIPE.try_with(|stripe| *stripe).unwrap_or(0);
        self.0[stripe].0[counter].fetch_add(n, Relaxed);
    }

    /// Adds one; what there was before, in the part of it that this thread adds to.
    #[inline]
    fn count(&self, counter: usize) -> u64 {
        let stripe = STRIPE.try_with(|stripe| *stripe).unwrap_or(0);
        self.0[stripe].0[counter].fetch_add(1, Relaxed)
    }

    fn total(&self, counter: usize) -> u64 {
        self.0.iter().map(|line| line.0[counter].load(Relaxed)).sum()
    }
}

/// What a breaker shares.
#[derive(Debug)]
pub struct Breaker {
    /// 0 is closed with no failure, below 1 000 closed with so many, above it the nanosecond until which it is open.
    word: AtomicU64,
    books: Counters,
    name: Arc<str>,
    born: Instant,
    head: AtomicU64,
    slots: [AtomicU32; 100],
    totals: AtomicU64,
    buckets: [[AtomicU64; 3]; 10],
}

const OPEN: u64 = 1000;
const WINDOW: u64 = 100;
/// A tenth of 30 seconds, in nanoseconds.
const BUCKET: u64 = 3_000_000_000;
const SLOW: Duration = Duration::from_secs(5);

impl Breaker {
    fn with(word: u64) -> Arc<Self> {
        Arc::new(Self {
            word: AtomicU64::new(word),
            books: Counters::new(),
            name: "floor".into(),
            born: clock::now(),
            head: AtomicU64::new(0),
            slots: array::from_fn(|_| AtomicU32::new(0)),
            totals: AtomicU64::new(0),
            buckets: array::from_fn(|_| array::from_fn(|_| AtomicU64::new(0))),
        })
    }

    /// One that is closed.
    pub fn new() -> Arc<Self> {
        Self::with(0)
    }

    /// One that is open, for as long as anybody will wait.
    pub fn opened() -> Arc<Self> {
        Self::with(u64::MAX)
    }

    /// A call through a closed breaker that counts failures in a row.
    #[inline]
    pub fn closed(this: &Arc<Self>, request: u64) -> Option<Result<u64, Broken>> {
        let shared = this.admit()?;
        let result = answer(request);
        shared.settle(result.is_err());
        Some(result)
    }

    /// The same with a rate over the last 100 calls.
    #[inline]
    pub fn count_window(this: &Arc<Self>, request: u64) -> Option<Result<u64, Broken>> {
        let shared = this.admit()?;
        let result = answer(request);
        shared.settle(result.is_err());
        shared.slide(result.is_err());
        Some(result)
    }

    /// The same with a rate over the last 30 seconds.
    #[inline]
    pub fn time_window(this: &Arc<Self>, request: u64) -> Option<Result<u64, Broken>> {
        let shared = this.admit()?;
        let result = answer(request);
        shared.settle(result.is_err());
        shared.advance(result.is_err());
        Some(result)
    }

    /// The same with a rate of slow calls among the last 100.
    #[inline]
    pub fn slow_calls(this: &Arc<Self>, request: u64) -> Option<Result<u64, Broken>> {
        let shared = this.admit()?;
        let started = clock::now();
        let result = answer(request);
        let slow = clock::now().saturating_duration_since(started) >= SLOW;
        shared.settle(result.is_err());
        shared.slide(slow);
        Some(result)
    }

    /// A call that an open breaker refuses: until when, and by whom.
    #[inline]
    pub fn open(this: &Arc<Self>) -> Option<(u64, Arc<str>)> {
        let until = this.word.load(Relaxed);
        let now = nanos(this.born);
        (until > now).then(|| {
            this.books.add(2, 1);
            (until - now, this.name.clone())
        })
    }

    #[inline]
    fn admit(self: &Arc<Self>) -> Option<Arc<Self>> {
        (self.word.load(Relaxed) < OPEN).then(|| self.clone())
    }

    #[inline]
    fn settle(&self, failed: bool) {
        let word = self.word.load(Relaxed);
        let to = if failed { word + 1 } else { 0 };
        if to != word {
            // Whoever loses would look again; here there is nobody to lose against.
            let _ = self.word.compare_exchange(word, to, Relaxed, Relaxed);
        }
        self.books.add(usize::from(failed), 1);
    }

    #[inline]
    fn slide(&self, counted: bool) {
        let seen = self.head.fetch_add(1, AcqRel);
        let removed = self.slots[(seen % WINDOW) as usize].swap(u32::from(counted), AcqRel);
        let change = i64::from(counted) - i64::from(removed);
        let totals = if change == 0 {
            self.totals.load(Acquire)
        } else {
            let before = self.totals.fetch_add(change as u64, AcqRel);
            before.wrapping_add_signed(change)
        };
        self.trip(totals, seen.min(WINDOW));
    }

    #[inline]
    fn advance(&self, failed: bool) {
        let epoch = nanos(self.born) / BUCKET;
        let bucket = &self.buckets[(epoch % 10) as usize];
        bucket[0].fetch_add(1, AcqRel);
        if failed {
            bucket[1].fetch_add(1, AcqRel);
        }
        let sum = |i: usize| self.buckets.iter().map(|b| b[i].load(Relaxed)).sum::<u64>();
        let (calls, failed, slow) = (sum(0), sum(1), sum(2));
        self.trip(failed.max(slow), calls);
    }

    #[inline]
    fn trip(&self, counted: u64, calls: u64) {
        if calls >= 20 && counted > calls - calls / 10 {
            self.word.store(u64::MAX, Relaxed);
        }
    }
}

#[inline]
fn nanos(since: Instant) -> u64 {
    clock::now().saturating_duration_since(since).as_nanos() as u64
}

/// A call whose panic is caught.
#[inline]
pub fn recover<T>(work: impl FnOnce() -> T) -> Option<T> {
    if HOOK.load(Relaxed) {
        return None;
    }
    catch_unwind(AssertUnwindSafe(work)).ok()
}

/// The books of [`Books::call`].
#[derive(Debug)]
pub struct Books {
    counts: Counters,
    sums: Counters,
    buckets: [AtomicU64; 258],
    next: AtomicUsize,
    recent: [AtomicU32; 100],
}

impl Books {
    /// Empty ones.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            counts: Counters::new(),
            sums: Counters::new(),
            buckets: array::from_fn(|_| AtomicU64::new(0)),
            next: AtomicUsize::new(0),
            recent: array::from_fn(|_| AtomicU32::new(0)),
        })
    }

    /// A call that is counted and timed.
    #[inline]
    pub fn call<T, E>(this: &Arc<Self>, work: impl FnOnce() -> Option<Result<T, E>>) -> Option<Result<T, E>> {
        let shared = this.clone();
        shared.counts.add(7, 1);
        let began = clock::now();
        let result = work();
        let nanos = nanos(began);
        shared.buckets[bucket(nanos)].fetch_add(1, Relaxed);
        shared.sums.add(0, nanos);
        let place = shared.next.fetch_add(1, Relaxed) % 100;
        shared.recent[place].store((nanos / 1000) as u32 + 1, Relaxed);
        let ending = match &result {
            Some(Ok(_)) => 0,
            Some(Err(_)) => 1,
            None => 2,
        };
        shared.counts.add(ending, 1);
        result
    }
}

/// Eight buckets for each power of two.
#[inline]
fn bucket(nanos: u64) -> usize {
    if nanos < 1 << 10 {
        return 0;
    }
    let exponent = nanos.ilog2();
    let sub = (nanos >> (exponent - 3)) as usize & 7;
    (1 + (exponent as usize - 10) * 8 + sub).min(257)
}

/// A call through metrics, recover, breaker and recover.
#[inline]
pub fn stack(books: &Arc<Books>, breaker: &Arc<Breaker>, request: u64) -> Option<Result<u64, Broken>> {
    Books::call(books, || {
        recover(|| {
            let shared = breaker.admit()?;
            let result = recover(|| answer(request))?;
            shared.settle(result.is_err());
            Some(result)
        })?
    })
}
