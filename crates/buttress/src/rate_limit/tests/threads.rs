//! Many threads, one limit, and a clock that they share.

use std::{
    sync::{
        Barrier, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
};

use super::*;

const THREADS: u64 = 4;
const ASKS: u64 = 5_000;

/// A clock that goes on by itself as it is looked at, now and then.
struct Clock {
    now: AtomicU64,
}

impl Clock {
    fn look(&self, ask: u64) -> u64 {
        if ask % 16 == 0 {
            self.now.fetch_add(37_011, Relaxed);
        }
        self.now.load(Relaxed)
    }
}

/// Has threads ask and ask; returns the time that it took by their clock.
fn ask(each: impl Fn(u64, u64, &Clock) + Sync) -> u64 {
    let clock = Clock {
        now: AtomicU64::new(0),
    };
    let barrier = Barrier::new(THREADS as usize);
    thread::scope(|scope| {
        for number in 0..THREADS {
            let (each, clock, barrier) = (&each, &clock, &barrier);
            scope.spawn(move || {
                barrier.wait();
                for turn in 0..ASKS {
                    // Somebody may be asleep over an old reading of the clock, as threads are.
                    each(turn + number, clock.look(turn), clock);
                }
            });
        }
    });
    clock.now.into_inner()
}

/// What every algorithm gave to threads that ask and ask, in the order of time, and until when.
fn granted(algorithm: Algorithm, limit: Limit) -> (Vec<(u64, u64)>, u64) {
    let rules = rules(&limit, algorithm);
    let cell = Cell::new(algorithm, &rules);
    let all = Mutex::new(Vec::new());
    let end = ask(|turn, now, clock| {
        let permits = if turn % 7 == 0 { 3 } else { 1 };
        let Ok(at) = cell.charge(&rules, now, permits) else {
            return;
        };
        if turn % 11 == 0 {
            cell.give_back(&rules, clock.look(1), at, permits);
        } else {
            all.lock().expect("no panic").push((at, u64::from(permits)));
        }
    });
    let mut all = all.into_inner().expect("no panic");
    all.sort_unstable();
    (all, end)
}

/// Of all windows that begin and end with a call, the most permits above `bound(length)`.
fn worst(granted: &[(u64, u64)], bound: impl Fn(u64) -> u64) -> i64 {
    let mut worst = i64::MIN;
    for (i, (begin, _)) in granted.iter().enumerate() {
        let mut sum = 0;
        for (end, permits) in &granted[i..] {
            sum += *permits;
            worst = worst.max(sum as i64 - bound(end - begin) as i64);
        }
    }
    worst
}

fn total(granted: &[(u64, u64)]) -> u64 {
    granted.iter().map(|(_, permits)| permits).sum()
}

const PER: u64 = 1_000_000;

/// Is it at least that share of what the rate brings?
fn is_used(granted: &[(u64, u64)], end: u64, share: f64) -> bool {
    total(granted) as f64 >= (end * 8 / PER) as f64 * share
}

#[test]
fn a_token_bucket_is_never_above_burst_and_rate_in_any_window() {
    let limit = Limit::new(8, Duration::from_nanos(PER)).burst(20);
    let (granted, end) = granted(Algorithm::TokenBucket, limit);
    assert!(worst(&granted, |window| 20 + window * 8 / PER) <= 0);
    assert!(is_used(&granted, end, 0.9), "{} by {end}", total(&granted));
}

#[test]
fn a_leaky_bucket_is_never_above_one_and_the_rate_in_any_window() {
    let limit = Limit::new(8, Duration::from_nanos(PER));
    let (granted, end) = granted(Algorithm::Leaky, limit);
    // The last call of a window may be one of three.
    assert!(worst(&granted, |window| 3 + window * 8 / PER) <= 0);
    // It saves nothing, and this clock jumps.
    assert!(is_used(&granted, end, 0.6), "{} by {end}", total(&granted));
}

#[test]
fn a_log_is_never_above_its_limit_in_any_window_at_all() {
    let limit = Limit::new(8, Duration::from_nanos(PER));
    let (granted, end) = granted(Algorithm::SlidingWindowLog, limit);
    let in_windows = |window: u64| if window < PER { 8 } else { u64::MAX / 2 };
    assert!(worst(&granted, in_windows) <= 0);
    assert!(is_used(&granted, end, 0.7), "{} by {end}", total(&granted));
}

#[test]
fn a_counter_is_never_above_twice_its_limit_in_any_window_nor_above_it_in_its_own() {
    let limit = Limit::new(8, Duration::from_nanos(PER));
    let (granted, end) = granted(Algorithm::SlidingWindowCounter, limit);
    let in_windows = |window: u64| if window < PER { 16 } else { u64::MAX / 2 };
    assert!(worst(&granted, in_windows) <= 0);
    for window in 0..=end / PER {
        let own = granted.iter().filter(|(at, _)| at / PER == window);
        assert!(own.map(|(_, permits)| permits).sum::<u64>() <= 8);
    }
    assert!(is_used(&granted, end, 0.6), "{} by {end}", total(&granted));
}

#[test]
fn a_limit_that_is_changed_under_way_is_kept() {
    // Up, down, up: at no moment is more to be had than the most generous of the rules gives.
    let limits = [4, 8, 2].map(|n| Limit::new(n, Duration::from_nanos(PER)).burst(8));
    let rules = rules(&limits[0], Algorithm::TokenBucket);
    let cell = Cell::new(Algorithm::TokenBucket, &rules);
    let (count, round) = (AtomicU64::new(0), Mutex::new(0));
    let end = ask(|turn, now, _| {
        if turn % 50 == 0 {
            let mut round = round.lock().expect("no panic");
            *round += 1;
            rules.change(Rule::of(&limits[*round % 3], Algorithm::TokenBucket));
            cell.refresh(&rules, now);
        } else if cell.charge(&rules, now, 1).is_ok() {
            count.fetch_add(1, Relaxed);
        }
    });
    let (count, elapsed) = (count.into_inner(), end / PER + 1);
    assert!(count <= 8 + elapsed * 8, "{count}");
    assert!(count >= elapsed * 2, "{count}");
}

/// Where nearly every call is let through, and so meets others on the same word.
#[test]
fn what_threads_take_at_the_same_moment_is_taken_once() {
    const PERMITS: u64 = 200_000;
    for algorithm in [
        Algorithm::TokenBucket,
        Algorithm::SlidingWindowCounter,
        Algorithm::SlidingWindowLog,
    ] {
        let rules = rules(&Limit::per_hour(PERMITS), algorithm);
        let cell = Cell::new(algorithm, &rules);
        let (count, barrier) = (AtomicU64::new(0), Barrier::new(THREADS as usize));
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    barrier.wait();
                    let granted = (0..PERMITS / 2).filter(|_| cell.charge(&rules, 0, 1).is_ok());
                    count.fetch_add(granted.count() as u64, Relaxed);
                });
            }
        });
        assert_eq!(count.into_inner(), PERMITS, "{algorithm}");
    }
}

/// The limiter itself, with its line: nobody waits in vain, and nobody gets what is not there.
#[test]
fn clones_in_many_threads_share_one_limit() {
    let limiter = RateLimiter::per_hour(1).burst(1000).build().expect("valid");
    let count = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            let limiter = limiter.clone();
            let count = &count;
            scope.spawn(move || {
                for turn in 0..1000 {
                    if let Ok(permit) = limiter.try_acquire(1) {
                        if turn % 5 == 0 {
                            permit.give_back();
                        } else {
                            count.fetch_add(1, Relaxed);
                        }
                    }
                }
            });
        }
    });
    assert_eq!(count.into_inner(), 1000);
    let snapshot = limiter.snapshot();
    assert_eq!(snapshot.allowed - snapshot.refunded, 1000);
    assert_eq!(snapshot.allowed + snapshot.limited, THREADS * 1000);
}
