//! What others got wrong, one test for each mistake.

use std::{
    sync::{
        Arc, Barrier,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
};

use super::*;
use crate::error::RejectionKind;

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

// ===== a result from before the trip decided the probation =====

#[tokio::test(start_paused = true)]
async fn results_from_before_the_trip_are_stale() {
    let breaker = built(exact().consecutive_failures(1).success_threshold(1));
    let before: Vec<_> = (0..8).map(|_| permit(&breaker)).collect();
    one(&breaker, FAILURE);
    let mut before = before.into_iter();
    let mut next = || before.next().expect("enough");

    next().record(SUCCESS);
    assert_eq!(
        breaker.state(),
        State::Open,
        "a late success does not close an open circuit"
    );
    next().record(FAILURE);
    assert_eq!(breaker.snapshot().times_opened, 1);

    advance(MINUTE).await;
    let probe = permit(&breaker);
    next().record(SUCCESS);
    assert_eq!(breaker.state(), State::HalfOpen, "nor does it pass a probation");
    next().record(FAILURE);
    assert_eq!(
        breaker.state(),
        State::HalfOpen,
        "nor does a late failure fail one"
    );
    drop(next());
    probe.record(SUCCESS);

    next().record(FAILURE);
    assert_eq!(breaker.state(), State::Closed, "nor trip the closed circuit");
    let s = breaker.snapshot();
    assert_eq!(
        (s.stale, s.success, s.failure, s.cancelled, s.consecutive_failures),
        (6, 1, 1, 0, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn late_results_do_not_get_into_the_next_window() {
    for options in [rates().count_window(10), rates().time_window(10_000 * SECOND)] {
        let breaker = built(options.failure_rate(0.5).minimum_calls(2).success_threshold(1));
        let before: Vec<_> = (0..20).map(|_| permit(&breaker)).collect();
        calls(&breaker, 2, FAILURE);
        advance(MINUTE).await;
        calls(&breaker, 2, SUCCESS);
        assert_eq!(breaker.state(), State::Closed);
        before.into_iter().for_each(|p| p.record(THROTTLED));
        let s = breaker.snapshot();
        assert_eq!((s.state, s.failure_rate, s.stale), (State::Closed, Some(0.0), 20));
    }
}

// ===== the window did not slide =====

#[tokio::test(start_paused = true)]
async fn the_count_window_really_slides() {
    let breaker = built(rates().failure_rate(0.5).count_window(10));
    calls(&breaker, 10_000, SUCCESS);
    calls(&breaker, 4, FAILURE);
    assert_eq!(breaker.state(), State::Closed);
    assert_eq!(breaker.snapshot().failure_rate, Some(0.4));
    one(&breaker, FAILURE);
    assert_eq!(breaker.state(), State::Open, "five of the last ten");
}

#[tokio::test(start_paused = true)]
async fn the_count_window_forgets_failures_too() {
    let breaker = built(rates().failure_rate(0.5).count_window(10));
    for _ in 0..1000 {
        calls(&breaker, 6, SUCCESS);
        calls(&breaker, 4, FAILURE);
        assert_eq!(
            breaker.snapshot().failure_rate.map(|r| r <= 0.4),
            Some(true),
            "never more than four in ten"
        );
    }
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_window_works_on_after_an_outage_of_many_probations() {
    for options in [rates().count_window(10), rates().time_window(MINUTE)] {
        let breaker = built(options.failure_rate(0.5).minimum_calls(10));
        calls(&breaker, 10, FAILURE);
        assert_eq!(breaker.state(), State::Open);
        // Each time it reopens is two changes of state.
        for _ in 0..17_000 {
            breaker.transition_to(State::HalfOpen);
            one(&breaker, FAILURE);
        }
        breaker.transition_to(State::HalfOpen);
        calls(&breaker, 2, SUCCESS);
        assert_eq!(breaker.state(), State::Closed);
        calls(&breaker, 5, FAILURE);
        assert_eq!(breaker.snapshot().failure_rate, Some(1.0));
        calls(&breaker, 5, FAILURE);
        assert_eq!(breaker.state(), State::Open);
    }
}

#[tokio::test(start_paused = true)]
async fn a_window_made_late_works_from_the_start() {
    for window in [rates().count_window(10), rates().time_window(MINUTE)] {
        let breaker = built(rates());
        (0..40_000).for_each(|_| breaker.transition_to(State::Closed));
        breaker
            .reconfigure(window.failure_rate(0.5).minimum_calls(10))
            .expect("valid");
        calls(&breaker, 9, FAILURE);
        assert_eq!(breaker.snapshot().failure_rate, Some(1.0));
        one(&breaker, FAILURE);
        assert_eq!(breaker.state(), State::Open);
    }
}

// ===== the time window kept one record a call =====

#[tokio::test(start_paused = true)]
async fn a_time_window_costs_the_same_whatever_the_traffic() {
    let breaker = built(rates().failure_rate(1.0).time_window(10 * SECOND));
    one(&breaker, SUCCESS);
    let used = allocation_counter::measure(|| calls(&breaker, 50_000, FAILURE));
    assert_eq!(used.count_total, 0);
    assert_eq!(breaker.snapshot().failure_rate, Some(50_000.0 / 50_001.0));
    let ten_buckets = size_of::<crate::circuit_breaker::window::TimeWindow>();
    assert!(ten_buckets <= 256, "{ten_buckets} bytes are all there is of it");
}

// ===== minimum calls ignored; nonsense built; reset did nothing =====

#[tokio::test(start_paused = true)]
async fn a_minimum_below_the_window_is_obeyed() {
    let breaker = built(rates().failure_rate(0.5).count_window(100).minimum_calls(5));
    calls(&breaker, 4, FAILURE);
    assert_eq!(breaker.state(), State::Closed);
    one(&breaker, FAILURE);
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn zero_probes_do_not_build() {
    let error = CircuitBreaker::builder()
        .half_open_probes(0)
        .build()
        .expect_err("an outage");
    assert!(error.to_string().contains("half_open_probes"));
}

#[tokio::test(start_paused = true)]
async fn reset_works_while_closed() {
    let breaker = built(exact().failure_rate(0.5).count_window(10).minimum_calls(10));
    let in_flight = permit(&breaker);
    calls(&breaker, 4, FAILURE);
    breaker.reset();
    let s = breaker.snapshot();
    assert_eq!((s.total, s.consecutive_failures, s.failure_rate), (0, 0, None));
    in_flight.record(FAILURE);
    assert_eq!(breaker.snapshot().stale, 1, "what was in flight decides nothing");
    calls(&breaker, 4, FAILURE);
    assert_eq!(breaker.state(), State::Closed);
    one(&breaker, FAILURE);
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn exactly_one_state_is_told() {
    let breaker = built(exact().consecutive_failures(1).success_threshold(1));
    assert_eq!(breaker.snapshot().state, State::Closed);
    one(&breaker, FAILURE);
    assert_eq!(breaker.snapshot().state, State::Open);
    advance(MINUTE).await;
    one(&breaker, SUCCESS);
    assert_eq!(breaker.snapshot().state, State::Closed);
}

// ===== calls cut off from outside were never recorded =====

#[tokio::test(start_paused = true)]
async fn a_call_cut_off_from_outside_is_recorded() {
    let breaker = built(exact().consecutive_failures(3).slow_after(2 * SECOND));
    for _ in 0..3 {
        let hung = breaker.call(std::future::pending::<Result<(), std::io::Error>>());
        tokio::time::timeout(2 * SECOND, hung)
            .await
            .expect_err("it hangs");
    }
    let s = breaker.snapshot();
    assert_eq!(
        (s.state, s.failure, s.slow, s.cancelled),
        (State::Open, 3, 3, 0),
        "a hung service is seen"
    );
}

#[tokio::test(start_paused = true)]
async fn a_call_given_up_early_is_recorded_as_cancelled() {
    let breaker = built(exact().consecutive_failures(3).slow_after(2 * SECOND));
    for _ in 0..10 {
        let call = breaker.call(std::future::pending::<Result<(), std::io::Error>>());
        tokio::time::timeout(SECOND, call).await.expect_err("it hangs");
    }
    let s = breaker.snapshot();
    assert_eq!((s.state, s.failure, s.cancelled), (State::Closed, 0, 10));
}

// ===== 4xx tripped it, or closed it =====

#[tokio::test(start_paused = true)]
async fn a_404_neither_trips_nor_closes() {
    let breaker = built(
        exact()
            .consecutive_failures(2)
            .failure_rate(0.5)
            .count_window(4)
            .minimum_calls(4),
    );
    calls(&breaker, 100, NEUTRAL);
    let s = breaker.snapshot();
    assert_eq!((s.state, s.neutral, s.failure_rate), (State::Closed, 100, None));

    let breaker = ready_to_probe(exact().success_threshold(1)).await;
    calls(&breaker, 100, NEUTRAL);
    assert_eq!(breaker.state(), State::HalfOpen);
}

#[tokio::test(start_paused = true)]
async fn a_404_does_not_water_down_the_rate() {
    let breaker = built(rates().failure_rate(0.5).count_window(4).minimum_calls(4));
    for _ in 0..4 {
        calls(&breaker, 10, NEUTRAL);
        one(&breaker, FAILURE);
    }
    assert_eq!(breaker.state(), State::Open);
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

// ===== every instance reopened at the same moment =====

#[tokio::test(start_paused = true)]
async fn open_time_is_jittered() {
    let times: Vec<_> = (0..50)
        .map(|_| {
            let breaker = CircuitBreaker::new();
            calls(&breaker, 5, FAILURE);
            breaker.snapshot().retry_after.expect("open")
        })
        .collect();
    assert!(times.iter().all(|t| (54 * SECOND..=MINUTE).contains(t)));
    assert!(times.iter().any(|t| *t != times[0]), "{times:?}");

    // After a failed probation, and when it is opened by hand, too.
    let reopened: Vec<_> = (0..50)
        .map(|_| {
            let breaker = CircuitBreaker::new();
            breaker.transition_to(State::HalfOpen);
            one(&breaker, FAILURE);
            let after_probe = breaker.snapshot().retry_after;
            breaker.transition_to(State::Open);
            (after_probe, breaker.snapshot().retry_after)
        })
        .collect();
    assert!(reopened.iter().any(|t| t.0 != reopened[0].0));
    assert!(reopened.iter().any(|t| t.1 != reopened[0].1));
}

// ===== the listener deadlocked when it asked =====

#[tokio::test(start_paused = true)]
async fn a_listener_may_ask_the_breaker() {
    let breaker = built(exact().consecutive_failures(1).name("db"));
    let (this, asked) = (breaker.clone(), Arc::new(AtomicUsize::new(0)));
    let count = asked.clone();
    breaker.listen(move |event| {
        assert_eq!(&*event.policy, "db");
        assert_eq!(this.state(), State::Open);
        assert_eq!(this.snapshot().times_opened, 1);
        assert!(this.try_acquire().is_err());
        count.fetch_add(1, Relaxed);
    });
    one(&breaker, FAILURE);
    assert_eq!(asked.load(Relaxed), 1);
}

// ===== a policy update dropped the open state =====

#[tokio::test(start_paused = true)]
async fn a_policy_change_keeps_the_open_state() {
    let breaker = built(exact().consecutive_failures(1).open_for(MINUTE));
    one(&breaker, FAILURE);
    advance(10 * SECOND).await;
    breaker
        .reconfigure(exact().consecutive_failures(100).open_for(SECOND))
        .expect("valid");
    let s = breaker.snapshot();
    assert_eq!(
        (s.state, s.retry_after, s.failure),
        (State::Open, Some(50 * SECOND), 1)
    );
    let rejected = breaker.try_acquire().expect_err("still open");
    assert_eq!(rejected.kind(), RejectionKind::CircuitOpen);
    advance(50 * SECOND).await;
    one(&breaker, FAILURE);
    assert_eq!(
        breaker.snapshot().retry_after,
        Some(SECOND),
        "the next time is the new one"
    );
}

// ===== the success threshold was read and never used =====

#[tokio::test(start_paused = true)]
async fn success_threshold_decides() {
    for threshold in 1..=4 {
        let breaker = ready_to_probe(exact().success_threshold(threshold)).await;
        calls(&breaker, threshold as usize - 1, SUCCESS);
        assert_ne!(breaker.state(), State::Closed);
        one(&breaker, SUCCESS);
        assert_eq!(breaker.state(), State::Closed);
    }
}
