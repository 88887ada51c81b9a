//! Endpoints that have a limit of their own, and calls that wait for their turn there.

use std::task::{Context, Poll, Waker};

use tokio_test::{assert_pending, assert_ready, task};

use super::*;
use crate::{
    CallContext,
    admission::{Admission, Both},
    rate_limit::{RateLimiter, RateLimiterBuilder},
    registry::Policy,
};

/// One permit every 100 ms, for which calls wait 250 ms at most.
fn limit() -> RateLimiterBuilder {
    RateLimiter::per_second(10).burst(1).max_wait(ms(250))
}

/// So many nodes, each under that limit.
fn limited<const N: usize>(limit: RateLimiterBuilder) -> ([TestNode; N], Pool<TestNode>) {
    let (nodes, pool) = nodes(Duration::ZERO);
    (nodes, pool.name("shop").breaker(limit).build().expect("valid"))
}

/// What is left of the limits, none of which has more than one permit.
fn use_up(pool: &Pool<TestNode>) {
    for _ in 0..pool.snapshot().endpoints.len() {
        pool.try_acquire().expect("a permit").record(Outcome::SUCCESS);
    }
}

/// How many calls the limits say they have refused.
fn limited_in_all(pool: &Pool<TestNode>) -> u64 {
    let limited = |(_, policy): &(_, Arc<dyn Policy>)| {
        let mut state = crate::value::Table::new();
        policy.describe(&mut state);
        let state = crate::value::Value::Table(state);
        state.at(&["rateLimit", "limited"])?.as_u64()
    };
    pool.members("shop").iter().filter_map(limited).sum()
}

