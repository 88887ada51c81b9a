//! Every option has a test in which it changes the outcome.

use super::*;

/// How many calls of this kind it takes to open it, at most `limit`.
fn calls_to_open(options: CircuitBreakerBuilder, outcome: Outcome, limit: usize) -> Option<usize> {
    let breaker = built(options);
    (1..=limit).find(|_| {
        one(&breaker, outcome);
        breaker.state() == State::Open
    })
}

/// For how long a trip opens it.
fn opened_for(breaker: &CircuitBreaker) -> Duration {
    breaker.snapshot().retry_after.expect("open")
}

#[tokio::test(start_paused = true)]
async fn consecutive_failures() {
    assert_eq!(calls_to_open(exact(), FAILURE, 100), Some(5));
    for n in [1, 2, 7] {
        let options = exact().consecutive_failures(n);
        assert_eq!(calls_to_open(options, FAILURE, 100), Some(n as usize));
    }
    assert_eq!(
        calls_to_open(exact().consecutive_failures(None), FAILURE, 100),
        None
    );
}

#[tokio::test(start_paused = true)]
async fn failure_rate() {
    let fails_to_open = |rate| {
        let breaker = built(rates().failure_rate(rate).count_window(10).minimum_calls(10));
        calls(&breaker, 10, SUCCESS);
        (1..=10).find(|_| {
            one(&breaker, FAILURE);
            breaker.state() == State::Open
        })
    };
    for (rate, failures) in [(0.1, 1), (0.3, 3), (0.5, 5), (0.7, 7), (0.71, 8), (1.0, 10)] {
        assert_eq!(fails_to_open(rate), Some(failures), "{rate}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_throttled_call_counts_toward_the_rate() {
    let options = rates().failure_rate(0.5).count_window(10).minimum_calls(10);
    assert_eq!(calls_to_open(options, THROTTLED, 100), Some(10));
}

#[tokio::test(start_paused = true)]
async fn slow_call_rate_and_slow_after() {
    let slow_calls_to_open = async |options: CircuitBreakerBuilder, time| {
        let breaker = built(options.count_window(4).minimum_calls(4));
        for n in 1..=20 {
            slow_call(&breaker, time, SUCCESS).await;
            if breaker.state() == State::Open {
                return Some(n);
            }
        }
        None
    };
    assert_eq!(slow_calls_to_open(rates(), MINUTE).await, None, "off by default");
    let watched = || rates().slow_call_rate(0.5);
    assert_eq!(
        slow_calls_to_open(watched(), 5 * SECOND).await,
        Some(4),
        "5 s by default"
    );
    assert_eq!(
        slow_calls_to_open(watched(), 5 * SECOND - Duration::from_nanos(1)).await,
        None
    );
    assert_eq!(
        slow_calls_to_open(watched().slow_after(SECOND), SECOND).await,
        Some(4)
    );
    assert_eq!(
        slow_calls_to_open(watched().slow_after(10 * SECOND), 9 * SECOND).await,
        None
    );

    let breaker = built(watched().count_window(4).minimum_calls(4));
    calls(&breaker, 4, SUCCESS);
    slow_call(&breaker, 5 * SECOND, SUCCESS).await;
    assert_eq!(breaker.state(), State::Closed, "one of four");
    let s = breaker.snapshot();
    assert_eq!((s.slow, s.slow_rate), (1, Some(0.25)));
    slow_call(&breaker, 5 * SECOND, SUCCESS).await;
    assert_eq!(breaker.state(), State::Open, "two of four");
}

#[tokio::test(start_paused = true)]
async fn slow_after_decides_when_a_cancelled_call_is_a_failure() {
    for (slow_after, failures) in [(SECOND, 1), (2 * SECOND, 0)] {
        let breaker = built(exact().slow_after(slow_after));
        let permit = permit(&breaker);
        advance(SECOND).await;
        drop(permit);
        assert_eq!(breaker.snapshot().failure, failures);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_slow_is_what_its_stack_says_first_unless_its_options_say_it() {
    let slow = async |breaker: &CircuitBreaker, time| {
        let before = breaker.snapshot().slow;
        slow_call(breaker, time, SUCCESS).await;
        breaker.snapshot().slow > before
    };
    let silent = built(rates().slow_call_rate(1.0).count_window(100));
    silent.slow_after_if_unset(SECOND);
    silent.slow_after_if_unset(2 * SECOND);
    assert!(!slow(&silent, SECOND - TICK).await);
    assert!(slow(&silent, SECOND).await);
    let outspoken = built(
        rates()
            .slow_call_rate(1.0)
            .count_window(100)
            .slow_after(3 * SECOND),
    );
    outspoken.slow_after_if_unset(SECOND);
    assert!(!slow(&outspoken, 3 * SECOND - TICK).await);
    assert!(slow(&outspoken, 3 * SECOND).await);
}

#[tokio::test(start_paused = true)]
async fn count_window() {
    for size in [1, 2, 3, 10, 100] {
        let breaker = built(rates().failure_rate(1.0).count_window(size).minimum_calls(1));
        one(&breaker, SUCCESS);
        let failures = (1..=200).find(|_| {
            one(&breaker, FAILURE);
            breaker.state() == State::Open
        });
        assert_eq!(
            failures,
            Some(size),
            "the success has to leave a window of {size} first"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn time_window() {
    let after = async |time| {
        let breaker = built(
            rates()
                .failure_rate(1.0)
                .time_window(10 * SECOND)
                .minimum_calls(2),
        );
        one(&breaker, SUCCESS);
        one(&breaker, FAILURE);
        advance(time).await;
        calls(&breaker, 2, FAILURE);
        breaker.state()
    };
    assert_eq!(
        after(10 * SECOND - TICK).await,
        State::Closed,
        "the success is in the window still"
    );
    assert_eq!(after(10 * SECOND).await, State::Open, "it is out of it");
}

#[tokio::test(start_paused = true)]
async fn a_time_window_forgets_bucket_by_bucket() {
    let breaker = built(
        rates()
            .failure_rate(1.0)
            .time_window(10 * SECOND)
            .minimum_calls(1000),
    );
    for _ in 0..10 {
        one(&breaker, FAILURE);
        one(&breaker, SUCCESS);
        advance(SECOND).await;
    }
    let held = |breaker: &CircuitBreaker| {
        let before = breaker.snapshot().failure_rate;
        one(breaker, NEUTRAL);
        before
    };
    assert_eq!(held(&breaker), Some(0.5));
    calls(&breaker, 9, SUCCESS);
    assert_eq!(
        held(&breaker),
        Some(9.0 / 27.0),
        "the first second's two calls are out"
    );
    advance(9 * SECOND).await;
    assert_eq!(held(&breaker), Some(0.0));
    advance(SECOND).await;
    assert_eq!(held(&breaker), None);
}

#[tokio::test(start_paused = true)]
async fn minimum_calls() {
    let options = |calls| rates().failure_rate(0.5).count_window(100).minimum_calls(calls);
    for n in [1, 2, 3, 50, 100] {
        assert_eq!(
            calls_to_open(options(n), FAILURE, 200),
            Some(n as usize),
            "smaller than the window"
        );
        let timed = options(n).time_window(MINUTE);
        assert_eq!(calls_to_open(timed, FAILURE, 200), Some(n as usize));
    }
    let default = |options: CircuitBreakerBuilder| calls_to_open(options.failure_rate(0.5), FAILURE, 200);
    assert_eq!(default(rates()), Some(20));
    assert_eq!(default(rates().time_window(MINUTE)), Some(20));
    assert_eq!(
        default(rates().count_window(7)),
        Some(7),
        "or the window if that is smaller"
    );
}

#[tokio::test(start_paused = true)]
async fn open_for() {
    for time in [Duration::from_millis(1), SECOND, 10 * MINUTE] {
        let breaker = built(exact().open_for(time));
        calls(&breaker, 5, FAILURE);
        assert_eq!(opened_for(&breaker), time);
    }
}

/// How long it opens at the first trip and after each failed probation.
async fn open_times(options: CircuitBreakerBuilder, n: usize) -> Vec<u64> {
    let breaker = built(options);
    calls(&breaker, 5, FAILURE);
    let mut times = vec![opened_for(&breaker).as_secs()];
    for _ in 1..n {
        advance(opened_for(&breaker)).await;
        one(&breaker, FAILURE);
        times.push(opened_for(&breaker).as_secs());
    }
    times
}

#[tokio::test(start_paused = true)]
async fn open_growth_and_max_open_for() {
    assert_eq!(open_times(exact(), 4).await, [60, 60, 60, 60]);
    let grows = || exact().open_for(10 * SECOND).open_growth(2.0);
    assert_eq!(open_times(grows(), 4).await, [10, 20, 40, 80]);
    assert_eq!(
        open_times(grows(), 7).await[4..],
        [160, 300, 300],
        "5 minutes by default"
    );
    assert_eq!(
        open_times(grows().max_open_for(30 * SECOND), 5).await,
        [10, 20, 30, 30, 30]
    );
    assert_eq!(
        open_times(grows().open_for(600 * SECOND), 3).await,
        [600, 600, 600]
    );
    assert_eq!(
        open_times(exact().open_for(SECOND).open_growth(1e300), 5).await,
        [1, 300, 300, 300, 300]
    );
}

#[tokio::test(start_paused = true)]
async fn steady_after() {
    let again = async |options: CircuitBreakerBuilder, closed_for| {
        let breaker = built(options.open_for(10 * SECOND).open_growth(3.0));
        calls(&breaker, 5, FAILURE);
        advance(10 * SECOND).await;
        one(&breaker, FAILURE);
        advance(30 * SECOND).await;
        calls(&breaker, 2, SUCCESS);
        assert_eq!(breaker.state(), State::Closed);
        advance(closed_for).await;
        calls(&breaker, 5, FAILURE);
        opened_for(&breaker).as_secs()
    };
    assert_eq!(
        again(exact(), 10 * SECOND - TICK).await,
        30,
        "open_for by default"
    );
    assert_eq!(again(exact(), 10 * SECOND).await, 10);
    assert_eq!(again(exact().steady_after(SECOND), SECOND).await, 10);
    assert_eq!(
        again(exact().steady_after(MINUTE), MINUTE - TICK).await,
        30,
        "and no more: only a failed probation makes it grow"
    );
}

#[tokio::test(start_paused = true)]
async fn open_jitter_shortens_by_up_to_its_share() {
    let drawn = |options: CircuitBreakerBuilder| {
        (0..500)
            .map(|_| {
                let breaker = built(options.clone());
                calls(&breaker, 5, FAILURE);
                opened_for(&breaker).as_secs_f64()
            })
            .collect::<Vec<_>>()
    };
    let spread = |times: &[f64], from: f64, to: f64| {
        let (low, high) = times
            .iter()
            .fold((f64::MAX, 0.0_f64), |(l, h), &t| (l.min(t), h.max(t)));
        let mean = times.iter().sum::<f64>() / times.len() as f64;
        assert!(low >= from - 1e-4 && high <= to, "{low} to {high}");
        let width = to - from;
        assert!(
            low < from + width / 10.0 && high > to - width / 10.0,
            "{low} to {high}"
        );
        assert!(
            (mean - (from + to) / 2.0).abs() < width / 10.0,
            "evenly: mean {mean}"
        );
    };
    let o = CircuitBreaker::builder;
    spread(&drawn(o()), 54.0, 60.0);
    spread(&drawn(o().open_jitter(0.5)), 30.0, 60.0);
    spread(&drawn(o().open_jitter(1.0)), 0.0, 60.0);
    // At the cap, too.
    spread(&drawn(o().max_open_for(60 * SECOND).open_jitter(0.5)), 30.0, 60.0);
    assert!(drawn(exact()).iter().all(|&t| t == 60.0));
}

#[tokio::test(start_paused = true)]
async fn open_jitter_does_not_vanish_at_the_cap() {
    let times: Vec<_> = (0..100)
        .map(|_| {
            CircuitBreaker::builder()
                .open_growth(10.0)
                .open_time(9, crate::random::unit(), None)
        })
        .collect();
    assert!(
        times.iter().all(|t| (270 * SECOND..=300 * SECOND).contains(t)),
        "{times:?}"
    );
    assert!(times.iter().any(|t| *t != times[0]));
}

#[tokio::test(start_paused = true)]
async fn half_open_probes() {
    for probes in [1, 2, 3, 9, 100] {
        let breaker = ready_to_probe(exact().half_open_probes(probes)).await;
        let held: Vec<_> = std::iter::from_fn(|| breaker.try_acquire().ok())
            .take(1000)
            .collect();
        assert_eq!(held.len(), probes as usize);
    }
}

#[tokio::test(start_paused = true)]
async fn success_threshold() {
    for threshold in [1, 2, 5, 50] {
        let breaker = ready_to_probe(exact().success_threshold(threshold)).await;
        let successes = (1..=100).find(|_| {
            one(&breaker, SUCCESS);
            breaker.state() == State::Closed
        });
        assert_eq!(successes, Some(threshold), "not bound to the number of probes");
    }
}

#[tokio::test(start_paused = true)]
async fn probe_lease() {
    for (options, lease) in [
        (exact(), MINUTE),
        (exact().open_for(SECOND).max_open_for(SECOND), SECOND),
        (exact().probe_lease(10 * SECOND), 10 * SECOND),
    ] {
        let breaker = ready_to_probe(options.half_open_probes(1)).await;
        let hung = permit(&breaker);
        advance(lease - TICK).await;
        assert!(is_refused(&breaker));
        advance(TICK).await;
        assert!(breaker.would_admit(crate::clock::now()));
        let next = permit(&breaker);
        hung.record(FAILURE);
        let s = breaker.snapshot();
        assert_eq!(
            (s.state, s.stale, s.failure),
            (State::HalfOpen, 1, 0),
            "what it says now is ignored"
        );
        assert!(is_refused(&breaker), "nor did it give back a slot not its own");
        next.record(SUCCESS);
        assert!(!is_refused(&breaker));
    }
}

#[tokio::test(start_paused = true)]
async fn name() {
    let named = built(exact().name("http:payments"));
    assert_eq!(&*named.name(), "http:payments");
    assert_eq!(&*named.snapshot().name, "http:payments");
    named.force_open();
    assert_eq!(named.try_acquire().expect_err("open").policy(), "http:payments");
    assert_eq!(&*CircuitBreaker::new().name(), "circuit_breaker");
    named.name_if_unnamed(&"other".into());
    assert_eq!(&*named.name(), "http:payments");
    let unnamed = built(exact());
    unnamed.name_if_unnamed(&"stack".into());
    unnamed.name_if_unnamed(&"second".into());
    assert_eq!(&*unnamed.name(), "stack");
}

#[tokio::test(start_paused = true)]
async fn retry_after_lengthens_the_open_time_up_to_the_cap() {
    let opens = |asked, cap| {
        let breaker = built(exact().consecutive_failures(1).max_open_for(cap));
        one(&breaker, FAILURE.with_retry_after(Some(asked)));
        opened_for(&breaker)
    };
    assert_eq!(opens(SECOND, 5 * MINUTE), MINUTE, "it never shortens");
    assert_eq!(opens(2 * MINUTE, 5 * MINUTE), 2 * MINUTE);
    assert_eq!(opens(60 * MINUTE, 5 * MINUTE), 5 * MINUTE, "capped");
    assert_eq!(opens(Duration::MAX, MINUTE), MINUTE);

    let breaker = ready_to_probe(exact()).await;
    one(&breaker, THROTTLED.with_retry_after(Some(3 * MINUTE)));
    assert_eq!(opened_for(&breaker), 3 * MINUTE, "a probe's as well");

    // And no jitter makes it shorter than what was asked for.
    for _ in 0..50 {
        let breaker = built(CircuitBreaker::builder().consecutive_failures(1).open_jitter(1.0));
        one(&breaker, FAILURE.with_retry_after(Some(2 * MINUTE)));
        assert_eq!(opened_for(&breaker), 2 * MINUTE);
    }
}

#[tokio::test(start_paused = true)]
async fn triggers_work_side_by_side() {
    let options = || {
        exact()
            .consecutive_failures(5)
            .failure_rate(0.5)
            .slow_call_rate(0.5)
            .slow_after(SECOND)
            .count_window(10)
            .minimum_calls(10)
    };
    assert_eq!(calls_to_open(options(), FAILURE, 100), Some(5), "the run first");

    let breaker = built(options());
    for _ in 0..4 {
        one(&breaker, SUCCESS);
        one(&breaker, FAILURE);
    }
    one(&breaker, FAILURE);
    assert_eq!(breaker.state(), State::Closed);
    one(&breaker, SUCCESS);
    assert_eq!(breaker.state(), State::Open, "five of ten");

    let breaker = built(options());
    calls(&breaker, 5, SUCCESS);
    for _ in 0..5 {
        slow_call(&breaker, SECOND, SUCCESS).await;
    }
    assert_eq!(breaker.state(), State::Open, "five of ten were slow");
}

#[tokio::test(start_paused = true)]
async fn a_rate_however_small_needs_a_failure() {
    let breaker = built(
        rates()
            .failure_rate(1e-9)
            .slow_call_rate(1e-9)
            .count_window(10)
            .minimum_calls(1),
    );
    calls(&breaker, 100, SUCCESS);
    assert_eq!(breaker.state(), State::Closed);
    one(&breaker, FAILURE);
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn a_time_window_works_on_after_a_long_rest() {
    for rest in [10 * MINUTE, 180 * MINUTE, 240 * MINUTE] {
        let breaker = built(
            rates()
                .failure_rate(1.0)
                .time_window(Duration::from_millis(10))
                .minimum_calls(10),
        );
        (0..20).for_each(|_| one(&breaker, SUCCESS));
        advance(rest).await;
        calls(&breaker, 9, FAILURE);
        assert_eq!(breaker.snapshot().failure_rate, Some(1.0), "after {rest:?}");
        one(&breaker, FAILURE);
        assert_eq!(breaker.state(), State::Open, "after {rest:?}");
    }
}
