//! Another endpoint for a call that failed.

use super::*;
use crate::{CallContext, budget::Budget};

/// The first is always asked first.
fn in_order(builder: PoolBuilder<TestNode>) -> Pool<TestNode> {
    builder.balance(Strategy::custom(InOrder)).build().expect("valid")
}

#[derive(Debug)]
struct InOrder;

impl Balance for InOrder {
    fn name(&self) -> &'static str {
        "in_order"
    }

    fn choose(&self, among: &Candidates<'_>) -> Option<usize> {
        among.usable().next()
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_call_goes_to_another_endpoint_at_once() {
    let (nodes, builder) = nodes::<3>(ms(10));
    nodes[0].fails();
    let pool = in_order(builder);
    let began = clock::now();
    assert_eq!(call(&pool).await, Ok(1));
    assert_eq!(clock::now() - began, ms(20));
    let state = pool.snapshot();
    let first = state.endpoint("0").expect("it is there");
    assert_eq!((first.calls, first.failure, first.moved), (1, 1, 1));
    assert_eq!(state.calls, 1);
    assert_adds_up(&pool);
}

#[tokio::test(start_paused = true)]
async fn it_is_bounded_and_never_the_same_twice() {
    for failover in 0..5 {
        let (nodes, builder) = nodes::<4>(ms(10));
        nodes.iter().for_each(|node| {
            node.fails();
        });
        let pool = in_order(builder.failover(failover));
        assert_eq!(call(&pool).await, Err(Error::Inner("down")));
        let asked: Vec<_> = nodes.iter().map(TestNode::calls).collect();
        let due: Vec<_> = (0..4).map(|i| usize::from(i <= failover)).collect();
        assert_eq!(asked, due, "{failover}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_another_endpoint_the_caller_has_the_answer() {
    let (nodes, builder) = nodes::<2>(ms(10));
    nodes[0].fails();
    let pool = in_order(builder);
    pool.drain("1");
    assert_eq!(call(&pool).await, Err(Error::Inner("down")));
    assert_eq!(pool.snapshot().endpoint("0").map(|e| e.moved), Some(0));
}

#[tokio::test(start_paused = true)]
async fn when_all_go_down_callers_see_why_until_the_breakers_are_open_and_then_are_refused() {
    let (nodes, builder) = nodes::<3>(ms(10));
    nodes.iter().for_each(|node| {
        node.fails();
    });
    let pool = in_order(builder.breaker(breaker()).budget(None));
    // Each goes to all three, and the third failure opens a breaker.
    for _ in 0..3 {
        assert_eq!(call(&pool).await, Err(Error::Inner("down")));
    }
    let began = clock::now();
    for _ in 0..20 {
        assert_eq!(kind(&call(&pool).await), Some(RejectionKind::NoEndpoint));
    }
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert!(nodes.iter().all(|node| node.calls() == 3));
}

#[tokio::test(start_paused = true)]
async fn only_what_an_endpoint_may_have_to_itself_goes_elsewhere() {
    use RejectionKind::*;
    let rejected = |kind| Err(Rejected::new(kind, "inside").into());
    for (answer, goes) in [
        (Err(Error::Inner("down")), true),
        (rejected(TimedOut), true),
        (rejected(CircuitOpen), true),
        (rejected(RateLimited), true),
        (rejected(QueueFull), true),
        (rejected(Panicked), false),
        (rejected(DeadlineExpired), false),
    ] {
        let (nodes, builder) = nodes::<2>(ms(10));
        nodes[0].answers(answer.clone());
        let pool = in_order(builder);
        assert_eq!(call(&pool).await.is_ok(), goes, "{answer:?}");
        // Unless the user knows better.
        let never = pool.options().failover_if(|_| false);
        pool.reconfigure(never).expect("valid");
        assert_eq!(call(&pool).await, answer);
        let always = pool
            .options()
            .failover_if(|outcome| outcome.reason() != Reason::Answered);
        pool.reconfigure(always).expect("valid");
        assert_eq!(call(&pool).await, Ok(1), "{answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn in_a_total_outage_the_budget_bounds_the_load() {
    let (nodes, builder) = nodes::<3>(ms(0));
    nodes.iter().for_each(|node| {
        node.fails();
    });
    let pool = in_order(builder.budget(Budget::new(0.1, 1)));
    for _ in 0..1000 {
        let _ = call(&pool).await;
        tokio::time::sleep(ms(1)).await;
    }
    let made: usize = nodes.iter().map(TestNode::calls).sum();
    assert!((1050..=1110).contains(&made), "{made}");
    let pool = in_order({
        let (nodes, builder) = super::nodes::<3>(ms(0));
        nodes.iter().for_each(|node| {
            node.fails();
        });
        builder.budget(None)
    });
    calls(&pool, 100).await;
    let made: u64 = pool.snapshot().endpoints.iter().map(|e| e.calls).sum();
    assert_eq!(made, 300);
}

#[tokio::test(start_paused = true)]
async fn a_later_attempt_of_a_retry_does_not_fail_over() {
    let (nodes, builder) = nodes::<6>(ms(0));
    nodes.iter().for_each(|node| {
        node.fails();
    });
    let pool = in_order(builder);
    let mut context = CallContext::new();
    context.set_attempt(2);
    let answer = context.scope(call(&pool));
    assert!(answer.await.is_err());
    let made: usize = nodes.iter().map(TestNode::calls).sum();
    assert_eq!(made, 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_gives_back_all_it_holds() {
    let (nodes, builder) = nodes::<2>(ms(100));
    nodes[0].fails();
    let one = breaker().half_open_probes(1);
    let pool = in_order(builder.breaker(one));
    for after in [0, 50, 100, 150, 199] {
        let _ = tokio::time::timeout(ms(after), call(&pool)).await;
        assert_eq!(
            (nodes[0].0.busy.load(SeqCst), nodes[1].0.busy.load(SeqCst)),
            (0, 0)
        );
        assert_adds_up(&pool);
    }
    let future = pool.service().call(());
    drop(future);
    assert_adds_up(&pool);
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_a_failure_of_its_endpoint_and_leaks_nothing() {
    let pool = Pool::builder()
        .breaker(breaker().consecutive_failures(1))
        .endpoint("a", 1)
        .build()
        .expect("valid");
    let running = pool.run(async |_| -> Result<(), &'static str> { panic!("a bug") });
    assert!(tokio::spawn(running).await.is_err());
    let state = pool.snapshot();
    let a = state.endpoint("a").expect("it is there");
    assert_eq!((a.failure, a.in_flight, a.phase), (1, 0, Phase::Failed));
}