#[tokio::test(start_paused = true)]
async fn where_all_are_at_their_limits_a_call_waits_for_the_first_turn() {
    let (nodes, pool) = limited::<2>(limit());
    pool.drain("1");
    calls(&pool, 1).await;
    tokio::time::advance(ms(40)).await;
    pool.resume("1");
    calls(&pool, 1).await;
    assert_eq!((nodes[0].calls(), nodes[1].calls()), (1, 1));
    let start = clock::now();
    // The turn at the first comes 60 ms from now, that at the second 100 ms.
    let (one, two, three) = tokio::join!(call(&pool), call(&pool), async {
        let answer = call(&pool).await;
        (answer, start.elapsed())
    });
    assert_eq!((one, two, three), (Ok(0), Ok(1), (Ok(0), ms(160))));
    let state = pool.snapshot();
    assert_eq!((state.no_endpoint, state.calls), (0, 5));
    assert_adds_up(&pool);
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_turn_would_come_too_late_is_refused_at_once_as_rate_limited() {
    let (_, pool) = limited::<2>(limit());
    use_up(&pool);
    let mut waiting: Vec<_> = (0..4).map(|_| task::spawn(pool.service().call(()))).collect();
    for call in &mut waiting {
        assert_pending!(call.poll());
    }
    assert_eq!(limited_in_all(&pool), 0);
    let refused = assert_ready!(task::spawn(pool.service().call(())).poll()).expect_err("too late");
    let refused = refused.rejected().expect("refused").clone();
    assert_eq!(refused.kind(), RejectionKind::RateLimited);
    assert_eq!(refused.retry_after(), Some(ms(300)));
    assert!(refused.policy().starts_with("shop:"), "{refused}");
    // It stood in nobody's way, and is in the books of the limit, not in those of endpoints that are down.
    assert_eq!((pool.snapshot().no_endpoint, limited_in_all(&pool)), (0, 1));
    for two in waiting.chunks_mut(2) {
        tokio::time::sleep(ms(100)).await;
        for call in two {
            assert!(assert_ready!(call.poll()).is_ok());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_where_the_limit_does_not_say_for_how_long() {
    let (_, pool) = limited::<2>(limit().max_wait(Duration::ZERO));
    use_up(&pool);
    let refused = call(&pool).await.expect_err("used up");
    let refused = refused.rejected().expect("refused");
    assert_eq!(
        (refused.kind(), refused.retry_after()),
        (RejectionKind::RateLimited, Some(ms(100)))
    );
    let refused = pool.try_acquire().map(|_| ()).expect_err("used up");
    assert_eq!(
        (refused.kind(), refused.retry_after()),
        (RejectionKind::RateLimited, Some(ms(100)))
    );
    tokio::time::advance(ms(100)).await;
    assert!(pool.try_acquire().is_ok() && call(&pool).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_is_woken_when_its_turn_comes_and_not_before() {
    let (_, pool) = limited::<1>(limit());
    use_up(&pool);
    let mut calls: Vec<_> = (0..2).map(|_| task::spawn(pool.service().call(()))).collect();
    for call in &mut calls {
        assert_pending!(call.poll());
    }
    tokio::time::sleep(ms(99)).await;
    assert!(calls.iter().all(|call| !call.is_woken()));
    tokio::time::sleep(ms(1)).await;
    assert!(calls[0].is_woken() && !calls[1].is_woken(), "one turn, one call");
    assert_eq!(assert_ready!(calls[0].poll()), Ok(0));
    assert!(calls[1].is_woken(), "it is the first now, and sets its timer");
    assert_pending!(calls[1].poll());
    tokio::time::sleep(ms(100)).await;
    assert!(calls[1].is_woken());
    assert_eq!(assert_ready!(calls[1].poll()), Ok(0));
}

#[tokio::test(start_paused = true)]
async fn a_newcomer_does_not_overtake_those_who_wait() {
    let (_, pool) = limited::<1>(limit());
    use_up(&pool);
    let mut first = task::spawn(pool.service().call(()));
    assert_pending!(first.poll());
    tokio::time::sleep(ms(100)).await;
    // It is the first one's turn, who has not looked yet.
    let mut second = task::spawn(pool.service().call(()));
    assert_pending!(second.poll());
    assert_eq!(limited_in_all(&pool), 0, "to stand in line is no refusal");
    assert!(pool.try_acquire().is_err());
    assert_eq!(assert_ready!(first.poll()), Ok(0));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_leaves_the_line_to_those_behind_it() {
    let (_, pool) = limited::<1>(limit());
    use_up(&pool);
    let start = clock::now();
    let mut first = task::spawn(pool.service().call(()));
    assert_pending!(first.poll());
    let mut second = task::spawn(pool.service().call(()));
    assert_pending!(second.poll());
    drop(first);
    assert_eq!(second.await, Ok(0));
    assert_eq!(start.elapsed(), ms(100));
    assert_adds_up(&pool);
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_no_longer_than_until_its_deadline() {
    let (_, pool) = limited::<1>(limit());
    use_up(&pool);
    let within = |time| {
        let mut context = CallContext::new();
        context.limit_deadline(clock::now() + time);
        context
    };
    let context = within(ms(99));
    let refused = task::spawn(context.scope(pool.service().call(())))
        .poll()
        .map(|answer| kind(&answer));
    assert_eq!(refused, Poll::Ready(Some(RejectionKind::RateLimited)));
    let context = within(ms(100));
    let tally = context.tally().clone();
    assert_eq!(context.scope(pool.service().call(())).await, Ok(0));
    assert_eq!(tally.queued(), ms(100), "how long it has waited is in its books");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_goes_to_an_endpoint_that_is_added() {
    let (_, pool) = limited::<1>(limit());
    use_up(&pool);
    let mut call = task::spawn(pool.service().call(()));
    assert_pending!(call.poll());
    pool.add(Endpoint::new("7", TestNode::new(7, Duration::ZERO)))
        .expect("valid");
    assert!(call.is_woken());
    assert_eq!(assert_ready!(call.poll()), Ok(7));
    // And has left the line.
    drop(call);
    pool.drain("7");
    tokio::time::advance(ms(100)).await;
    let mut next = task::spawn(pool.service().call(()));
    assert_eq!(assert_ready!(next.poll()), Ok(0));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_leaves_an_endpoint_that_goes_and_waits_elsewhere() {
    let goes: [fn(&Pool<TestNode>) -> bool; 3] = [
        |pool| pool.drain("0"),
        |pool| pool.remove("0"),
        |pool| pool.drill("0", &crate::registry::Drill::ForceOpen).is_ok(),
    ];
    for go in goes {
        let [one, two] = std::array::from_fn(|_| {
            let limiter = limit().build().expect("valid");
            let breaker = breaker().build().expect("valid");
            (limiter.clone(), Both::new(Arc::new(breaker), Arc::new(limiter)))
        });
        let pool = Pool::builder()
            .push(Endpoint::new("0", TestNode::new(0, Duration::ZERO)).breaker(one.1))
            .push(Endpoint::new("1", TestNode::new(1, Duration::ZERO)).breaker(two.1))
            .build()
            .expect("valid");
        two.0.try_acquire(1).expect("one permit");
        one.0.try_acquire(1).expect("one permit");
        // A stranger waits at the second, so the first turn comes at the first.
        let mut line = task::spawn(Box::pin(two.0.acquire(1)));
        assert_pending!(line.poll());
        let mut call = task::spawn(pool.service().call(()));
        assert_pending!(call.poll());
        assert_eq!((one.0.snapshot().waiting, two.0.snapshot().waiting), (1, 1));
        assert!(go(&pool));
        assert!(call.is_woken());
        assert_pending!(call.poll());
        assert_eq!((one.0.snapshot().waiting, two.0.snapshot().waiting), (0, 2));
        tokio::time::sleep(ms(100)).await;
        assert!(line.is_woken());
        assert_ready!(line.poll()).expect("its turn");
        tokio::time::sleep(ms(100)).await;
        assert_eq!(assert_ready!(call.poll()), Ok(1));
        assert_adds_up(&pool);
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_lines_up_again_waits_no_longer_in_all() {
    let [one, two] = std::array::from_fn(|_| limit().build().expect("valid"));
    let endpoint = |i: u32, limiter: &RateLimiter| {
        Endpoint::new(i.to_string(), TestNode::new(i, Duration::ZERO)).breaker(limiter.clone())
    };
    let pool = Pool::builder()
        .push(endpoint(0, &one))
        .push(endpoint(1, &two))
        .build()
        .expect("valid");
    for limiter in [&one, &two] {
        limiter.try_acquire(1).expect("one permit");
    }
    let mut ahead = task::spawn(Box::pin(two.acquire(1)));
    assert_pending!(ahead.poll());
    let mut call = task::spawn(pool.service().call(()));
    assert_pending!(call.poll());
    assert_eq!(one.snapshot().waiting, 1);
    tokio::time::sleep(ms(90)).await;
    // A turn at the second in 200 ms would be soon enough for who comes now, but it has waited for 90.
    drop(ahead);
    let mut ahead = [(); 2].map(|()| task::spawn(Box::pin(two.acquire(1))));
    for stranger in &mut ahead {
        assert_pending!(stranger.poll());
    }
    pool.drain("0");
    assert!(call.is_woken());
    assert_eq!(
        kind(&assert_ready!(call.poll())),
        Some(RejectionKind::RateLimited)
    );
    let mut newcomer = task::spawn(pool.service().call(()));
    assert_pending!(newcomer.poll());
}

/// A breaker that has one probe to give, and a limit that is used up.
async fn on_trial() -> (CircuitBreaker, RateLimiter, Both) {
    let limiter = limit().build().expect("valid");
    let breaker = breaker().half_open_probes(1).build().expect("valid");
    breaker.transition_to(crate::circuit_breaker::State::Open);
    tokio::time::advance(secs(10)).await;
    limiter.try_acquire(1).expect("one permit");
    let both = Both::new(Arc::new(breaker.clone()), Arc::new(limiter.clone()));
    (breaker, limiter, both)
}

#[tokio::test(start_paused = true)]
async fn who_stands_in_line_holds_no_probe_and_gives_the_permit_back_if_there_is_none() {
    let (breaker, limiter, both) = on_trial().await;
    let turn = both.stand_in_line(clock::now(), None).expect("in 100 ms");
    let mut turn = task::spawn(turn);
    assert_pending!(turn.poll());
    // Somebody else has the one probe by then.
    let probe = breaker.try_acquire().expect("on trial");
    tokio::time::advance(ms(100)).await;
    let refused = assert_ready!(turn.poll()).expect_err("no probe is left");
    assert_eq!(refused.kind(), RejectionKind::CircuitOpen);
    assert_eq!(limiter.peek().remaining, 1);
    drop(probe);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_the_limit_refuses_takes_no_probe() {
    let (breaker, _, both) = on_trial().await;
    let refused = both.admit(clock::now()).expect_err("used up");
    assert_eq!(refused.kind(), RejectionKind::RateLimited);
    assert!(breaker.try_acquire().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_leaves_a_breaker_that_has_no_probe_left() {
    let (breaker, limiter, both) = on_trial().await;
    let node = TestNode::new(0, Duration::ZERO);
    let pool = Pool::builder().push(Endpoint::new("0", node).breaker(both));
    let pool = pool.build().expect("valid");
    let mut call = task::spawn(pool.service().call(()));
    assert_pending!(call.poll());
    let probe = breaker.try_acquire().expect("on trial");
    tokio::time::advance(ms(100)).await;
    let refused = assert_ready!(call.poll());
    assert_eq!(kind(&refused), Some(RejectionKind::NoEndpoint));
    assert_eq!(limiter.peek().remaining, 1);
    drop(probe);
}

/// Fails at once: when it is called, or when it is asked whether it is ready.
#[derive(Clone)]
struct Bad {
    is_broken: bool,
    asked: Arc<dyn Fn() + Send + Sync>,
}

impl Service<()> for Bad {
    type Response = u32;
    type Error = Failed;
    type Future = std::future::Ready<Answer>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        (self.asked)();
        Poll::Ready(match self.is_broken {
            true => Err(Error::Inner("broken")),
            false => Ok(()),
        })
    }

    fn call(&mut self, (): ()) -> Self::Future {
        std::future::ready(Err(Error::Inner("down")))
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_does_not_wait_for_an_endpoint_where_it_has_failed() {
    // Which is tried first is chance.
    for _ in 0..40 {
        let endpoint = |name: &str, is_broken| {
            let asked = Arc::new(|| ());
            Endpoint::new(name, Bad { is_broken, asked }).breaker(limit().build().expect("valid"))
        };
        let pool = Pool::builder()
            .push(endpoint("0", false))
            .push(endpoint("1", true))
            .build()
            .expect("valid");
        let mut call = task::spawn(pool.service().call(()));
        assert!(matches!(assert_ready!(call.poll()), Err(Error::Inner(_))));
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_finds_its_endpoint_drained_gives_its_permit_back() {
    let pool = Arc::new(std::sync::OnceLock::<Pool<Bad>>::new());
    let handle = pool.clone();
    let bad = Bad {
        is_broken: false,
        // Between the look at the endpoint and the choice.
        asked: Arc::new(move || {
            if let Some(pool) = handle.get() {
                pool.drain("0");
            }
        }),
    };
    let limiter = limit().build().expect("valid");
    let built = Pool::builder().push(Endpoint::new("0", bad).breaker(limiter.clone()));
    let pool = pool.get_or_init(|| built.build().expect("valid"));
    let refused = assert_ready!(task::spawn(pool.service().call(())).poll());
    assert_eq!(kind(&refused), Some(RejectionKind::NoEndpoint));
    assert_eq!(limiter.peek().remaining, 1);
}

/// Is not ready until it is told to be.
#[derive(Clone, Default)]
struct Shut(Arc<Mutex<(bool, Vec<Waker>)>>);

impl Shut {
    fn open(&self) {
        let mut state = self.0.lock().expect("no panic");
        state.0 = true;
        state.1.drain(..).for_each(Waker::wake);
    }
}

impl Service<()> for Shut {
    type Response = u32;
    type Error = Failed;
    type Future = std::future::Ready<Answer>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        let mut state = self.0.lock().expect("no panic");
        if state.0 {
            return Poll::Ready(Ok(()));
        }
        state.1.push(cx.waker().clone());
        Poll::Pending
    }

    fn call(&mut self, (): ()) -> Self::Future {
        std::future::ready(Ok(0))
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_turn_comes_at_an_endpoint_that_is_not_ready_gives_its_permit_back() {
    let (shut, limiter) = (Shut::default(), limit().build().expect("valid"));
    let pool = Pool::builder()
        .push(Endpoint::new("0", shut.clone()).breaker(limiter.clone()))
        .build()
        .expect("valid");
    limiter.try_acquire(1).expect("one permit");
    let mut call = task::spawn(pool.service().call(()));
    assert_pending!(call.poll());
    tokio::time::sleep(ms(100)).await;
    assert!(call.is_woken());
    assert_pending!(call.poll());
    assert_eq!((limiter.peek().remaining, limiter.snapshot().waiting), (1, 0));
    assert_eq!(
        pool.snapshot().endpoint("0").map(|e| (e.calls, e.in_flight)),
        Some((0, 0))
    );
    shut.open();
    assert!(call.is_woken());
    assert_eq!(assert_ready!(call.poll()), Ok(0));
    assert_eq!(limiter.peek().remaining, 0);
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_is_used_up_is_no_outage() {
    let (nodes, pool) = nodes::<3>(Duration::ZERO);
    let pool = pool.breaker(limit()).panic_mode(true).build().expect("valid");
    let log = Log::of(&pool);
    use_up(&pool);
    assert_eq!(pool.snapshot().usable(), 3);
    // Over half are at their limits, and none gets more calls than it may for that.
    let answers = futures_util::future::join_all((0..9).map(|_| call(&pool))).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 6);
    assert!(nodes.iter().all(|node| node.calls() == 2), "{nodes:?}");
    assert_eq!(log.take(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn endpoints_at_their_limits_are_no_reason_to_panic() {
    let (nodes, pool) = nodes::<3>(Duration::ZERO);
    let make = |_: &str| -> Result<Arc<dyn Admission>, _> {
        Ok(Arc::new(Both::new(
            Arc::new(breaker().build()?),
            Arc::new(limit().build()?),
        )))
    };
    let pool = pool.breaker(make).panic_mode(true).build().expect("valid");
    pool.drill("0", &crate::registry::Drill::ForceOpen)
        .expect("a breaker");
    for _ in 0..6 {
        assert!(call(&pool).await.is_ok());
    }
    assert_eq!(nodes.map(|node| node.calls()), [0, 3, 3]);
}

#[tokio::test(start_paused = true)]
async fn panic_mode_overrules_breakers_but_no_limits() {
    let (nodes, pool) = nodes::<2>(Duration::ZERO);
    let make = |_: &str| -> Result<Arc<dyn Admission>, _> {
        let limit = limit().max_wait(Duration::ZERO).build()?;
        Ok(Arc::new(Both::new(Arc::new(breaker().build()?), Arc::new(limit))))
    };
    let pool = pool.breaker(make).panic_mode(true).build().expect("valid");
    for name in ["0", "1"] {
        pool.drill(name, &crate::registry::Drill::ForceOpen)
            .expect("a breaker");
    }
    calls(&pool, 6).await;
    assert_eq!((nodes[0].calls(), nodes[1].calls()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_another_layer_has_refused_gives_its_permit_back() {
    let (nodes, pool) = limited::<1>(limit());
    nodes[0].answers(Err(Error::Rejected(Rejected::new(
        RejectionKind::QueueFull,
        "inner",
    ))));
    let refused = call(&pool).await;
    assert_eq!(kind(&refused), Some(RejectionKind::QueueFull));
    nodes[0].works();
    let mut next = task::spawn(pool.service().call(()));
    assert_eq!(assert_ready!(next.poll()), Ok(0), "it was not made");
    drop(next);
    nodes[0].fails();
    assert_eq!(kind(&call(&pool).await), None);
}

#[test]
fn a_refusal_allocates_nothing() {
    // No permit comes while it is measured.
    let runtime = crate::test_services::paused();
    let _paused = runtime.enter();
    let (_, pool) = limited::<3>(limit().max_wait(Duration::ZERO));
    use_up(&pool);
    let mut service = pool.service();
    let mut cx = Context::from_waker(Waker::noop());
    let mut call = || {
        let mut future = std::pin::pin!(service.call(()));
        assert!(future.as_mut().poll(&mut cx).is_ready());
    };
    call();
    let used = allocation_counter::measure(|| (0..100).for_each(|_| call()));
    assert_eq!(used.count_total, 0, "{used:?}");
}
