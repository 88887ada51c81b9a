//! Clients of any kind.

use super::*;

fn clients() -> Pool<&'static str> {
    Pool::builder()
        .balance(Strategy::RoundRobin)
        .breaker(breaker())
        .endpoint("a", "client a")
        .endpoint("b", "client b")
        .build()
        .expect("valid")
}

#[tokio::test(start_paused = true)]
async fn an_operation_gets_the_client_of_an_endpoint() {
    let pool = clients();
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(pool.run(async |client: &'static str| Ok::<_, &str>(client)).await);
    }
    assert_eq!(
        seen,
        [Ok("client a"), Ok("client b"), Ok("client a"), Ok("client b")]
    );
}

#[tokio::test(start_paused = true)]
async fn one_that_fails_is_done_with_another_client() {
    let pool = clients();
    let tries = AtomicUsize::new(0);
    let operation = |client: &'static str| {
        tries.fetch_add(1, SeqCst);
        async move {
            tokio::time::sleep(ms(5)).await;
            if client == "client a" {
                Err("down")
            } else {
                Ok(client)
            }
        }
    };
    for _ in 0..20 {
        assert_eq!(pool.run(operation).await, Ok("client b"));
    }
    // Until its breaker opened.
    assert_eq!(tries.load(SeqCst), 23);
    assert_eq!(
        pool.snapshot().endpoint("a").map(|e| (e.failure, e.phase)),
        Some((3, Phase::Failed))
    );
}

#[tokio::test(start_paused = true)]
async fn another_strategy_may_be_used_for_a_call() {
    let pool = Pool::builder()
        .push(Endpoint::new("light", 1))
        .push(Endpoint::new("heavy", 2).weight(9))
        .build()
        .expect("valid");
    let mut counts = [0; 2];
    for _ in 0..1000 {
        let chosen = pool
            .run_with(Strategy::WeightedRandom, async |n: usize| Ok::<_, &str>(n))
            .await;
        counts[chosen.expect("it works") - 1] += 1;
    }
    assert!((60..140).contains(&counts[0]), "{counts:?}");
}

#[tokio::test(start_paused = true)]
async fn a_judgement_of_the_users_own_decides() {
    let pool = clients();
    // An item that is not there is no fault of the client's.
    let judge = crate::Plain::classify(|result: &Result<u32, Error<&'static str>>| match result {
        Err(Error::Inner("no such item")) => Outcome::neutral(Reason::Error),
        Err(error) => Outcome::of_error(error),
        Ok(_) => Outcome::SUCCESS,
    });
    for _ in 0..20 {
        let answer = pool.run_as(judge, async |_| Err("no such item")).await;
        assert_eq!(answer, Err(Error::Inner("no such item")));
    }
    assert_eq!(pool.snapshot().usable(), 2);
    assert!(
        pool.snapshot()
            .endpoints
            .iter()
            .all(|e| e.neutral == 10 && e.moved == 0)
    );
}

#[tokio::test(start_paused = true)]
async fn rejections_inside_are_neutral() {
    let pool = clients();
    let limited = |_| {
        std::future::ready(Err::<(), Failed>(
            Rejected::new(RejectionKind::RateLimited, "r").into(),
        ))
    };
    let judge = crate::Plain::classify(|result: &Result<(), Error<Failed>>| match result {
        Err(Error::Inner(error)) => Outcome::of_error(error),
        Err(error) => Outcome::of_error(error),
        Ok(()) => Outcome::SUCCESS,
    });
    for _ in 0..20 {
        assert!(pool.run_as(judge, limited).await.is_err());
    }
    assert!(
        pool.snapshot()
            .endpoints
            .iter()
            .all(|e| e.failure == 0 && e.phase == Phase::Up)
    );
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_for_what_may_not_be_done_twice() {
    let pool = clients();
    let lease = pool.try_acquire().expect("an endpoint");
    assert_eq!((lease.endpoint(), *lease), ("a", "client a"));
    assert_eq!(pool.snapshot().endpoint("a").map(|e| e.in_flight), Some(1));
    drop(lease);
    assert_eq!(
        pool.snapshot().endpoint("a").map(|e| (e.in_flight, e.cancelled)),
        Some((0, 1))
    );
    for _ in 0..6 {
        pool.try_acquire()
            .expect("an endpoint")
            .record(Outcome::failure(Reason::Error));
    }
    assert_eq!(
        kind(&pool.try_acquire().map(|_| 0).map_err(Error::from)),
        Some(RejectionKind::NoEndpoint)
    );
}

#[test]
fn a_pool_is_send_and_sync_if_its_clients_are() {
    fn both<T: Send + Sync>() {}
    both::<Pool<u32>>();
    both::<PoolService<u32>>();
    fn sent<T: Send>(_: &T) {}
    let pool = clients();
    sent(&pool.run(async |client: &'static str| Ok::<_, &str>(client)));
}
