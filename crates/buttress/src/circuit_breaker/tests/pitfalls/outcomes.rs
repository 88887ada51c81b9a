//! Which results count.

use super::*;

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
