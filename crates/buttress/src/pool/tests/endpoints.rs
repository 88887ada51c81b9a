//! Endpoints that come, change and go.

use super::*;
use tokio_test::{assert_pending, assert_ready, task};
use tower::discover::Change;

#[tokio::test(start_paused = true)]
async fn a_removed_endpoint_is_not_chosen_and_its_calls_end_in_peace() {
    let (nodes, builder) = nodes::<2>(ms(100));
    let pool = builder.balance(Strategy::RoundRobin).build().expect("valid");
    let running: Vec<_> = (0..10)
        .map(|_| tokio::spawn(pool.service().oneshot(())))
        .collect();
    tokio::time::sleep(ms(50)).await;
    assert!(pool.remove("0"));
    assert!(!pool.remove("0"));
    nodes.iter().for_each(TestNode::forget_calls);
    calls(&pool, 10).await;
    assert_eq!((nodes[0].calls(), nodes[1].calls()), (0, 10));
    for call in running {
        assert!(call.await.expect("no panic").is_ok());
    }
    assert_eq!(nodes[0].0.busy.load(SeqCst), 0);
    assert_eq!(&*pool.endpoints(), ["1".into()]);
}

#[tokio::test(start_paused = true)]
async fn what_stood_behind_a_removed_endpoint_is_dropped_with_its_last_call() {
    let (nodes, builder) = nodes::<2>(ms(100));
    let pool = builder.balance(Strategy::RoundRobin).build().expect("valid");
    let running: Vec<_> = (0..2).map(|_| tokio::spawn(pool.service().oneshot(()))).collect();
    tokio::time::sleep(ms(50)).await;
    pool.remove("0");
    assert!(Arc::strong_count(&nodes[0].0) > 1);
    for call in running {
        assert!(call.await.expect("no panic").is_ok());
    }
    assert_eq!(Arc::strong_count(&nodes[0].0), 1);
}

