//! What the order is for: how the policies of one stack hear of one another.

use std::{
    future::poll_fn,
    task::{Context, Poll},
};

use tokio::time::advance;
use tokio_test::{assert_pending, task};

use super::*;
use crate::{
    clock::{self, Instant},
    retry::{Jitter, RetryBuilder},
    timeout::{Deadline, Timeout},
};

pub(super) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Waits of 100 ms, 200 ms, 400 ms.
pub(super) fn retry() -> RetryBuilder {
    Retry::builder().jitter(Jitter::None)
}

#[derive(Clone, Copy)]
pub(super) enum Act {
    Answer,
    Fail,
    Hang,
    Panic,
}

/// A service that plays a script, the last act for ever. Both its readiness and its answers take two polls.
pub(super) struct Actor {
    script: &'static [Act],
    calls: Arc<Mutex<Vec<Instant>>>,
    /// As many as there are calls and answers alive.
    pub(super) alive: Arc<()>,
    asked: bool,
}

impl Actor {
    pub(super) fn new(script: &'static [Act]) -> Self {
        Self {
            script,
            calls: Arc::default(),
            alive: Arc::new(()),
            asked: false,
        }
    }

    /// When it was called, in milliseconds after `start`.
    pub(super) fn calls_since(&self, start: Instant) -> Vec<u128> {
        let calls = self.calls.lock().expect("no panic");
        calls.iter().map(|c| (*c - start).as_millis()).collect()
    }

    pub(super) fn calls(&self) -> u64 {
        self.calls.lock().expect("no panic").len() as u64
    }
}

/// How many calls and answers are alive.
pub(super) fn alive(all: &Arc<()>, services: usize) -> usize {
    Arc::strong_count(all) - services
}

/// A clone is not ready, as a clone never is.
impl Clone for Actor {
    fn clone(&self) -> Self {
        Self {
            calls: self.calls.clone(),
            alive: self.alive.clone(),
            asked: false,
            ..*self
        }
    }
}

impl Service<u32> for Actor {
    type Response = Arc<()>;
    type Error = &'static str;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Arc<()>, &'static str>>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        if !self.asked {
            self.asked = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: u32) -> Self::Future {
        assert!(std::mem::take(&mut self.asked), "called without being ready");
        let mut calls = self.calls.lock().expect("no panic");
        let act = self.script[calls.len().min(self.script.len() - 1)];
        calls.push(clock::now());
        let held = self.alive.clone();
        Box::pin(async move {
            let mut asked = false;
            poll_fn(|cx| match std::mem::replace(&mut asked, true) {
                true => Poll::Ready(()),
                false => {
                    cx.waker().wake_by_ref();
                    Poll::Pending
                }
            })
            .await;
            match act {
                Act::Answer => Ok(held),
                Act::Fail => Err("busy"),
                Act::Hang => pending().await,
                Act::Panic => panic!("as the script has it"),
            }
        })
    }
}

