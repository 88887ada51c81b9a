//! Events and listeners.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use super::*;
use crate::{
    circuit_breaker::{Cause, Transition},
    registry::{Created, PolicyChanged, Registry, Subscription},
    test_services::Log,
};

fn transitions(heard: &mut Subscription) -> Vec<(State, State, Cause)> {
    std::iter::from_fn(|| heard.try_next())
        .filter_map(|event| {
            let event = event.expect("not lagging");
            event.detail::<Transition>().map(|t| (t.from, t.to, t.cause))
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_registry_hears_of_creation_changes_of_state_and_of_policy() {
    let registry = Registry::new();
    let mut heard = registry.subscribe();
    let breaker = built(exact().name("db"));
    registry.register("db", &breaker);
    calls(&breaker, 5, FAILURE);
    breaker.reconfigure(exact()).expect("valid");

    let event = heard.next().await.expect("open").expect("not lagging");
    assert!(event.detail::<Created>().is_some());
    assert_eq!((&*event.policy, event.concern), ("db", "circuit_breaker"));

    let event = heard.next().await.expect("open").expect("not lagging");
    assert_eq!(
        event.detail::<Transition>(),
        Some(&Transition {
            from: State::Closed,
            to: State::Open,
            cause: Cause::ConsecutiveFailures {
                failures: 5,
                last: Reason::Error,
                open_for: MINUTE
            },
        })
    );
    assert_eq!(event.at, crate::clock::now());
    assert_eq!(
        event.to_string(),
        "circuit_breaker `db`: CLOSED to OPEN: 5 failures in a row, the last: error; open for 1m"
    );

    let event = heard.next().await.expect("open").expect("not lagging");
    assert!(event.detail::<PolicyChanged>().is_some());
    assert!(heard.try_next().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_transition_says_where_from_where_to_and_why() {
    let registry = Registry::new();
    let breaker = built(
        exact()
            .failure_rate(0.5)
            .slow_call_rate(0.5)
            .slow_after(SECOND)
            .count_window(4),
    );
    registry.register("db", &breaker);
    let mut heard = registry.subscribe();

    calls(&breaker, 2, SUCCESS);
    calls(&breaker, 2, THROTTLED);
    advance(MINUTE).await;
    one(&breaker, Outcome::failure(Reason::HttpStatus(500)));
    advance(MINUTE).await;
    calls(&breaker, 2, SUCCESS);
    for _ in 0..4 {
        slow_call(&breaker, SECOND, SUCCESS).await;
    }
    breaker.force_open();
    breaker.reset();

    use State::{Closed, ForcedOpen, HalfOpen, Open};
    let open_for = MINUTE;
    assert_eq!(
        transitions(&mut heard),
        [
            (
                Closed,
                Open,
                Cause::FailureRate {
                    failed: 2,
                    calls: 4,
                    open_for
                }
            ),
            (Open, HalfOpen, Cause::OpenTimeOver),
            (
                HalfOpen,
                Open,
                Cause::ProbeFailed {
                    reason: Reason::HttpStatus(500),
                    open_for
                }
            ),
            (Open, HalfOpen, Cause::OpenTimeOver),
            (HalfOpen, Closed, Cause::ProbesSucceeded),
            (
                Closed,
                Open,
                Cause::SlowCallRate {
                    slow: 4,
                    calls: 4,
                    open_for
                }
            ),
            (Open, ForcedOpen, Cause::ByHand),
            (ForcedOpen, Closed, Cause::ByHand),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn refusals_are_counted_and_not_told_one_by_one() {
    let registry = Registry::new();
    let breaker = built(exact());
    registry.register("db", &breaker);
    breaker.force_open();
    let mut heard = registry.subscribe();
    (0..100).for_each(|_| assert!(is_refused(&breaker)));
    assert!(heard.try_next().is_none());
    assert_eq!(breaker.snapshot().rejected, 100);
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_panics_harms_nothing() {
    let breaker = built(exact().consecutive_failures(1));
    breaker.listen(|_| panic!("a listener's own fault"));
    let heard = Arc::new(AtomicUsize::new(0));
    let count = heard.clone();
    breaker.listen(move |_| {
        count.fetch_add(1, Relaxed);
    });
    one(&breaker, FAILURE);
    assert_eq!(breaker.state(), State::Open);
    advance(MINUTE).await;
    calls(&breaker, 2, SUCCESS);
    let s = breaker.snapshot();
    assert_eq!((s.state, s.failure, s.success), (State::Closed, 1, 2));
    assert_eq!(heard.load(Relaxed), 3, "the next listener is called as ever");
}

#[tokio::test(start_paused = true)]
async fn a_listener_may_steer_the_breaker() {
    let breaker = built(exact().consecutive_failures(1).half_open_probes(1));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (log, this) = (seen.clone(), breaker.clone());
    breaker.listen(move |event| {
        let Some(t) = event.detail::<Transition>() else {
            return;
        };
        log.lock().unwrap().push(t.to);
        match t.to {
            State::Open => {
                assert_eq!(this.state(), State::Open);
                assert!(this.try_acquire().is_err());
                let _ = this.snapshot();
                this.reconfigure(this.options()).expect("valid");
                this.listen(|_| {});
                this.transition_to(State::HalfOpen);
            }
            State::HalfOpen => drop(this.try_acquire().expect("a free slot")),
            _ => {}
        }
        if t.to == State::HalfOpen {
            this.reset();
        }
    });
    one(&breaker, FAILURE);
    assert_eq!(
        *seen.lock().unwrap(),
        [State::Open, State::HalfOpen, State::Closed]
    );
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn an_opening_is_a_warning_in_the_log_and_the_rest_is_news() {
    let log = Log::of("buttress::circuit_breaker");
    log.under(|| {
        let breaker = built(exact().consecutive_failures(1).name("db"));
        one(&breaker, FAILURE);
        breaker.transition_to(State::HalfOpen);
        breaker.force_open();
        breaker.close();
    });
    let lines = log.lines();
    let levels: Vec<_> = lines.iter().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(levels, ["WARN", "INFO", "WARN", "INFO"], "{lines:?}");
    for part in ["policy=db", "from=CLOSED", "to=OPEN", "circuit opened"] {
        assert!(lines[0].contains(part), "{part} is missing in {}", lines[0]);
    }
}
