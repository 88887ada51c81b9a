//! Whatever happens in whatever order, under load: nobody chooses what was removed, no call fails while an endpoint is
//! well, and the books add up.

use std::{collections::HashSet, sync::RwLock};

use super::*;
use crate::registry::Drill;

const THREADS: usize = 4;
const CALLS: usize = 3_000;

/// Endpoints that were removed; written once `remove` has returned.
type Removed = RwLock<HashSet<u32>>;

/// One call: `number` of the endpoint that it got, which was not removed when it began.
fn make_call(pool: &Pool<u32>, strategy: &Strategy, removed: &Removed, rng: &mut fastrand::Rng) {
    let before: HashSet<u32> = removed.read().expect("no panic").clone();
    let lease = pool.try_acquire_with(strategy).expect("number 0 is always well");
    assert!(
        !before.contains(&lease),
        "{} was removed before this call began",
        *lease
    );
    let outcome = match (*lease, rng.u32(0..100)) {
        (0, _) | (_, 50..) => Outcome::SUCCESS,
        (_, 45..50) => Outcome::neutral(Reason::Error),
        (_, 42..45) => Outcome::from(crate::Verdict::Throttled).with_retry_after(Some(ms(1))),
        (_, 40..42) => return drop(lease),
        _ => Outcome::failure(Reason::Error),
    };
    lease.record(outcome);
}

fn change(
    pool: &Pool<u32>,
    next: &mut u32,
    alive: &mut Vec<u32>,
    removed: &Removed,
    rng: &mut fastrand::Rng,
) {
    let any = alive.get(rng.usize(0..alive.len().max(1))).copied();
    let name = any.map(|n| n.to_string()).unwrap_or_default();
    match (rng.u32(0..10), any) {
        (0..=2, _) if alive.len() < 100 => {
            *next += 1;
            pool.add(Endpoint::new(next.to_string(), *next).weight(rng.u32(1..9)))
                .expect("a new name");
            alive.push(*next);
        }
        (3 | 4, Some(number)) => {
            assert!(pool.remove(&name));
            alive.retain(|n| *n != number);
            removed.write().expect("no panic").insert(number);
        }
        (5, Some(_)) => drop(pool.drain(&name)),
        (6, Some(_)) => drop(pool.resume(&name)),
        (7, Some(_)) => pool.drill(&name, &Drill::ForceOpen).expect("it has a breaker"),
        (8, Some(_)) => pool.drill(&name, &Drill::Reset).expect("it has a breaker"),
        (9, Some(_)) => {
            pool.set_weight(&name, rng.u32(1..9)).expect("it is there");
            pool.rebalance();
        }
        _ => {}
    }
}

#[test]
fn any_history_under_load_keeps_every_promise() {
    for (round, strategy) in STRATEGIES.into_iter().enumerate() {
        let pool = Pool::builder()
            .balance(strategy.clone())
            .breaker(breaker().open_for(ms(2)).half_open_probes(1))
            .endpoint("0", 0)
            .build()
            .expect("valid");
        let removed = Removed::default();
        let done = AtomicUsize::new(0);
        let steps = AtomicUsize::new(0);
        std::thread::scope(|s| {
            for thread in 0..THREADS {
                let (pool, strategy, removed, done) = (&pool, &strategy, &removed, &done);
                s.spawn(move || {
                    let mut rng = fastrand::Rng::with_seed((round * THREADS + thread) as u64);
                    let _ended = Ended(done);
                    for _ in 0..CALLS {
                        make_call(pool, strategy, removed, &mut rng);
                    }
                });
            }
            let (mut next, mut alive) = (0, Vec::new());
            let mut rng = fastrand::Rng::with_seed(round as u64 + 1000);
            while done.load(SeqCst) < THREADS {
                change(&pool, &mut next, &mut alive, &removed, &mut rng);
                steps.fetch_add(1, SeqCst);
            }
        });
        assert!(steps.load(SeqCst) > 50, "the endpoints did change");
        let state = pool.snapshot();
        assert_eq!(state.calls as usize, THREADS * CALLS);
        assert_eq!(state.no_endpoint, 0);
        for endpoint in &state.endpoints {
            assert_eq!(endpoint.in_flight, 0, "{endpoint:?}");
        }
        let hub = &pool.shared.hub;
        let offered = state.endpoints.iter().filter(|e| !e.draining);
        let (up, down) = offered.fold((0, 0), |(up, down), e| match e.phase {
            Phase::Up => (up + 1, down),
            _ => (up, down + 1),
        });
        assert_eq!((hub.up(), hub.down.load(SeqCst)), (up, down), "{strategy:?}");
    }
}

struct Ended<'a>(&'a AtomicUsize);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

#[test]
fn every_call_is_in_the_books_of_one_endpoint() {
    let pool = Pool::builder()
        .extend((0..5).map(|i| Endpoint::new(i.to_string(), i)))
        .build()
        .expect("valid");
    std::thread::scope(|s| {
        for thread in 0..THREADS {
            let pool = &pool;
            s.spawn(move || {
                let mut rng = fastrand::Rng::with_seed(thread as u64);
                for _ in 0..CALLS {
                    make_call(pool, &Strategy::Random, &Removed::default(), &mut rng);
                }
            });
        }
    });
    let state = pool.snapshot();
    let of_all: u64 = state.endpoints.iter().map(|e| e.calls).sum();
    assert_eq!(
        (of_all, state.calls),
        ((THREADS * CALLS) as u64, (THREADS * CALLS) as u64)
    );
    for e in &state.endpoints {
        assert_eq!(
            e.calls,
            e.success + e.failure + e.throttled_calls + e.neutral + e.cancelled,
            "{e:?}"
        );
    }
}
