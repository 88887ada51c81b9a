//! Every interleaving of the breaker's own atomics, explored by loom on the very source that runs.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p buttress --lib --release loom_`

use loom::{
    model,
    model::Builder,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
};

use super::{
    CircuitBreaker, State,
    probes::Probes,
    state::{Machine, Probation},
    window::{CountWindow, Sample, Tally, TimeWindow, Window},
};
use crate::outcome::{Outcome, Reason};

const FAILED: Sample = Sample {
    failed: true,
    slow: false,
};
const WELL: Sample = Sample {
    failed: false,
    slow: false,
};

fn in_two_threads<T: Send + Sync + 'static>(shared: T, first: fn(&T), second: fn(&T)) -> Arc<T> {
    let shared = Arc::new(shared);
    let other = shared.clone();
    let handle = thread::spawn(move || first(&other));
    second(&shared);
    handle.join().expect("no panic");
    shared
}

#[test]
fn loom_probes_never_exceed_their_capacity() {
    // Three threads have too many interleavings for all of them: those of at most two preemptions.
    let mut bounded = Builder::new();
    bounded.preemption_bound = Some(2);
    bounded.check(|| {
        let probes = Arc::new((Probes::new(), AtomicUsize::new(0)));
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let shared = probes.clone();
                thread::spawn(move || {
                    let (probes, held) = &*shared;
                    if let Some(slot) = probes.reserve(1, 0, 10, 1) {
                        assert_eq!(held.fetch_add(1, SeqCst), 0, "two hold the one slot");
                        held.fetch_sub(1, SeqCst);
                        assert!(probes.release(slot));
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|t| t.join().expect("no panic"));
        assert!(probes.0.has_free(1, 0, 1), "the slot came back");
    });
}

#[test]
fn loom_a_free_slot_is_found() {
    model(|| {
        // Two slots, two callers: neither may be turned away because the other was quicker.
        let got = in_two_threads(
            (Probes::new(), AtomicUsize::new(0)),
            |(probes, got)| {
                got.fetch_add(usize::from(probes.reserve(1, 0, 10, 2).is_some()), SeqCst);
            },
            |(probes, got)| {
                got.fetch_add(usize::from(probes.reserve(1, 0, 10, 2).is_some()), SeqCst);
            },
        );
        assert_eq!(got.1.load(SeqCst), 2);
    });
}

#[test]
fn loom_a_late_thread_takes_no_slot_of_the_next_generation() {
    model(|| {
        let shared = in_two_threads(
            (Probes::new(), AtomicUsize::new(0)),
            |(probes, _)| {
                // Of generation 1, held up until after generation 2 began.
                let _ = probes.reserve(1, 0, 10, 1);
            },
            |(probes, held)| {
                let slot = probes
                    .reserve(2, 0, 10, 1)
                    .expect("an older generation is no obstacle");
                held.fetch_add(usize::from(probes.holds(slot)), SeqCst);
            },
        );
        assert_eq!(
            shared.1.load(SeqCst),
            1,
            "the newer generation's slot was taken away"
        );
    });
}

#[test]
fn loom_a_hung_lease_goes_to_one() {
    model(|| {
        let probes = Probes::new();
        let _hung = probes.reserve(1, 0, 10, 1).expect("free");
        let shared = in_two_threads(
            (probes, AtomicUsize::new(0)),
            |(probes, got)| {
                got.fetch_add(usize::from(probes.reserve(1, 10, 20, 1).is_some()), SeqCst);
            },
            |(probes, got)| {
                got.fetch_add(usize::from(probes.reserve(1, 10, 20, 1).is_some()), SeqCst);
            },
        );
        assert_eq!(shared.1.load(SeqCst), 1);
    });
}

#[test]
fn loom_a_probation_ends_one_way() {
    model(|| {
        let machine = Machine::new();
        machine.force(State::HalfOpen, 0);
        let shared = in_two_threads(
            (machine, AtomicUsize::new(0)),
            |(machine, ends)| {
                ends.fetch_add(usize::from(machine.pass_probe(1, 1) == Probation::Passed), SeqCst);
            },
            |(machine, ends)| {
                ends.fetch_add(
                    usize::from(machine.leave(1, State::HalfOpen, State::Open, 7)),
                    SeqCst,
                );
            },
        );
        assert_eq!(shared.1.load(SeqCst), 1, "closed or reopened, not both");
        assert_eq!(shared.0.load().generation(), 2);
    });
}

#[test]
fn loom_successes_of_a_probation_are_all_counted() {
    model(|| {
        let machine = Machine::new();
        machine.force(State::HalfOpen, 0);
        let machine = in_two_threads(
            machine,
            |machine| {
                machine.pass_probe(1, 2);
            },
            |machine| {
                machine.pass_probe(1, 2);
            },
        );
        assert_eq!(machine.load().state(), State::Closed);
    });
}

#[test]
fn loom_a_failure_is_not_lost_and_not_carried_over() {
    model(|| {
        let machine = in_two_threads(
            Machine::new(),
            |machine| {
                machine.extend_streak(0);
            },
            |machine| {
                machine.extend_streak(0);
            },
        );
        assert_eq!(machine.load().payload(), 2);
    });
    model(|| {
        let machine = in_two_threads(
            Machine::new(),
            |machine| {
                machine.extend_streak(0);
            },
            |machine| {
                machine.force(State::Closed, 0);
            },
        );
        assert_eq!(
            machine.load().payload(),
            0,
            "a failure of the old generation got into the new one"
        );
    });
}

#[test]
fn loom_a_run_of_failures_trips_once() {
    model(|| {
        let shared = in_two_threads(
            (Machine::new(), AtomicUsize::new(0)),
            |(machine, trips)| {
                trips.fetch_add(
                    usize::from(machine.leave(0, State::Closed, State::Open, 7)),
                    SeqCst,
                );
            },
            |(machine, trips)| {
                machine.extend_streak(0);
                trips.fetch_add(
                    usize::from(machine.leave(0, State::Closed, State::Open, 7)),
                    SeqCst,
                );
            },
        );
        assert_eq!(shared.1.load(SeqCst), 1);
        assert_eq!(shared.0.load().state(), State::Open);
    });
}

#[test]
fn loom_the_count_window_adds_up() {
    model(|| {
        // Both calls meet in the one slot.
        let window = in_two_threads(
            Window::Count(CountWindow::new(1)),
            |window| {
                window.record(0, 0, FAILED);
            },
            |window| {
                window.record(0, 0, WELL);
                window.record(0, 0, FAILED);
            },
        );
        // Whoever came last, a further call pushes out exactly what is there.
        let tally = window.record(0, 0, WELL).expect("current");
        assert_eq!(
            tally,
            Tally {
                calls: 1,
                failed: 0,
                slow: 0
            }
        );
    });
}

#[test]
fn loom_a_new_generation_finds_the_windows_empty() {
    for make in [
        || Window::Count(CountWindow::new(2)),
        || Window::Time(TimeWindow::new(10)),
    ] {
        model(move || {
            let window = make();
            window.record(0, 0, FAILED);
            let window = in_two_threads(
                window,
                |window| {
                    window.record(0, 0, FAILED);
                },
                |window| {
                    window.record(1, 0, FAILED);
                },
            );
            let tally = window.record(1, 0, WELL).expect("current");
            assert_eq!(
                tally,
                Tally {
                    calls: 2,
                    failed: 1,
                    slow: 0
                }
            );
        });
    }
}

#[test]
fn loom_the_breaker_admits_one_probe_at_a_time() {
    model(|| {
        let breaker = CircuitBreaker::builder()
            .half_open_probes(1)
            .success_threshold(2)
            .build()
            .expect("valid");
        breaker.transition_to(State::HalfOpen);
        let shared = in_two_threads(
            (breaker, AtomicUsize::new(0)),
            |(breaker, held)| {
                if let Ok(permit) = breaker.try_acquire() {
                    assert_eq!(held.fetch_add(1, SeqCst), 0);
                    held.fetch_sub(1, SeqCst);
                    drop(permit);
                }
            },
            |(breaker, held)| {
                if let Ok(permit) = breaker.try_acquire() {
                    assert_eq!(held.fetch_add(1, SeqCst), 0);
                    held.fetch_sub(1, SeqCst);
                    permit.record(Outcome::SUCCESS);
                }
            },
        );
        let again = shared.0.try_acquire();
        assert!(
            again.is_ok_and(|permit| permit.is_probe()),
            "the slot came back, the probation goes on"
        );
    });
}

#[test]
fn loom_failures_at_once_are_all_in_the_run() {
    model(|| {
        let breaker = CircuitBreaker::builder().consecutive_failures(3).build();
        let fail = |breaker: &CircuitBreaker| {
            let permit = breaker.try_acquire().expect("closed");
            permit.record(Outcome::failure(Reason::Error));
        };
        let breaker = in_two_threads(breaker.expect("valid"), fail, fail);
        let books = breaker.snapshot();
        assert_eq!((books.consecutive_failures, books.failure), (2, 2));
    });
}

#[test]
fn loom_a_probe_that_fails_meets_one_that_succeeds() {
    model(|| {
        let breaker = CircuitBreaker::builder()
            .half_open_probes(2)
            .success_threshold(1)
            .build()
            .expect("valid");
        breaker.transition_to(State::HalfOpen);
        let breaker = in_two_threads(
            breaker,
            |breaker| {
                if let Ok(permit) = breaker.try_acquire() {
                    permit.record(Outcome::SUCCESS);
                }
            },
            |breaker| {
                if let Ok(permit) = breaker.try_acquire() {
                    permit.record(Outcome::failure(Reason::Error));
                }
            },
        );
        let books = breaker.snapshot();
        assert_eq!(
            books.success + books.failure + books.stale + books.rejected,
            2,
            "every call is in the books once: {books:?}"
        );
        assert!(matches!(breaker.state(), State::Open | State::Closed));
    });
}
