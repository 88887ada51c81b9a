//! Inside of a retry.

use tower::{Layer, service_fn};

use super::*;
use crate::{
    CallContext,
    retry::{Jitter, Retry},
};

#[tokio::test(start_paused = true)]
async fn a_retry_prefers_an_endpoint_that_its_attempts_have_not_been_to() {
    for strategy in STRATEGIES {
        for _ in 0..20 {
            let (nodes, builder) = nodes::<4>(ms(10));
            nodes.iter().for_each(|node| {
                node.fails();
            });
            let pool = builder
                .balance(strategy.clone())
                .failover(0)
                .build()
                .expect("valid");
            let retry = Retry::builder().max_attempts(4).build().expect("valid");
            let answer = retry.layer().layer(pool.service()).oneshot(()).await;
            assert!(answer.is_err());
            let asked: Vec<_> = nodes.iter().map(TestNode::calls).collect();
            assert_eq!(asked, [1; 4], "{strategy:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn by_hand_too() {
    let pool = Pool::builder()
        .failover(0)
        .endpoint("a", 1)
        .endpoint("b", 2)
        .build()
        .expect("valid");
    for _ in 0..20 {
        let seen: Arc<Mutex<Vec<u32>>> = Arc::default();
        let retry = Retry::builder()
            .max_attempts(2)
            .jitter(Jitter::None)
            .build()
            .expect("valid");
        let (pool, seen_by) = (pool.clone(), seen.clone());
        let answer = retry.call(move |_| {
            let (pool, seen) = (pool.clone(), seen_by.clone());
            async move {
                let lease = pool.try_acquire().expect("an endpoint");
                seen.lock().expect("no panic").push(*lease);
                lease.record(Outcome::failure(Reason::Error));
                Err::<(), _>(std::io::Error::other("down"))
            }
        });
        assert!(answer.await.is_err());
        let mut seen = seen.lock().expect("no panic").clone();
        seen.sort_unstable();
        assert_eq!(seen, [1, 2]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_context_remembers_across_tasks() {
    let (nodes, builder) = nodes::<3>(ms(10));
    let pool = builder.balance(Strategy::Random).build().expect("valid");
    for _ in 0..20 {
        nodes.iter().for_each(TestNode::forget_calls);
        let context = CallContext::new();
        for _ in 0..3 {
            let call = context.clone().scope(pool.service().oneshot(()));
            assert!(tokio::spawn(call).await.expect("no panic").is_ok());
        }
        let asked: Vec<_> = nodes.iter().map(TestNode::calls).collect();
        assert_eq!(asked, [1; 3]);
        // All have been tried: then it is any of them again.
        assert!(context.clone().scope(call(&pool)).await.is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_without_a_retry_remembers_nothing() {
    let (nodes, builder) = nodes::<2>(ms(0));
    let pool = builder.balance(Strategy::RoundRobin).build().expect("valid");
    calls(&pool, 10).await;
    assert_eq!((nodes[0].calls(), nodes[1].calls()), (5, 5));
}

#[tokio::test(start_paused = true)]
async fn three_attempts_and_two_failovers_are_five_calls_not_nine() {
    let (nodes, builder) = nodes::<9>(ms(0));
    nodes.iter().for_each(|node| {
        node.fails();
    });
    let pool = builder.failover(2).build().expect("valid");
    let retry = Retry::builder().max_attempts(3).build().expect("valid");
    assert!(retry.layer().layer(pool.service()).oneshot(()).await.is_err());
    let made: usize = nodes.iter().map(TestNode::calls).sum();
    assert_eq!(made, 5);
    let _ = service_fn(async |()| Ok::<_, Failed>(()));
}
