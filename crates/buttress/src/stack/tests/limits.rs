//! Where the queue and the rate limit stand: who waits for what, and who gets back what was not used.

use tokio::time::advance;
use tokio_test::{assert_pending, assert_ready, task};

use super::{
    order::{Act, Actor, alive, kind, ms, retry},
    *,
};
use crate::{clock, priority::Priority};

fn one_at_a_time() -> PriorityQueue {
    PriorityQueue::builder().concurrency(1).build().expect("valid")
}

fn a_minute(permits: u64) -> RateLimiter {
    RateLimiter::per_minute(permits).build().expect("valid")
}

/// To where it waits for something else than another poll.
fn poll_on<F: Future>(call: &mut task::Spawn<F>) {
    while {
        assert!(call.poll().is_pending());
        call.is_woken()
    } {}
}

#[tokio::test(start_paused = true)]
async fn each_attempt_asks_the_queue_and_the_limiter_again() {
    let actor = Actor::new(&[Act::Fail, Act::Fail, Act::Answer]);
    let (queue, limiter) = (PriorityQueue::new(), a_minute(10));
    let service = Stack::new("x")
        .rate_limit(limiter.clone())
        .priority(queue.clone())
        .retry(retry().build().expect("valid"))
        .build()
        .service(actor);
    assert!(service.oneshot(1).await.is_ok());
    let status = queue.status();
    assert_eq!((status.failed, status.completed, status.running), (2, 1, 0));
    assert_eq!(limiter.snapshot().allowed, 3);
}

