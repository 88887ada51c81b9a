//! What it weighs, and that no call allocates.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    pin::pin,
    task::{Context, Poll, Waker},
};

use allocation_counter::measure;
use tower::{Layer, Service, service_fn};

use super::*;
use crate::{
    Error, ErrorLayer,
    circuit_breaker::core::{Core, Settings},
};

#[test]
fn a_breaker_of_the_default_policy_stays_under_a_kilobyte() {
    // The name of the unnamed is made once for all.
    drop(CircuitBreaker::new().name());
    let mut breaker = None;
    let used = measure(|| breaker = Some(CircuitBreaker::new()));
    assert!(used.bytes_current > 0, "the counter counts");
    assert!(used.bytes_current < 1024, "{} bytes", used.bytes_current);
    assert!(
        size_of::<Core>() + size_of::<Settings>() < 1024,
        "{} + {}",
        size_of::<Core>(),
        size_of::<Settings>()
    );

    let breaker = breaker.expect("made");
    let used = measure(|| {
        calls(&breaker, 100, SUCCESS);
        calls(&breaker, 5, FAILURE);
        let _ = breaker.try_acquire();
        breaker.transition_to(State::HalfOpen);
        calls(&breaker, 2, SUCCESS);
    });
    assert_eq!(used.bytes_current, 0, "and it does not grow by being used");
}

#[test]
fn a_count_window_is_four_bytes_a_call() {
    let weight = |calls| {
        let mut breaker = None;
        let used = measure(|| breaker = Some(built(rates().failure_rate(0.5).count_window(calls))));
        used.bytes_current
    };
    assert_eq!(weight(2100) - weight(100), 4 * 2000);
}

/// Calls once and polls once.
fn call_now<S: Service<bool>>(service: &mut S, fail: bool) -> Poll<Result<S::Response, S::Error>> {
    let mut cx = Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut cx).is_ready());
    pin!(service.call(fail)).poll(&mut cx)
}

fn answer(fail: bool) -> Ready<Result<(), &'static str>> {
    ready(if fail { Err("down") } else { Ok(()) })
}

#[test]
fn no_call_allocates() {
    let every_trigger = exact()
        .failure_rate(0.5)
        .slow_call_rate(0.5)
        .count_window(1000)
        .minimum_calls(1000);
    for options in [
        exact(),
        every_trigger.clone(),
        every_trigger.time_window(MINUTE).consecutive_failures(1000),
    ] {
        let breaker = built(options);
        let mut service = breaker.layer().layer(ErrorLayer::new().layer(service_fn(answer)));
        for fail in [true, false] {
            let _ = call_now(&mut service, fail);
        }
        let used = measure(|| {
            for n in 0..100 {
                let result = call_now(&mut service, n % 2 == 0);
                assert!(matches!(result, Poll::Ready(Ok(()) | Err(Error::Inner(_)))));
            }
            let permit = breaker.try_acquire().expect("closed");
            drop(permit);
        });
        assert_eq!(used.count_total, 0, "closed");

        breaker.force_open();
        let used = measure(|| {
            for _ in 0..100 {
                let result = call_now(&mut service, false);
                assert!(matches!(result, Poll::Ready(Err(Error::Rejected(_)))));
            }
        });
        assert_eq!(used.count_total, 0, "refused");

        breaker.transition_to(State::Open);
        let used = measure(|| assert!(breaker.try_acquire().is_err()));
        assert_eq!(used.count_total, 0, "refused, with the time left");

        breaker.transition_to(State::HalfOpen);
        let used = measure(|| drop(breaker.try_acquire().expect("a free slot")));
        assert_eq!(used.count_total, 0, "a probe");
    }
}

#[test]
fn a_change_of_state_allocates_nothing() {
    for options in [rates().count_window(10), rates().time_window(MINUTE)] {
        let breaker = built(options.failure_rate(0.5).minimum_calls(5).success_threshold(1));
        let round = || {
            calls(&breaker, 5, FAILURE);
            breaker.transition_to(State::HalfOpen);
            one(&breaker, SUCCESS);
        };
        round();
        let used = measure(|| (0..100).for_each(|_| round()));
        assert_eq!((used.count_total, breaker.snapshot().times_opened), (0, 101));
    }
}

#[test]
fn a_plain_call_allocates_nothing() {
    let breaker = CircuitBreaker::new();
    let mut cx = Context::from_waker(Waker::noop());
    let used = measure(|| {
        let call = pin!(breaker.call(ready(Ok::<_, Infallible>(1))));
        assert!(call.poll(&mut cx).is_ready());
    });
    assert_eq!(used.count_total, 0);
}
