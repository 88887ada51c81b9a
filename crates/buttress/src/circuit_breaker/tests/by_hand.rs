//! Steering by hand, and changing the options while it runs.

use super::*;
use crate::registry::{Drill, Policy};

#[tokio::test(start_paused = true)]
async fn opened_by_hand_it_recovers_by_itself() {
    let breaker = built(exact().open_for(10 * SECOND));
    breaker.transition_to(State::Open);
    assert!(is_refused(&breaker));
    assert_eq!(breaker.snapshot().retry_after, Some(10 * SECOND));
    advance(10 * SECOND).await;
    calls(&breaker, 2, SUCCESS);
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn it_can_be_put_into_every_state() {
    let breaker = built(exact());
    for state in [
        State::Open,
        State::HalfOpen,
        State::ForcedOpen,
        State::Disabled,
        State::MetricsOnly,
        State::Closed,
    ] {
        breaker.transition_to(state);
        assert_eq!(breaker.state(), state);
    }
}

#[tokio::test(start_paused = true)]
async fn close_keeps_the_counts_and_reset_clears_them() {
    let breaker = built(exact().consecutive_failures(2));
    calls(&breaker, 2, FAILURE);
    breaker.close();
    let s = breaker.snapshot();
    assert_eq!(
        (s.state, s.failure, s.times_opened, s.consecutive_failures),
        (State::Closed, 2, 1, 0)
    );
    one(&breaker, FAILURE);
    breaker.close();
    assert_eq!(
        breaker.snapshot().consecutive_failures,
        1,
        "closing what is closed changes nothing"
    );
    breaker.reset();
    let s = breaker.snapshot();
    assert_eq!(
        (
            s.total,
            s.times_opened,
            s.consecutive_failures,
            s.mean_time_to_recover
        ),
        (0, 0, 0, None)
    );
}

#[tokio::test(start_paused = true)]
async fn reset_closes_from_any_state_and_forgets_what_is_in_flight() {
    for state in [
        State::Closed,
        State::Open,
        State::HalfOpen,
        State::ForcedOpen,
        State::MetricsOnly,
    ] {
        let breaker = built(exact().consecutive_failures(1));
        let in_flight = permit(&breaker);
        breaker.transition_to(state);
        breaker.reset();
        assert_eq!(breaker.state(), State::Closed);
        in_flight.record(FAILURE);
        let s = breaker.snapshot();
        assert_eq!(
            (s.state, s.stale, s.failure),
            (State::Closed, 1, 0),
            "from {state}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn reset_forgets_the_growth() {
    let breaker = built(
        exact()
            .consecutive_failures(1)
            .open_growth(2.0)
            .steady_after(100 * MINUTE),
    );
    one(&breaker, FAILURE);
    advance(MINUTE).await;
    one(&breaker, FAILURE);
    assert_eq!(breaker.snapshot().retry_after, Some(2 * MINUTE));
    breaker.reset();
    one(&breaker, FAILURE);
    assert_eq!(breaker.snapshot().retry_after, Some(MINUTE));
}

#[tokio::test(start_paused = true)]
async fn outcomes_recorded_by_hand_count_like_calls() {
    let breaker = built(exact());
    (0..5).for_each(|_| breaker.record(FAILURE));
    assert_eq!(breaker.state(), State::Open);
    breaker.record(SUCCESS);
    assert_eq!(breaker.state(), State::Open, "while open it decides nothing");
    assert_eq!(breaker.snapshot().success, 1);
    breaker.transition_to(State::HalfOpen);
    breaker.record(SUCCESS);
    breaker.record(SUCCESS);
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn drills_do_what_they_say() {
    let breaker = built(exact());
    for (drill, state) in [
        (Drill::Open, State::Open),
        (Drill::ForceOpen, State::ForcedOpen),
        (Drill::Disable, State::Disabled),
        (Drill::Close, State::Closed),
        (
            Drill::Record {
                outcome: FAILURE,
                times: 5,
            },
            State::Open,
        ),
        (Drill::Reset, State::Closed),
    ] {
        breaker.drill(&drill).expect("a breaker understands it");
        assert_eq!(breaker.state(), state, "{drill:?}");
    }
    assert_eq!(breaker.snapshot().total, 0);
}

// ===== reconfigure =====

#[tokio::test(start_paused = true)]
async fn a_policy_change_keeps_the_run_and_the_counts() {
    let breaker = built(exact().consecutive_failures(5).name("db"));
    calls(&breaker, 3, FAILURE);
    one(&breaker, NEUTRAL);
    breaker
        .reconfigure(breaker.options().consecutive_failures(4).name("other"))
        .expect("valid");
    let s = breaker.snapshot();
    assert_eq!((s.consecutive_failures, s.failure, s.neutral), (3, 3, 1));
    assert_eq!(&*breaker.name(), "db", "the name cannot be changed");
    one(&breaker, FAILURE);
    assert_eq!(breaker.state(), State::Open, "the new limit is in force");
}

#[tokio::test(start_paused = true)]
async fn a_policy_change_keeps_the_window_if_its_shape_is_the_same() {
    let options = || rates().failure_rate(0.9).count_window(10).minimum_calls(10);
    let breaker = built(options());
    calls(&breaker, 5, FAILURE);
    calls(&breaker, 4, SUCCESS);
    breaker.reconfigure(options().failure_rate(0.5)).expect("valid");
    assert_eq!(breaker.snapshot().failure_rate, Some(5.0 / 9.0));
    one(&breaker, SUCCESS);
    assert_eq!(breaker.state(), State::Open, "five of ten");

    let breaker = built(options());
    calls(&breaker, 5, FAILURE);
    breaker
        .reconfigure(options().failure_rate(0.5).count_window(11))
        .expect("valid");
    assert_eq!(
        breaker.snapshot().failure_rate,
        None,
        "another shape starts empty"
    );
    one(&breaker, FAILURE);
    assert_eq!(
        breaker.snapshot().failure_rate,
        Some(1.0),
        "and counts from then on"
    );
}

#[tokio::test(start_paused = true)]
async fn a_policy_change_can_switch_rates_on() {
    let breaker = built(rates());
    calls(&breaker, 20, FAILURE);
    breaker
        .reconfigure(breaker.options().slow_call_rate(0.5).slow_after(SECOND))
        .expect("valid");
    for _ in 0..20 {
        slow_call(&breaker, SECOND, SUCCESS).await;
    }
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn a_policy_change_takes_hold_of_probes_and_threshold_at_once() {
    let breaker = ready_to_probe(exact().half_open_probes(1).success_threshold(5)).await;
    let first = permit(&breaker);
    assert!(is_refused(&breaker));
    breaker
        .reconfigure(breaker.options().half_open_probes(2).success_threshold(1))
        .expect("valid");
    let _second = permit(&breaker);
    first.record(SUCCESS);
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_bad_policy_changes_nothing() {
    let breaker = built(exact());
    let before = breaker.options();
    let bad = breaker.options().half_open_probes(0).consecutive_failures(1);
    assert!(breaker.reconfigure(bad).is_err());
    assert_eq!(breaker.options(), before);
    one(&breaker, FAILURE);
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn opened_by_hand_it_keeps_the_growth_only_until_it_was_steady() {
    let grown = async || {
        let breaker = built(
            exact()
                .consecutive_failures(1)
                .success_threshold(1)
                .open_growth(2.0),
        );
        one(&breaker, FAILURE);
        advance(MINUTE).await;
        one(&breaker, FAILURE);
        advance(2 * MINUTE).await;
        one(&breaker, SUCCESS);
        assert_eq!(breaker.state(), State::Closed);
        breaker
    };
    let breaker = grown().await;
    breaker.transition_to(State::Open);
    assert_eq!(breaker.snapshot().retry_after, Some(2 * MINUTE));

    let breaker = grown().await;
    advance(MINUTE).await;
    breaker.transition_to(State::Open);
    assert_eq!(breaker.snapshot().retry_after, Some(MINUTE));
    advance(MINUTE).await;
    one(&breaker, FAILURE);
    assert_eq!(
        breaker.snapshot().retry_after,
        Some(2 * MINUTE),
        "it grows from the beginning again"
    );
}

/// What a call goes by and what is told of it are two places.
#[test]
fn policy_changes_are_made_one_at_a_time() {
    let breaker = built(exact());
    let before = breaker.options();
    let another = breaker.core.changing();
    std::thread::scope(|s| {
        let change = s.spawn(|| breaker.reconfigure(exact().consecutive_failures(1)));
        // More than it takes, if it does not wait.
        let is_over = (0..20_000).any(|_| {
            std::thread::yield_now();
            change.is_finished()
        });
        let now = breaker.options();
        drop(another);
        change.join().expect("no panic").expect("valid");
        assert!(!is_over, "it waits for the other");
        assert_eq!(now, before);
    });
    assert_ne!(breaker.options(), before);
}
