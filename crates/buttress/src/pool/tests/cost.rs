//! What a call costs.

use std::{
    future::{Ready, ready},
    task::Context,
};

use super::*;

type Steady = tower::util::ServiceFn<fn(()) -> Ready<Answer>>;

fn steady(n: usize, strategy: Strategy) -> Pool<Steady> {
    let service: Steady = tower::service_fn(|()| ready(Ok(1)));
    let endpoints = (0..n).map(|i| Endpoint::new(i.to_string(), service).weight(1 + (i % 3) as u32));
    Pool::builder()
        .balance(strategy)
        .breaker(breaker())
        .extend(endpoints)
        .build()
        .expect("valid")
}

#[test]
fn a_call_allocates_nothing_however_many_endpoints_there_are() {
    let mut cx = Context::from_waker(std::task::Waker::noop());
    for strategy in STRATEGIES {
        for n in [1, 3, 300] {
            let pool = steady(n, strategy.clone());
            let mut service = pool.service();
            let mut call = || {
                let mut future = std::pin::pin!(service.call(()));
                assert!(future.as_mut().poll(&mut cx).is_ready());
            };
            (0..2 * n).for_each(|_| call());
            let used = allocation_counter::measure(|| (0..1000).for_each(|_| call()));
            assert_eq!(used.count_total, 0, "{strategy:?}, {n} endpoints: {used:?}");
        }
    }
}

#[test]
fn an_operation_and_a_lease_allocate_nothing() {
    let mut cx = Context::from_waker(std::task::Waker::noop());
    let pool = Pool::builder()
        .endpoint("a", 1)
        .endpoint("b", 2)
        .build()
        .expect("valid");
    let mut call = || {
        let mut future = std::pin::pin!(pool.run(|n: u32| ready(Ok::<_, std::io::Error>(n))));
        assert!(future.as_mut().poll(&mut cx).is_ready());
        pool.try_acquire().expect("an endpoint").record(Outcome::SUCCESS);
    };
    call();
    let used = allocation_counter::measure(|| (0..1000).for_each(|_| call()));
    assert_eq!(used.count_total, 0, "{used:?}");
}

#[test]
fn a_refusal_allocates_nothing() {
    let mut cx = Context::from_waker(std::task::Waker::noop());
    let pool = steady(3, Strategy::P2cEwma);
    for name in ["0", "1", "2"] {
        assert!(pool.drain(name));
    }
    let mut service = pool.service();
    let mut call = || {
        let mut future = std::pin::pin!(service.call(()));
        assert!(future.as_mut().poll(&mut cx).is_ready());
    };
    call();
    let used = allocation_counter::measure(|| (0..100).for_each(|_| call()));
    assert_eq!(used.count_total, 0, "{used:?}");
}

#[test]
fn a_failover_of_a_plain_call_allocates_nothing() {
    let mut cx = Context::from_waker(std::task::Waker::noop());
    let pool = Pool::builder()
        .balance(Strategy::RoundRobin)
        .endpoint("a", 1)
        .endpoint("b", 2)
        .budget(None)
        .build()
        .expect("valid");
    let mut call = || {
        let answer = |n: u32| ready(if n == 1 { Err("down") } else { Ok(n) });
        let mut future = std::pin::pin!(pool.run(answer));
        assert!(future.as_mut().poll(&mut cx).is_ready());
    };
    call();
    let used = allocation_counter::measure(|| (0..100).for_each(|_| call()));
    assert_eq!(used.count_total, 0, "{used:?}");
    assert!(pool.snapshot().endpoint("a").is_some_and(|a| a.moved > 40));
}