#[tokio::test(start_paused = true)]
async fn a_hedge_asks_them_for_itself() {
    let actor = Actor::new(&[Act::Hang, Act::Answer]);
    let (queue, limiter) = (PriorityQueue::new(), a_minute(10));
    let service = Stack::new("x")
        .hedge(Hedge::builder().after(ms(50)).build().expect("valid"))
        .priority(queue.clone())
        .rate_limit(limiter.clone())
        .build()
        .service(actor);
    assert!(service.oneshot(1).await.is_ok());
    assert_eq!(limiter.snapshot().allowed, 2);
    let status = queue.status();
    assert_eq!((status.completed, status.cancelled, status.running), (1, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_limiter_that_refuses_an_attempt_is_not_asked_a_third_time() {
    let actor = Actor::new(&[Act::Fail]);
    let limiter = a_minute(1);
    let service = Stack::new("x")
        .retry(retry().build().expect("valid"))
        .rate_limit(limiter.clone())
        .build()
        .service(actor.clone());
    assert_eq!(kind(&service.oneshot(1).await), Some(RejectionKind::RateLimited));
    assert_eq!((actor.calls(), limiter.snapshot().limited), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_to_be_tried_again_holds_no_slot() {
    let actor = Actor::new(&[Act::Fail, Act::Answer]);
    let queue = one_at_a_time();
    let stack = Stack::new("x")
        .priority(queue.clone())
        .retry(retry().build().expect("valid"));
    let service = stack.build().service(actor.clone());
    let start = clock::now();
    let mut first = task::spawn(service.clone().oneshot(1));
    poll_on(&mut first);
    assert_eq!((queue.status().running, actor.calls()), (0, 1));
    // The slot is another's meanwhile.
    assert!(service.oneshot(2).await.is_ok());
    assert!(start.elapsed() < ms(100));
    assert!(first.await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_slot_has_taken_no_permit_of_the_limiter() {
    let (queue, limiter) = (one_at_a_time(), a_minute(5));
    let service = Stack::new("x")
        .priority(queue.clone())
        .rate_limit(limiter.clone())
        .build()
        .service(Actor::new(&[Act::Hang]));
    let mut calls: Vec<_> = (0..3).map(|n| task::spawn(service.clone().oneshot(n))).collect();
    for call in &mut calls {
        poll_on(call);
    }
    assert_eq!((queue.status().running, queue.status().queued), (1, 2));
    assert_eq!(limiter.snapshot().allowed, 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_the_breaker_refuses_gives_its_permit_back() {
    let (queue, limiter, breaker) = (one_at_a_time(), a_minute(2), breaker());
    breaker.force_open();
    let service = Stack::new("x")
        .priority(queue.clone())
        .rate_limit(limiter.clone())
        .circuit_breaker(breaker)
        .build()
        .service(Actor::new(&[Act::Answer]));
    for n in 0..5 {
        let result = service.clone().oneshot(n).await;
        assert_eq!(kind(&result), Some(RejectionKind::CircuitOpen), "call {n}");
    }
    assert_eq!((limiter.peek().remaining, limiter.snapshot().refunded), (2, 5));
    assert_eq!((queue.status().running, queue.status().failed), (0, 0));
}

/// The breaker has the attempt's limit for what is slow.
#[tokio::test(start_paused = true)]
async fn to_wait_is_no_slowness_of_the_service() {
    let breaker = breaker();
    let limiter = RateLimiter::per_second(5).burst(1).max_wait(ms(1000));
    let service = Stack::new("x")
        .priority(one_at_a_time())
        .rate_limit(limiter.build().expect("valid"))
        .circuit_breaker(breaker.clone())
        .attempt_timeout(ms(50))
        .expect("valid")
        .build()
        .service(Actor::new(&[Act::Answer]));
    let start = clock::now();
    let call = || service.clone().oneshot(1);
    let answers = tokio::join!(call(), call(), call());
    assert!(answers.0.is_ok() && answers.1.is_ok() && answers.2.is_ok());
    assert!(start.elapsed() >= ms(400), "the third waited for its permit");
    let books = breaker.snapshot();
    assert_eq!((books.success, books.slow), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn what_could_not_begin_before_the_total_is_over_is_not_begun() {
    // For a permit: known at once.
    let actor = Actor::new(&[Act::Answer]);
    let limiter = RateLimiter::per_second(1).burst(1).max_wait(ms(5000));
    let limiter = limiter.build().expect("valid");
    let mut service = Stack::new("x")
        .total_timeout(ms(300))
        .expect("valid")
        .rate_limit(limiter.clone())
        .build()
        .service(actor.clone());
    assert!(service.ready().await.expect("ready").call(1).await.is_ok());
    let start = clock::now();
    let refused = service.ready().await.expect("ready").call(2).await;
    assert_eq!(kind(&refused), Some(RejectionKind::RateLimited));
    assert_eq!((start.elapsed(), actor.calls()), (ms(0), 1));

    // For a slot: when the time is over.
    let (actor, queue) = (Actor::new(&[Act::Hang]), one_at_a_time());
    let service = Stack::new("x")
        .total_timeout(ms(300))
        .expect("valid")
        .priority(queue.clone())
        .build()
        .service(actor.clone());
    let mut holder = task::spawn(queue.acquire(Priority::NORMAL));
    let held = assert_ready!(holder.poll());
    let mut call = task::spawn(service.oneshot(1));
    assert_pending!(call.poll());
    advance(ms(301)).await;
    let refused = kind(&assert_ready!(call.poll()));
    let late = [RejectionKind::DeadlineExpired, RejectionKind::TimedOut];
    assert!(refused.is_some_and(|kind| late.contains(&kind)), "{refused:?}");
    drop(held);
    assert_eq!((actor.calls(), queue.status().running), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn wherever_it_is_dropped_a_call_gives_slot_and_unused_permit_back() {
    let mut ended_after = None;
    for polls in 0..32 {
        let actor = Actor::new(&[Act::Answer]);
        let (queue, limiter) = (one_at_a_time(), a_minute(5));
        let mut service = Stack::new("x")
            .recover()
            .total_timeout(ms(60_000))
            .expect("valid")
            .retry(Retry::standard())
            .priority(queue.clone())
            .rate_limit(limiter.clone())
            .circuit_breaker(CircuitBreaker::new())
            .attempt_timeout(ms(1000))
            .expect("valid")
            .build()
            .service(actor.clone());
        let mut call = task::spawn(service.ready().await.expect("ready").call(1));
        let ended = (0..polls).any(|_| call.poll().is_ready());
        drop((call, service));
        assert_eq!(queue.status().running, 0, "after {polls} polls");
        assert_eq!(5 - limiter.peek().remaining, actor.calls(), "after {polls} polls");
        assert_eq!(alive(&actor.alive, 1), 0, "after {polls} polls");
        if ended {
            ended_after = Some(polls);
            break;
        }
    }
    assert!(ended_after.is_some_and(|polls| polls > 2), "{ended_after:?}");
}

#[cfg(feature = "http")]
mod servers {
    use bytes::Bytes;
    use http::{Request, Response};
    use http_body_util::{BodyExt, Full};

    use super::*;

    type Page = Response<Full<Bytes>>;

    async fn handler(_: Request<()>) -> Result<Page, Infallible> {
        Ok(Response::new(Full::from("well")))
    }

    async fn never(_: Request<()>) -> Result<Page, Infallible> {
        pending().await
    }

    fn said<B>(response: &Response<B>, name: &str) -> Vec<String> {
        let values = response.headers().get_all(name).iter();
        values.map(|v| v.to_str().expect("text").to_owned()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_limited_call_does_not_reach_the_queue_and_one_that_the_queue_refuses_costs_no_permit() {
        let queue = PriorityQueue::builder().concurrency(1).queue(1);
        let (queue, limiter) = (queue.build().expect("valid"), a_minute(3));
        let server = Stack::http_server("api")
            .priority(queue.clone())
            .rate_limit(limiter.clone())
            .build()
            .service(service_fn(never));
        let ask = || server.clone().oneshot(Request::new(()));
        let mut calls = [task::spawn(ask()), task::spawn(ask())];
        for call in &mut calls {
            assert_pending!(call.poll());
        }
        assert_eq!(
            limiter.peek().remaining,
            1,
            "who is in the line is through the limit"
        );
        // One runs, one waits, and there is no place for a third.
        for _ in 0..3 {
            let response = ask().await.expect("infallible");
            assert_eq!(response.status(), 503);
            assert!(!said(&response, "retry-after").is_empty());
        }
        assert_eq!((queue.status().rejected_full, limiter.peek().remaining), (3, 1));
        limiter.try_acquire(1).expect("the last");
        assert_eq!(ask().await.expect("infallible").status(), 429);
        assert_eq!((queue.status().rejected_full, limiter.snapshot().limited), (3, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slot_is_kept_to_the_end_of_the_body() {
        let queue = one_at_a_time();
        let server = Stack::http_server("api")
            .priority(queue.clone())
            .build()
            .service(service_fn(handler));
        let ask = || server.clone().oneshot(Request::new(()));
        let first = ask().await.expect("infallible");
        let mut second = task::spawn(ask());
        assert_pending!(second.poll());
        assert_eq!((queue.status().running, queue.status().queued), (1, 1));
        first.into_body().collect().await.expect("a body");
        assert!(second.is_woken());
        assert_eq!(assert_ready!(second.poll()).expect("infallible").status(), 200);
    }

    /// A client's patience is known to limit and queue: what could not begin in time is not begun.
    #[tokio::test(start_paused = true)]
    async fn who_waits_for_longer_than_its_client_does_is_never_started() {
        let started = Arc::new(Mutex::new(0));
        let count = started.clone();
        let (queue, limiter) = (one_at_a_time(), RateLimiter::per_minute(2).max_wait(ms(60_000)));
        let limiter = limiter.build().expect("valid");
        let server = Stack::grpc_server("shop")
            .deadline(crate::timeout::Deadline::new())
            .priority(queue.clone())
            .rate_limit(limiter.clone())
            .build()
            .service(service_fn(move |request| {
                *count.lock().expect("no panic") += 1;
                never(request)
            }));
        let ask = |timeout: &'static str| {
            let request = Request::post("/shop.Shop/Buy").header("grpc-timeout", timeout);
            task::spawn(server.clone().oneshot(request.body(()).expect("valid")))
        };
        let code = |response: &Response<_>| said(response, "grpc-status");
        let mut running = ask("1H");
        let mut late = ask("200m");
        assert_pending!(running.poll());
        assert_pending!(late.poll());
        assert_eq!((queue.status().running, queue.status().queued), (1, 1));
        advance(ms(201)).await;
        assert_eq!(code(&assert_ready!(late.poll()).expect("infallible")), ["4"]);
        drop(running);
        assert_eq!(
            (*started.lock().expect("no panic"), queue.status().queued),
            (1, 0)
        );
        // There is no permit within that time, and that is known at once.
        while limiter.try_acquire(1).is_ok() {}
        let refused = assert_ready!(ask("200m").poll()).expect("infallible");
        assert_eq!(code(&refused), ["8"]);
        assert!(!said(&refused, "retry-after").is_empty());
        assert_eq!(*started.lock().expect("no panic"), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn refusals_and_answers_say_what_is_left_if_the_limiter_is_told_to() {
        for own in [false, true] {
            let limiter = RateLimiter::per_minute(1).headers(true).build().expect("valid");
            let stack = Stack::http_server("api").rate_limit(limiter.clone());
            let custom = |_: &crate::Rejected| Response::new(Bytes::from("no"));
            let mut answers = Vec::new();
            // The form of a refusal may be the user's own; what the limiter says is in it all the same.
            macro_rules! ask_twice {
                ($stack:expr) => {{
                    let server = $stack.build().service(service_fn(handler));
                    for _ in 0..2 {
                        let answer = server.clone().oneshot(Request::new(())).await;
                        answers.push(answer.expect("infallible").map(drop));
                    }
                }};
            }
            match own {
                false => ask_twice!(stack),
                true => ask_twice!(stack.respond_with(custom)),
            }
            for answer in &answers {
                assert_eq!(said(answer, "ratelimit-policy"), [r#""default";q=1;w=60"#]);
                assert_eq!(said(answer, "ratelimit"), [r#""default";r=0;t=60"#]);
            }
            assert_eq!(answers[1].status(), if own { 200 } else { 429 });
        }
    }

    #[tokio::test(start_paused = true)]
    async fn refusals_say_what_is_left_though_answers_do_not() {
        let server = Stack::http_server("api")
            .rate_limit(a_minute(1))
            .build()
            .service(service_fn(handler));
        let ask = || server.clone().oneshot(Request::new(()));
        let answer = ask().await.expect("infallible");
        assert!(said(&answer, "ratelimit").is_empty(), "nobody asked for it");
        let refused = ask().await.expect("infallible");
        assert_eq!(said(&refused, "retry-after"), ["60"]);
        assert_eq!(said(&refused, "ratelimit-policy"), [r#""default";q=1;w=60"#]);
        assert_eq!(said(&refused, "ratelimit"), [r#""default";r=0;t=60"#]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_of_another_layer_says_nothing_of_the_limit() {
        let limiter = RateLimiter::per_minute(1).headers(true).build().expect("valid");
        let breaker = breaker();
        breaker.force_open();
        let server = Stack::http_server("api")
            .rate_limit(limiter)
            .circuit_breaker(breaker)
            .build()
            .service(service_fn(handler));
        let refused = server.oneshot(Request::new(())).await.expect("infallible");
        assert_eq!(refused.status(), 503);
        assert!(said(&refused, "ratelimit").is_empty());
    }
}