#[tokio::test(start_paused = true)]
async fn a_draining_endpoint_is_empty_when_its_calls_have_ended() {
    let (nodes, builder) = nodes::<2>(ms(100));
    let pool = builder.balance(Strategy::RoundRobin).build().expect("valid");
    let running: Vec<_> = (0..4).map(|_| tokio::spawn(pool.service().oneshot(()))).collect();
    tokio::time::sleep(ms(40)).await;
    assert!(pool.drain("0") && !pool.drain("0") && !pool.drain("nobody"));
    let began = clock::now();
    pool.emptied("0").await;
    assert_eq!(clock::now() - began, ms(60));
    nodes[0].forget_calls();
    calls(&pool, 10).await;
    assert_eq!(nodes[0].calls(), 0);
    assert!(pool.resume("0") && !pool.resume("0"));
    calls(&pool, 10).await;
    assert_eq!(nodes[0].calls(), 5);
    drop(running);
    pool.emptied("nobody").await;
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_an_endpoint_to_be_empty_is_told_though_it_takes_calls() {
    let pool = Pool::builder().endpoint("a", 1).build().expect("valid");
    let acquire = || pool.try_acquire().expect("it takes calls");
    let calls = [acquire(), acquire()];
    let mut waiting = [(), ()].map(|()| task::spawn(pool.emptied("a")));
    for one in &mut waiting {
        assert_pending!(one.poll());
    }
    let state = pool.snapshot();
    assert_eq!((state.usable(), state.endpoints[0].in_flight), (1, 2));
    let [first, second] = calls.map(|call| {
        call.record(Outcome::SUCCESS);
        waiting.each_ref().map(|one| one.is_woken())
    });
    assert_eq!((first, second), ([false, false], [true, true]));
    let [one, other] = &mut waiting;
    assert_ready!(one.poll());
    // Another call has come before the other looks.
    let call = acquire();
    assert_pending!(other.poll());
    drop(call);
    assert!(other.is_woken());
    assert_ready!(other.poll());
    assert_ready!(task::spawn(pool.emptied("a")).poll());
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_takes_the_place_of_another_goes_on_with_its_counts() {
    let pool = Pool::builder().breaker(breaker()).endpoint("a", 1);
    let pool = pool.build().expect("valid");
    let acquire = || pool.try_acquire().expect("it takes calls");
    let late = acquire();
    for _ in 0..3 {
        acquire().record(Outcome::failure(Reason::Error));
    }
    tokio::time::advance(secs(5)).await;
    let of_a = || pool.snapshot().endpoint("a").cloned().expect("it is there");
    assert_eq!(of_a().failed_for, Some(secs(5)));
    pool.insert(Endpoint::new("a", 2)).expect("valid");
    let call = acquire();
    assert_eq!(*call, 2);
    call.record(Outcome::SUCCESS);
    late.record(Outcome::SUCCESS);
    let a = of_a();
    assert_eq!((a.failure, a.success, a.calls, a.in_flight), (3, 2, 5, 0));
    assert_eq!((a.failed_for, a.failed_in_all), (None, secs(5)));
    // But nothing is held against it.
    pool.rebalance();
    let a = of_a();
    assert_eq!((a.effective_weight, a.phase), (1.0, Phase::Up));
}

#[tokio::test(start_paused = true)]
async fn a_weight_is_changed_while_it_runs() {
    let (nodes, builder) = nodes::<2>(ms(0));
    let pool = builder.balance(Strategy::RoundRobin).build().expect("valid");
    pool.set_weight("1", 3).expect("a weight");
    calls(&pool, 400).await;
    assert!((298..=302).contains(&nodes[1].calls()), "{}", nodes[1].calls());
    let state = pool.snapshot();
    assert_eq!(
        state.endpoint("1").map(|e| (e.weight, e.effective_weight)),
        Some((3, 3.0))
    );
    for (name, weight, key) in [("1", 0, "weight"), ("1", 10_001, "weight"), ("2", 1, "name")] {
        let error = pool.set_weight(name, weight).expect_err("it makes no sense");
        assert_eq!(error.problems()[0].key(), key);
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_is_given_once_unless_it_is_to_replace() {
    let (nodes, builder) = nodes::<1>(ms(0));
    let pool = builder.build().expect("valid");
    let other = TestNode::new(7, ms(0));
    let error = pool
        .add(Endpoint::new("0", other.clone()))
        .expect_err("it is taken");
    assert_eq!(error.problems()[0].key(), "name");
    assert_eq!(call(&pool).await, Ok(0));
    pool.insert(Endpoint::new("0", other)).expect("valid");
    assert_eq!(call(&pool).await, Ok(7));
    assert_eq!(nodes[0].calls(), 1);
    assert!(pool.add(Endpoint::new("", TestNode::new(1, ms(0)))).is_err());
}

#[tokio::test(start_paused = true)]
async fn a_rebalance_weighs_by_success_and_a_tenth_is_left() {
    let pool = Pool::builder()
        .balance(Strategy::RoundRobin)
        .endpoint("half", 0)
        .endpoint("none", 1)
        .endpoint("all", 2)
        .push(Endpoint::new("idle", 3).weight(4))
        .build()
        .expect("valid");
    pool.drain("idle");
    for i in 0..400 {
        let lease = pool.try_acquire().expect("an endpoint");
        let is_good = *lease == 2 || (*lease == 0 && i % 2 == 0);
        lease.record(if is_good {
            Outcome::SUCCESS
        } else {
            Outcome::failure(Reason::Error)
        });
    }
    pool.rebalance();
    let weight = |name| pool.snapshot().endpoint(name).map(|e| e.effective_weight);
    let half = weight("half").expect("it is there");
    assert!((0.45..0.55).contains(&half), "{half}");
    assert_eq!(
        (weight("none"), weight("all"), weight("idle")),
        (Some(0.1), Some(1.0), Some(4.0))
    );
    // Nothing is held against an endpoint for longer than until the next.
    pool.rebalance();
    assert_eq!((weight("half"), weight("none")), (Some(1.0), Some(1.0)));
}

#[tokio::test(start_paused = true)]
async fn endpoints_come_from_a_stream() {
    type Changes = Result<Change<u32, TestNode>, &'static str>;
    let (sender, receiver) = tokio::sync::mpsc::unbounded_channel::<Changes>();
    let (_nodes, builder) = nodes::<1>(ms(0));
    let pool = builder.balance(Strategy::RoundRobin).build().expect("valid");
    let make = |key: &u32, node| Endpoint::new(format!("node-{key}"), node).weight(2);
    let following = tokio::spawn(pool.follow(stream(receiver), make));
    let tell = async |change| {
        sender.send(Ok(change)).expect("it is followed");
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
        pool.endpoints()
            .iter()
            .map(|name| name.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        tell(Change::Insert(5, TestNode::new(5, ms(0)))).await,
        ["0", "node-5"]
    );
    assert_eq!(
        tell(Change::Insert(6, TestNode::new(6, ms(0)))).await,
        ["0", "node-5", "node-6"]
    );
    assert_eq!(pool.snapshot().endpoint("node-6").map(|e| e.weight), Some(2));
    // The same key again: another endpoint in its place.
    assert_eq!(
        tell(Change::Insert(5, TestNode::new(50, ms(0)))).await,
        ["0", "node-5", "node-6"]
    );
    assert_eq!(tell(Change::Remove(6)).await, ["0", "node-5"]);
    assert_eq!(tell(Change::Remove(99)).await, ["0", "node-5"]);
    let mut seen = [call(&pool).await, call(&pool).await, call(&pool).await];
    seen.sort_by_key(|answer| answer.clone().ok());
    assert!(seen.contains(&Ok(50)) && seen.contains(&Ok(0)), "{seen:?}");
    // Its error ends it; the endpoints stay.
    sender.send(Err("no more")).expect("it is followed");
    assert_eq!(following.await.expect("no panic"), Err("no more"));
    assert_eq!(pool.endpoints().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_followed_no_longer_than_there_is_a_pool() {
    type Changes = Result<Change<u32, TestNode>, &'static str>;
    let (sender, receiver) = tokio::sync::mpsc::unbounded_channel::<Changes>();
    let (_nodes, builder) = nodes::<1>(ms(0));
    let pool = builder.build().expect("valid");
    let following = tokio::spawn(pool.follow(stream(receiver), |key: &u32, node| {
        Endpoint::new(key.to_string(), node)
    }));
    tokio::task::yield_now().await;
    drop(pool);
    let ended = tokio::time::timeout(secs(1), following).await;
    assert_eq!(ended.expect("it ends").expect("no panic"), Ok(()));
    assert!(sender.is_closed());
}

fn stream<T>(mut from: tokio::sync::mpsc::UnboundedReceiver<T>) -> impl futures_util::Stream<Item = T> {
    futures_util::stream::poll_fn(move |cx| from.poll_recv(cx))
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_keeps_its_own_breaker_though_the_pool_makes_them() {
    let own = breaker().build().expect("valid");
    let pool = Pool::builder()
        .breaker(breaker())
        .push(Endpoint::new("a", 1).breaker(own.clone()))
        .build()
        .expect("valid");
    assert!(pool.try_acquire().is_ok());
    own.force_open();
    assert!(pool.try_acquire().is_err());
}
