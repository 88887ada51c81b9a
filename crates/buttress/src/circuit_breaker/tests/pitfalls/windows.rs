//! What the windows remember.

use super::*;

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
