//! Probes that end in every way.

use std::{
    sync::{
        Arc, Barrier,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
};

use super::*;

// ===== half-open wedged for ever by a probe that did not end well =====

#[tokio::test(start_paused = true)]
async fn a_cancelled_probe_returns_its_slot() {
    let breaker = ready_to_probe(exact().half_open_probes(1)).await;
    for _ in 0..100 {
        drop(permit(&breaker));
    }
    assert_eq!(breaker.snapshot().cancelled, 100);
    calls(&breaker, 2, SUCCESS);
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_neutral_probe_returns_its_slot() {
    let breaker = ready_to_probe(exact().half_open_probes(1)).await;
    calls(&breaker, 100, NEUTRAL);
    assert_eq!(breaker.state(), State::HalfOpen);
    calls(&breaker, 2, SUCCESS);
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_hung_probe_loses_its_slot() {
    let breaker = ready_to_probe(exact().half_open_probes(2)).await;
    std::mem::forget((permit(&breaker), permit(&breaker)));
    assert!(is_refused(&breaker));
    advance(MINUTE).await;
    calls(&breaker, 2, SUCCESS);
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_panics_reopens_and_returns_its_slot() {
    let breaker = ready_to_probe(exact().half_open_probes(1)).await;
    let call = breaker.call(async {
        if true {
            panic!("the service's own fault");
        }
        Ok::<_, std::io::Error>(())
    });
    tokio::spawn(call).await.expect_err("it panicked");
    assert_eq!(breaker.state(), State::Open);
    advance(MINUTE).await;
    calls(&breaker, 2, SUCCESS);
    assert_eq!(breaker.state(), State::Closed);
}

// ===== a cancelled probe closed the circuit =====

#[tokio::test(start_paused = true)]
async fn a_cancelled_probe_does_not_close_the_circuit() {
    let breaker = ready_to_probe(exact().success_threshold(1)).await;
    (0..10).for_each(|_| drop(permit(&breaker)));
    assert_eq!(breaker.state(), State::HalfOpen);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_probe_does_not_reopen_the_circuit() {
    let breaker = ready_to_probe(exact().success_threshold(2)).await;
    one(&breaker, SUCCESS);
    drop(permit(&breaker));
    assert_eq!(breaker.state(), State::HalfOpen);
    one(&breaker, SUCCESS);
    assert_eq!(breaker.state(), State::Closed, "nor clear what the others said");
}

// ===== probes checked, not reserved =====

#[test]
fn probes_are_reserved_not_checked() {
    const THREADS: usize = 8;
    for round in 0..200 {
        let breaker = built(exact().half_open_probes(3).success_threshold(1000));
        if round % 2 == 0 {
            breaker.transition_to(State::HalfOpen);
        } else {
            // The threads also race to end the open time.
            breaker
                .reconfigure(
                    breaker
                        .options()
                        .open_for(Duration::from_nanos(1))
                        .probe_lease(MINUTE),
                )
                .expect("valid");
            breaker.transition_to(State::Open);
        }
        let (barrier, running, most) = (Barrier::new(THREADS), AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|s| {
            for _ in 0..THREADS {
                s.spawn(|| {
                    barrier.wait();
                    for _ in 0..20 {
                        if let Ok(permit) = breaker.try_acquire() {
                            assert!(permit.is_probe());
                            most.fetch_max(running.fetch_add(1, Relaxed) + 1, Relaxed);
                            thread::yield_now();
                            running.fetch_sub(1, Relaxed);
                            drop(permit);
                        }
                    }
                });
            }
        });
        assert!(most.load(Relaxed) <= 3, "{most:?} probes at a time");
        assert!(most.load(Relaxed) >= 1);
        let held: Vec<_> = std::iter::from_fn(|| breaker.try_acquire().ok()).collect();
        assert_eq!(held.len(), 3, "and every slot came back");
    }
}

#[test]
fn the_circuit_closes_once_however_many_succeed_at_once() {
    for _ in 0..200 {
        let breaker = built(exact().half_open_probes(8).success_threshold(1));
        let closed = Arc::new(AtomicUsize::new(0));
        let count = closed.clone();
        breaker.transition_to(State::HalfOpen);
        breaker.listen(move |_| {
            count.fetch_add(1, Relaxed);
        });
        let probes: Vec<_> = (0..8).map(|_| permit(&breaker)).collect();
        thread::scope(|s| {
            for probe in probes {
                s.spawn(|| probe.record(SUCCESS));
            }
        });
        assert_eq!(closed.load(Relaxed), 1);
        let s = breaker.snapshot();
        assert_eq!((s.state, s.success + s.stale), (State::Closed, 8));
    }
}

#[test]
fn the_books_lose_nothing_among_many_threads() {
    let breaker = built(
        exact()
            .consecutive_failures(7)
            .failure_rate(0.7)
            .count_window(50)
            .open_for(Duration::from_micros(50))
            .success_threshold(3),
    );
    const EACH: u64 = 5000;
    thread::scope(|s| {
        for thread in 0..4_u64 {
            let breaker = &breaker;
            s.spawn(move || {
                for n in 0..EACH {
                    if let Ok(permit) = breaker.try_acquire() {
                        match (n + thread) % 7 {
                            0 => drop(permit),
                            1 => permit.record(NEUTRAL),
                            2 => permit.record(THROTTLED),
                            3 | 4 => permit.record(SUCCESS),
                            _ => permit.record(FAILURE),
                        }
                    }
                }
            });
        }
    });
    assert_eq!(breaker.snapshot().total, 4 * EACH);
    breaker.close();
    let held: Vec<_> = (0..3).map(|_| permit(&breaker)).collect();
    breaker.transition_to(State::HalfOpen);
    let probes: Vec<_> = std::iter::from_fn(|| breaker.try_acquire().ok()).collect();
    assert_eq!(probes.len(), 3);
    drop((held, probes));
}