pub(super) fn kind<T, E: CallError>(result: &Result<T, E>) -> Option<RejectionKind> {
    result.as_ref().err()?.rejected().map(|r| r.kind())
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_times_out_is_a_failure_to_the_breaker_and_is_tried_again_until_that_opens() {
    let actor = Actor::new(&[Act::Hang]);
    let (retry, metrics) = (retry().max_attempts(5).build().expect("valid"), Metrics::new());
    let breaker = CircuitBreaker::builder()
        .consecutive_failures(2)
        .build()
        .expect("valid");
    let attempt = Timeout::after(ms(50)).build().expect("valid");
    let service = Stack::new("x")
        .attempt_timeout(attempt.clone())
        .circuit_breaker(breaker.clone())
        .retry(retry.clone())
        .metrics(metrics.clone())
        .build()
        .service(actor.clone());
    let start = clock::now();
    let result = service.oneshot(1).await;
    // After the second attempt the circuit is open; the third is refused, and that is not tried again.
    assert_eq!(kind(&result), Some(RejectionKind::CircuitOpen));
    assert_eq!(actor.calls_since(start), [0, 150]);
    assert_eq!(start.elapsed(), ms(50 + 100 + 50 + 200));
    // Told of by the timeout inside of it, not cut off from outside, which after so long would be a failure as well.
    let books = breaker.snapshot();
    assert_eq!((breaker.state(), books.failure, books.slow), (State::Open, 2, 0));
    assert_eq!((attempt.snapshot().timed_out, retry.snapshot().retries), (2, 2));
    assert_eq!(
        metrics.snapshot().outcomes.rejected,
        1,
        "one call, whatever it took"
    );
}

#[tokio::test(start_paused = true)]
async fn an_open_circuit_is_asked_once() {
    let (actor, retry, breaker) = (Actor::new(&[Act::Answer]), Retry::standard(), breaker());
    breaker.force_open();
    let service = Stack::new("x")
        .retry(retry.clone())
        .circuit_breaker(breaker.clone())
        .build()
        .service(actor.clone());
    assert_eq!(kind(&service.oneshot(1).await), Some(RejectionKind::CircuitOpen));
    assert_eq!(
        (
            actor.calls(),
            retry.snapshot().retries,
            breaker.snapshot().rejected
        ),
        (0, 0, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn the_total_ends_all_and_a_wait_that_it_would_end_is_not_begun() {
    // In the wait after the second attempt; in the second attempt, which gets what is left.
    for (total, took) in [(350, 200), (170, 170)] {
        let actor = Actor::new(&[Act::Hang]);
        let retry = retry().max_attempts(9).build().expect("valid");
        let service = Stack::new("x")
            .total_timeout(ms(total))
            .expect("valid")
            .retry(retry.clone())
            .attempt_timeout(ms(50))
            .expect("valid")
            .build()
            .service(actor.clone());
        let start = clock::now();
        let result = service.oneshot(1).await;
        assert_eq!(kind(&result), Some(RejectionKind::TimedOut));
        assert_eq!((actor.calls(), start.elapsed()), (2, ms(took)), "total {total}");
        assert_eq!(retry.snapshot().out_of_time, 1);
        assert_eq!(alive(&actor.alive, 1), 0, "nothing goes on");
    }

    // Whatever it is that takes its time.
    let deadline = Deadline::after(ms(70)).build().expect("valid");
    let service = Stack::new("x")
        .total_timeout(deadline.clone())
        .retry(Retry::standard())
        .build()
        .service(Actor::new(&[Act::Hang]));
    let start = clock::now();
    assert_eq!(kind(&service.oneshot(1).await), Some(RejectionKind::TimedOut));
    assert_eq!((start.elapsed(), deadline.snapshot().timed_out), (ms(70), 1));
}

/// PITFALLS: "an outer timeout cannot hide an outage", even one that is over before a breaker takes anything for slow.
#[tokio::test(start_paused = true)]
async fn a_total_shorter_than_an_attempt_hides_no_outage() {
    for attempt in [None, Some(ms(5000)), Some(ms(2000))] {
        let breaker = CircuitBreaker::new();
        let mut service = Stack::new("x")
            .total_timeout(ms(2000))
            .expect("valid")
            .attempt_timeout(attempt.map(|limit| Timeout::after(limit).build().expect("valid")))
            .circuit_breaker(breaker.clone())
            .build()
            .service(Actor::new(&[Act::Hang]));
        for _ in 0..5 {
            let call = service.ready().await.expect("ready").call(1);
            assert_eq!(kind(&call.await), Some(RejectionKind::TimedOut), "{attempt:?}");
        }
        assert_eq!(breaker.state(), State::Open, "{attempt:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_the_total_cuts_off_when_it_was_slow_counts() {
    for (total, books) in [(60, (1, 1, 0)), (40, (0, 0, 1))] {
        let breaker = CircuitBreaker::builder()
            .slow_after(ms(50))
            .build()
            .expect("valid");
        let service = Stack::new("x")
            .total_timeout(ms(total))
            .expect("valid")
            .retry(Retry::standard())
            .circuit_breaker(breaker.clone())
            .build()
            .service(Actor::new(&[Act::Hang]));
        assert_eq!(kind(&service.oneshot(1).await), Some(RejectionKind::TimedOut));
        let seen = breaker.snapshot();
        assert_eq!((seen.failure, seen.slow, seen.cancelled), books, "total {total}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_slow_is_the_attempts_limit_unless_the_breaker_says_it() {
    let slow = async |breaker: &CircuitBreaker| {
        let mut service = Stack::new("x")
            .circuit_breaker(breaker.clone())
            .attempt_timeout(ms(100))
            .expect("valid")
            .build()
            .service(Actor::new(&[Act::Hang]));
        let before = breaker.snapshot().slow;
        let _ = service.ready().await.expect("ready").call(1).await;
        breaker.snapshot().slow - before
    };
    let timed = || CircuitBreaker::builder().slow_call_rate(1.0);
    let silent = timed().build().expect("valid");
    assert_eq!(slow(&silent).await, 1);
    // Other options change nothing about it: what the stack said is not one of them.
    silent
        .reconfigure(silent.options().success_threshold(1))
        .expect("valid");
    assert_eq!(slow(&silent).await, 1);
    assert_eq!(silent.options(), timed().success_threshold(1));
    silent.reconfigure(timed().slow_after(ms(101))).expect("valid");
    assert_eq!(slow(&silent).await, 0);

    let outspoken = timed().slow_after(ms(101)).build().expect("valid");
    assert_eq!(slow(&outspoken).await, 0);

    // The first stack is believed.
    let shared = timed().build().expect("valid");
    for limit in [1000, 100] {
        let _ = Stack::new("x")
            .circuit_breaker(shared.clone())
            .attempt_timeout(ms(limit))
            .expect("valid")
            .build();
    }
    assert_eq!(slow(&shared).await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_failed_response_is_gone_before_the_wait_begins_and_with_it_its_permit() {
    // One that holds something and is a failure all the same.
    let actor = Actor::new(&[Act::Answer]);
    let protocol =
        Plain::classify(|_: &Result<Arc<()>, Error<&'static str>>| Outcome::failure(Reason::Error));
    let breaker = CircuitBreaker::builder()
        .half_open_probes(1)
        .build()
        .expect("valid");
    breaker.transition_to(State::HalfOpen);
    let service = Stack::new("x")
        .protocol(protocol)
        .retry(retry().build().expect("valid"))
        .circuit_breaker(breaker.clone())
        .build()
        .service(actor.clone());
    let mut call = task::spawn(service.oneshot(1));
    while {
        assert_pending!(call.poll());
        call.is_woken()
    } {}
    assert_eq!(actor.calls(), 1);
    // The actor here, and the spare one for the next attempt.
    assert_eq!(alive(&actor.alive, 2), 0);
    assert_eq!(breaker.state(), State::Open, "the probe was told of");
}

#[tokio::test(start_paused = true)]
async fn a_limit_on_calls_at_a_time_is_free_while_calls_wait() {
    let busy = || {
        service_fn(|_: u32| async {
            tokio::time::sleep(ms(10)).await;
            Err::<u32, _>("busy")
        })
    };
    let one_at_a_time = tower::limit::ConcurrencyLimitLayer::new(1);
    let stack = || Stack::new("x").retry(retry().build().expect("valid"));
    let service = stack().inside(one_at_a_time.clone()).build().service(busy());
    let began = clock::now();
    let call = || service.clone().oneshot(1);
    let _ = tokio::join!(call(), call(), call(), call());
    let inside = began.elapsed();
    // Three attempts of four calls are 120 ms, and one call alone takes 330 ms: the waits overlap.
    assert!(inside < ms(450), "{inside:?}");

    // Which is what the builder places it inside for.
    let service = one_at_a_time.layer(stack().build().service(busy()));
    let began = clock::now();
    let call = || service.clone().oneshot(1);
    let _ = tokio::join!(call(), call(), call(), call());
    assert!(began.elapsed() >= ms(4 * 330), "one after the other");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_to_be_tried_again_leaves_the_service_to_others() {
    let service = Stack::new("x")
        .retry(retry().build().expect("valid"))
        .inside(tower::limit::ConcurrencyLimitLayer::new(1))
        .build()
        .service(service_fn(|request: u32| async move {
            tokio::time::sleep(ms(10)).await;
            if request == 1 { Err("busy") } else { Ok(request) }
        }));
    let fails = service.clone().oneshot(1);
    let passes = async {
        // The other waits from 10 ms on, until 110.
        tokio::time::sleep(ms(50)).await;
        let began = clock::now();
        assert_eq!(service.clone().oneshot(2).await, Ok(2));
        assert_eq!(began.elapsed(), ms(10));
    };
    let (failed, ()) = tokio::join!(fails, passes);
    assert!(failed.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_innermost_layer_is_seen_by_all() {
    let actor = Actor::new(&[Act::Answer]);
    let (metrics, breaker, recover) = (Metrics::new(), breaker(), Recover::new());
    let retry = retry()
        .retry_on(crate::retry::RetryOn::nothing().panics(true))
        .build()
        .expect("valid");
    let service = Stack::new("x")
        .metrics(metrics.clone())
        .recover_with(recover.clone())
        .retry(retry.clone())
        .circuit_breaker(breaker.clone())
        .inside(tower::util::MapRequestLayer::new(|_: u32| -> u32 {
            panic!("a mistake of the user's own")
        }))
        .build()
        .service(actor);
    let result = service.oneshot(1).await;
    // The first attempt panicked, the second found the circuit open.
    assert_eq!(kind(&result), Some(RejectionKind::CircuitOpen));
    assert_eq!((retry.snapshot().retries, breaker.snapshot().failure), (1, 1));
    assert_eq!(recover.panics(), 1);

    let (metrics, recover) = (Metrics::new(), Recover::new());
    let service = Stack::new("x")
        .metrics(metrics.clone())
        .recover_with(recover.clone())
        .retry(Retry::standard())
        .build()
        .service(Actor::new(&[Act::Panic]));
    assert_eq!(kind(&service.oneshot(1).await), Some(RejectionKind::Panicked));
    assert_eq!((metrics.snapshot().outcomes.panicked, recover.panics()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn dropped_at_any_point_a_call_leaves_nothing() {
    let mut ended_after = None;
    for polls in 0..32 {
        let actor = Actor::new(&[Act::Fail, Act::Hang, Act::Answer]);
        let (metrics, breaker) = (Metrics::new(), CircuitBreaker::new());
        let mut service = Stack::new("x")
            .metrics(metrics.clone())
            .recover()
            .total_timeout(ms(60_000))
            .expect("valid")
            .retry(retry().build().expect("valid"))
            .circuit_breaker(breaker.clone())
            .attempt_timeout(ms(1000))
            .expect("valid")
            .build()
            .service(actor.clone());
        let mut call = task::spawn(service.ready().await.expect("ready").call(1));
        let mut ended = false;
        for _ in 0..polls {
            if let Poll::Ready(result) = call.poll() {
                result.expect("the third attempt is answered");
                ended = true;
                break;
            }
            if !call.is_woken() {
                advance(ms(1000)).await;
            }
        }
        drop((call, service));
        let (made, books) = (actor.calls(), breaker.snapshot());
        assert_eq!(
            books.success + books.failure + books.cancelled,
            made,
            "a permit each"
        );
        assert_eq!(metrics.snapshot().in_flight, 0);
        assert_eq!(alive(&actor.alive, 1), 0, "after {polls} polls");
        advance(Duration::from_secs(120)).await;
        assert_eq!(actor.calls(), made, "nothing goes on");
        if ended {
            ended_after = Some(polls);
            break;
        }
    }
    assert!(
        ended_after.is_some_and(|polls| polls > 8),
        "{ended_after:?}: every point was tried"
    );
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_gives_its_probes_place_back() {
    let breaker = CircuitBreaker::builder()
        .half_open_probes(1)
        .build()
        .expect("valid");
    breaker.transition_to(State::HalfOpen);
    let mut service = Stack::new("x")
        .total_timeout(ms(1000))
        .expect("valid")
        .retry(Retry::standard())
        .circuit_breaker(breaker.clone())
        .attempt_timeout(ms(500))
        .expect("valid")
        .build()
        .service(Actor::new(&[Act::Hang]));
    for _ in 0..3 {
        let mut call = task::spawn(service.ready().await.expect("ready").call(1));
        assert_pending!(call.poll());
        assert!(!breaker.would_admit(clock::now()));
        drop(call);
        assert!(breaker.would_admit(clock::now()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_stack_in_a_stack_does_not_multiply_attempts() {
    let actor = Actor::new(&[Act::Fail]);
    let (outer, inner) = (retry().build().expect("valid"), retry().build().expect("valid"));
    let below = Stack::new("below")
        .retry(inner.clone())
        .build()
        .service(actor.clone());
    let service = Stack::new("above")
        .keep_error()
        .total_timeout(ms(10_000))
        .expect("valid")
        .retry(outer.clone())
        .build()
        .service(below);
    assert!(service.oneshot(1).await.is_err());
    assert_eq!(
        (actor.calls(), outer.snapshot().retries, inner.snapshot().retries),
        (3, 2, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn all_that_a_stack_has_is_shown_under_its_name() {
    let registry = Registry::new();
    let service = Stack::new("db")
        .registry(&registry)
        .trace_id(TraceId::w3c())
        .metrics(Metrics::new())
        .recover()
        .total_timeout(ms(1000))
        .expect("valid")
        .retry(retry().build().expect("valid"))
        .priority(PriorityQueue::new())
        .rate_limit(RateLimiter::per_second(9).build().expect("valid"))
        .circuit_breaker(CircuitBreaker::new())
        .attempt_timeout(ms(100))
        .expect("valid")
        .build()
        .service(Actor::new(&[Act::Hang, Act::Answer]));
    assert!(service.oneshot(1).await.is_ok());
    let names: Vec<String> = registry.names().iter().map(ToString::to_string).collect();
    assert_eq!(names, ["db"], "one name, however many policies");
    let json: serde_json::Value = serde_json::from_str(&registry.snapshot().to_string()).expect("JSON");
    let db = &json["db"];
    assert_eq!((&db["requests"], &db["errors"]), (&1.into(), &0.into()));
    assert_eq!(
        (&db["retry"]["retries"], &db["retry"]["recovered"]),
        (&1.into(), &1.into())
    );
    assert_eq!(
        (&db["priority"]["failedCalls"], &db["priority"]["completedCalls"]),
        (&1.into(), &1.into())
    );
    assert_eq!(
        (&db["rateLimit"]["burst"], &db["rateLimit"]["allowed"]),
        (&9.into(), &2.into())
    );
    assert_eq!(db["circuitBreaker"]["failureCalls"], 1);
    assert_eq!(db["timeout"]["attempt"], "100ms");
    assert_eq!(db["timeout"]["timedOut"], 1);
    assert_eq!(db["deadline"]["total"], "1s");
    assert_eq!(db["deadline"]["timedOut"], 0);
    assert_eq!(db["traceId"]["made"], 1);
}

#[test]
fn a_duration_that_is_no_limit_is_an_error_of_its_setter() {
    for wrong in [Duration::ZERO, Duration::MAX] {
        assert!(Stack::new("x").total_timeout(wrong).is_err());
        assert!(Stack::new("x").attempt_timeout(wrong).is_err());
    }
}

/// Each layer is a type around a type: too many of them, and the compiler gives up.
#[tokio::test(start_paused = true)]
async fn whole_stacks_stand_one_around_the_other() {
    let around = || Stack::new("x").keep_error().full().build();
    let innermost = Stack::new("x").full().build().service(Bottom::default());
    let service = around().service(around().service(innermost));
    assert_eq!(service.oneshot(4).await.ok(), Some(4));
}
