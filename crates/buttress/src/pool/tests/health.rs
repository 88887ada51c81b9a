//! Checks of health, and what follows from them.

use super::*;
use crate::registry::Drill;

fn checks() -> HealthCheck {
    HealthCheck::default()
}

fn checked<const N: usize>(options: HealthCheck) -> ([TestNode; N], Pool<TestNode>) {
    let (nodes, builder) = nodes::<N>(ms(1));
    let builder = builder
        .balance(Strategy::RoundRobin)
        .breaker(breaker().open_for(secs(600)));
    let pool = builder
        .health_check(options, TestNode::check)
        .build()
        .expect("valid");
    (nodes, pool)
}

fn phase(pool: &Pool<TestNode>, name: &str) -> Phase {
    pool.snapshot().endpoint(name).expect("it is there").phase
}

/// How long until that is so, looked at ten times a second.
async fn until(is_so: impl Fn() -> bool) -> Duration {
    let began = clock::now();
    while !is_so() {
        assert!(clock::now() - began < secs(3600), "never");
        tokio::time::sleep(ms(100)).await;
    }
    clock::now() - began
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_fails_its_checks_gets_no_calls_until_it_passes_them() {
    let (nodes, pool) = checked::<2>(checks());
    let log = Log::of(&pool);
    tokio::time::sleep(secs(60)).await;
    assert!((5..=8).contains(&nodes[0].checks()), "{}", nodes[0].checks());
    nodes[0].set_well(false);
    let marked = until(|| phase(&pool, "0") == Phase::Failed).await;
    assert!(marked <= secs(13), "{marked:?}");
    calls(&pool, 10).await;
    assert_eq!((nodes[0].calls(), nodes[1].calls()), (0, 10));
    assert_eq!(
        log.take(),
        [
            "node_marked_failed 0",
            "failover_started 0",
            "failover_completed 0"
        ]
    );
    nodes[0].set_well(true);
    let back = until(|| phase(&pool, "0") == Phase::Up).await;
    assert!(back <= secs(10), "within one interval: {back:?}");
    assert_eq!(log.take(), ["recovery_started 0", "recovery_completed 0"]);
    tokio::time::sleep(secs(60)).await;
    nodes.iter().for_each(TestNode::forget_calls);
    calls(&pool, 10).await;
    assert_eq!((nodes[0].calls(), nodes[1].calls()), (5, 5));
}

#[tokio::test(start_paused = true)]
async fn thresholds_count_checks_in_a_row() {
    let (nodes, builder) = nodes::<1>(ms(1));
    // Two of three, over and over, are none in a row.
    let check = |node: TestNode| async move { node.clone().check().await || node.checks() % 3 == 0 };
    nodes[0].set_well(false);
    let options = checks()
        .interval(secs(1))
        .failure_threshold(3)
        .recovery_threshold(2);
    let pool = builder.health_check(options, check).build().expect("valid");
    for _ in 0..1000 {
        tokio::time::sleep(ms(50)).await;
        assert_eq!(phase(&pool, "0"), Phase::Up);
    }
    assert!(nodes[0].checks() > 100);
    // Nor is one of three what brings it back.
    let (nodes, builder) = super::nodes::<1>(ms(1));
    let check = |node: TestNode| async move { node.clone().check().await && node.checks() % 3 == 0 };
    let options = checks()
        .interval(secs(1))
        .failure_threshold(2)
        .recovery_threshold(2);
    let pool = builder.health_check(options, check).build().expect("valid");
    until(|| phase(&pool, "0") == Phase::Failed).await;
    for _ in 0..1000 {
        tokio::time::sleep(ms(50)).await;
        assert_ne!(phase(&pool, "0"), Phase::Up);
    }
    assert!(nodes[0].checks() > 100);
}

#[tokio::test(start_paused = true)]
async fn a_check_that_hangs_or_panics_is_failed() {
    for panics in [false, true] {
        let pool = Pool::builder()
            .endpoint("a", 1)
            .health_check(checks().timeout(ms(100)), move |_: u32| async move {
                if panics {
                    panic!("a bug in a check");
                }
                std::future::pending().await
            })
            .build()
            .expect("valid");
        tokio::time::sleep(secs(10)).await;
        assert!(!pool.snapshot().endpoints[0].healthy, "{panics}");
        assert!(pool.try_acquire().is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn one_slow_check_holds_up_no_other() {
    let (nodes, builder) = nodes::<2>(ms(1));
    let check = |node: TestNode| async move {
        if node.0.number == 0 {
            tokio::time::sleep(secs(50)).await;
        }
        node.check().await
    };
    let pool = builder
        .health_check(checks().interval(secs(1)).timeout(secs(60)), check)
        .build()
        .expect("valid");
    tokio::time::sleep(secs(30)).await;
    assert!(nodes[1].checks() >= 29, "{}", nodes[1].checks());
    drop(pool);
}

/// Ten minutes is how long the breaker would stay open.
#[tokio::test(start_paused = true)]
async fn all_killed_and_one_brought_back_serves_within_one_interval() {
    for outage in [secs(1), secs(5), secs(60)] {
        let (nodes, pool) = checked::<3>(checks());
        tokio::time::sleep(secs(33)).await;
        for node in &nodes {
            node.fails().set_well(false);
        }
        calls(&pool, 10).await;
        let began = clock::now();
        assert_eq!(kind(&call(&pool).await), Some(RejectionKind::NoEndpoint));
        assert_eq!(clock::now(), began);
        tokio::time::sleep(outage).await;
        nodes[1].works().set_well(true);
        let began = clock::now();
        while call(&pool).await.is_err() {
            tokio::time::sleep(ms(50)).await;
        }
        let took = clock::now() - began;
        assert!(took <= secs(10), "after {outage:?}: {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_checks_it_serves_again_once_the_open_time_is_over() {
    let (nodes, builder) = nodes::<3>(ms(1));
    let pool = builder.breaker(breaker()).build().expect("valid");
    for node in &nodes {
        node.fails();
    }
    calls(&pool, 10).await;
    nodes[2].works();
    let began = clock::now();
    while call(&pool).await.is_err() {
        tokio::time::sleep(ms(50)).await;
    }
    let took = clock::now() - began;
    assert!(took <= secs(10) + ms(100), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn checks_that_pass_close_no_breaker_by_themselves() {
    let (nodes, pool) = checked::<2>(checks());
    // Its checks are shallow: they pass, and calls fail.
    nodes[0].fails();
    calls(&pool, 10).await;
    nodes[0].forget_calls();
    for _ in 0..600 {
        assert!(call(&pool).await.is_ok());
        tokio::time::sleep(ms(100)).await;
    }
    // A probe for each time that its checks pass, and no more.
    assert!((5..=20).contains(&nodes[0].calls()), "{}", nodes[0].calls());
    assert_eq!(pool.snapshot().recoveries, 0);
}

#[tokio::test(start_paused = true)]
async fn what_an_operator_has_shut_no_check_opens() {
    let (nodes, pool) = checked::<2>(checks());
    pool.drill("0", &Drill::ForceOpen).expect("it has a breaker");
    tokio::time::sleep(secs(300)).await;
    calls(&pool, 10).await;
    assert_eq!(nodes[0].calls(), 0);
    assert_eq!(phase(&pool, "0"), Phase::Failed);
}

#[tokio::test(start_paused = true)]
async fn checks_end_with_the_endpoint_and_with_the_pool() {
    let (nodes, pool) = checked::<3>(checks());
    tokio::time::sleep(secs(20)).await;
    pool.remove("0");
    let later = TestNode::new(9, ms(1));
    pool.add(Endpoint::new("9", later.clone())).expect("valid");
    let before = nodes[0].checks();
    tokio::time::sleep(secs(60)).await;
    assert_eq!(nodes[0].checks(), before);
    assert!(later.checks() >= 5, "one that is added later is checked too");
    assert_eq!(Arc::strong_count(&nodes[0].0), 1);
    drop(pool);
    tokio::task::yield_now().await;
    for node in [&nodes[1], &nodes[2], &later] {
        let before = node.checks();
        tokio::time::sleep(secs(60)).await;
        assert_eq!(node.checks(), before);
    }
    assert_eq!(
        Arc::strong_count(&nodes[1].0),
        1,
        "the task is gone, and what it had"
    );
}

#[tokio::test(start_paused = true)]
async fn a_check_that_is_going_on_does_not_keep_the_pool() {
    let (nodes, builder) = nodes::<1>(ms(1));
    let check = |node: TestNode| async move {
        node.clone().check().await;
        std::future::pending().await
    };
    let pool = builder
        .health_check(checks().timeout(secs(3600)), check)
        .build()
        .expect("valid");
    until(|| nodes[0].checks() == 1).await;
    drop(pool);
    tokio::task::yield_now().await;
    assert_eq!(Arc::strong_count(&nodes[0].0), 1);
}

#[test]
fn a_pool_that_is_built_outside_of_a_runtime_is_checked_from_its_first_use() {
    let (nodes, pool) = checked::<2>(checks());
    let runtime = crate::test_services::paused();
    runtime.block_on(async {
        tokio::time::sleep(secs(60)).await;
        assert_eq!(nodes[0].checks(), 0);
        assert!(call(&pool).await.is_ok());
        tokio::time::sleep(secs(60)).await;
        assert!(nodes[0].checks() >= 5 && nodes[1].checks() >= 5);
    });
}

#[tokio::test(start_paused = true)]
async fn weights_are_set_anew_from_time_to_time_and_at_once_on_recovery() {
    let (nodes, pool) = checked::<2>(checks().rebalance_interval(secs(60)));
    let weight = |name: &str| {
        pool.snapshot()
            .endpoint(name)
            .expect("it is there")
            .effective_weight
    };
    // It fails every other call, which opens no breaker that counts failures in a row.
    let feed = async |seconds: u64| {
        for i in 0..seconds * 10 {
            if i % 2 == 0 {
                nodes[0].fails()
            } else {
                nodes[0].works()
            };
            let lease = pool.try_acquire_with(&Strategy::Random).expect("an endpoint");
            let is_bad = lease.endpoint() == "0" && i % 2 == 0;
            lease.record(if is_bad {
                Outcome::neutral(Reason::Error)
            } else {
                Outcome::SUCCESS
            });
            tokio::time::sleep(ms(100)).await;
        }
    };
    feed(61 + 12).await;
    assert_eq!((weight("0"), weight("1")), (1.0, 1.0));
    for _ in 0..400 {
        let lease = pool.try_acquire().expect("an endpoint");
        let name = lease.endpoint().to_owned();
        let fails = name == "0"
            && pool
                .snapshot()
                .endpoint("0")
                .is_some_and(|e| e.failure < e.success);
        lease.record(if fails {
            Outcome::failure(Reason::Error)
        } else {
            Outcome::SUCCESS
        });
    }
    tokio::time::sleep(secs(75)).await;
    let lowered = weight("0");
    assert!((0.1..0.9).contains(&lowered), "{lowered}");
    assert_eq!(weight("1"), 1.0);
    // An endpoint recovers, and nobody waits for the next time.
    pool.drill("1", &Drill::ForceOpen).expect("it has a breaker");
    pool.drill("1", &Drill::Reset).expect("it has a breaker");
    tokio::time::sleep(ms(1)).await;
    assert_eq!(weight("0"), 1.0);
}

#[cfg(feature = "http")]
mod on_the_wire {
    use bytes::Bytes;
    use http::{Request, Response, StatusCode};
    use http_body_util::{BodyExt, Full};
    use tower::service_fn;

    use crate::pool::health::{Check, GrpcCheck, HttpCheck};

    #[tokio::test]
    async fn http_asks_for_a_2xx() {
        for (status, is_well) in [(200, true), (204, true), (301, false), (404, false), (503, false)] {
            let service = service_fn(move |request: Request<Full<Bytes>>| async move {
                assert_eq!(
                    (request.method().as_str(), request.uri().path()),
                    ("GET", "/healthz")
                );
                let mut response = Response::new(());
                *response.status_mut() = StatusCode::from_u16(status).expect("a status");
                Ok::<_, std::io::Error>(response)
            });
            let check = HttpCheck::path("/healthz").expect("a path");
            assert_eq!(check.check(service).await, is_well, "{status}");
        }
        let broken = service_fn(async |_: Request<Full<Bytes>>| Err::<Response<()>, _>("no connection"));
        assert!(!HttpCheck::path("/").expect("a path").check(broken).await);
    }

    #[tokio::test]
    async fn grpc_asks_for_serving() {
        let frame = |message: &[u8]| [&[0, 0, 0, 0, message.len() as u8], message].concat();
        for (answer, is_well) in [
            (frame(&[0x08, 1]), true),
            (frame(&[0x08, 2]), false),
            (frame(&[0x08, 3]), false),
            (frame(&[]), false),
            (vec![], false),
            (frame(&[0x08, 1])[..6].to_vec(), false),
        ] {
            let shown = answer.clone();
            let service = service_fn(move |request: Request<Full<Bytes>>| {
                let answer = answer.clone();
                async move {
                    assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
                    assert_eq!(request.headers()["content-type"], "application/grpc");
                    let asked = request.into_body().collect().await.expect("a body").to_bytes();
                    assert_eq!(&asked[..], b"\0\0\0\0\x05\x0a\x03a.B");
                    Ok::<_, std::io::Error>(Response::new(Full::<Bytes>::from(answer)))
                }
            });
            let check = GrpcCheck::new("a.B", Full::<Bytes>::new);
            assert_eq!(check.check(service).await, is_well, "{shown:?}");
        }
    }
}
