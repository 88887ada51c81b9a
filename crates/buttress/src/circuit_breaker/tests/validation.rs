//! What does not build.

use super::*;

fn problems(options: CircuitBreakerBuilder) -> String {
    options.build().expect_err("must not build").to_string()
}

#[test]
fn every_nonsense_is_named_by_its_key() {
    let ms = Duration::from_millis;
    let o = CircuitBreaker::builder;
    for (options, key) in [
        (o().consecutive_failures(0), "consecutive_failures"),
        (o().failure_rate(0.0), "failure_rate"),
        (o().failure_rate(1.01), "failure_rate"),
        (o().failure_rate(-0.5), "failure_rate"),
        (o().failure_rate(f64::NAN), "failure_rate"),
        (o().slow_call_rate(0.0), "slow_call_rate"),
        (o().slow_call_rate(f64::INFINITY), "slow_call_rate"),
        (o().slow_after(Duration::ZERO), "slow_after"),
        (o().count_window(0), "count_window"),
        (o().count_window((1 << 20) + 1), "count_window"),
        (o().time_window(ms(9)), "time_window"),
        (o().time_window(Duration::ZERO), "time_window"),
        (o().minimum_calls(0), "minimum_calls"),
        (o().time_window(MINUTE).minimum_calls(0), "minimum_calls"),
        (o().count_window(10).minimum_calls(11), "minimum_calls"),
        (o().open_for(Duration::ZERO), "open_for"),
        (o().open_growth(0.99), "open_growth"),
        (o().open_growth(f64::NAN), "open_growth"),
        (o().open_growth(f64::INFINITY), "open_growth"),
        (o().max_open_for(59 * SECOND), "max_open_for"),
        (o().open_jitter(-0.1), "open_jitter"),
        (o().open_jitter(1.1), "open_jitter"),
        (o().open_jitter(f64::NAN), "open_jitter"),
        (o().half_open_probes(0), "half_open_probes"),
        (o().half_open_probes(1025), "half_open_probes"),
        (o().success_threshold(0), "success_threshold"),
        (o().probe_lease(Duration::ZERO), "probe_lease"),
    ] {
        let text = problems(options);
        assert!(text.contains(key), "{key}: {text}");
    }
}

#[test]
fn all_problems_are_told_at_once() {
    let text = problems(
        CircuitBreaker::builder()
            .half_open_probes(0)
            .success_threshold(0)
            .open_for(Duration::ZERO)
            .failure_rate(2.0),
    );
    for key in [
        "half_open_probes",
        "success_threshold",
        "open_for",
        "failure_rate",
    ] {
        assert!(text.contains(key), "{key}: {text}");
    }
    assert!(
        !text.contains("open_growth"),
        "what is right is not named: {text}"
    );
}

#[test]
fn presets_build_and_are_what_they_say() {
    for (breaker, (failures, successes, open_for, probes)) in [
        (CircuitBreaker::new(), (5, 2, 60, 3)),
        (CircuitBreaker::high_concurrency(), (10, 3, 30, 5)),
        (CircuitBreaker::low_latency(), (3, 2, 10, 2)),
    ] {
        breaker.options().build().expect("valid");
        breaker
            .reconfigure(breaker.options().open_jitter(0.0))
            .expect("valid");
        calls(&breaker, failures - 1, FAILURE);
        assert_eq!(breaker.state(), State::Closed);
        one(&breaker, FAILURE);
        assert_eq!(breaker.state(), State::Open);
        let left = breaker.snapshot().retry_after.expect("open");
        assert!(
            left <= open_for * SECOND && left > (open_for - 1) * SECOND,
            "{left:?}"
        );
        breaker.transition_to(State::HalfOpen);
        let held: Vec<_> = std::iter::from_fn(|| breaker.try_acquire().ok()).collect();
        assert_eq!(held.len(), probes);
        drop(held);
        calls(&breaker, successes - 1, SUCCESS);
        assert_eq!(breaker.state(), State::HalfOpen);
        one(&breaker, SUCCESS);
        assert_eq!(breaker.state(), State::Closed);
    }
}

#[test]
fn the_ends_of_every_range_build() {
    let o = CircuitBreaker::builder;
    for options in [
        o().consecutive_failures(1),
        o().consecutive_failures(u32::MAX),
        o().consecutive_failures(None),
        o().failure_rate(1.0).slow_call_rate(f64::MIN_POSITIVE),
        o().count_window(1).minimum_calls(1).failure_rate(1.0),
        o().count_window(1).failure_rate(1.0),
        o().time_window(Duration::from_millis(10))
            .minimum_calls(u32::MAX)
            .failure_rate(1.0),
        o().time_window(Duration::MAX).failure_rate(1.0),
        o().open_for(Duration::from_nanos(1)),
        o().open_for(Duration::MAX).open_jitter(0.0),
        o().max_open_for(MINUTE),
        o().open_jitter(0.0),
        o().open_jitter(1.0),
        o().half_open_probes(1024),
        o().probe_lease(Duration::MAX).slow_after(Duration::MAX),
    ] {
        let breaker = built(options);
        // And none of them panics when it is used.
        for outcome in [FAILURE, SUCCESS] {
            if let Ok(permit) = breaker.try_acquire() {
                permit.record(outcome);
            }
        }
        breaker.transition_to(State::Open);
        let _ = breaker.try_acquire();
        breaker.transition_to(State::HalfOpen);
        drop(permit(&breaker));
        let _ = breaker.snapshot();
    }
}
