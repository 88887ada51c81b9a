//! Options, their validation, and files.

use super::*;
use crate::{budget::Budget, config, value::Value};

#[test]
fn nonsense_is_refused_all_at_once() {
    let error = Pool::builder()
        .failover(65)
        .max_body(2 << 30)
        .slow_start(secs(90_000))
        .max_retry_after(secs(90_000))
        .budget(Budget::new(2.0, 10))
        .push(Endpoint::new("a", 1).weight(0))
        .endpoint("b", 1)
        .endpoint("b", 2)
        .health_check(
            HealthCheck::new()
                .interval(secs(0))
                .timeout(secs(0))
                .failure_threshold(0)
                .recovery_threshold(0)
                .rebalance_interval(secs(0)),
            async |_| true,
        )
        .build()
        .expect_err("all wrong");
    let keys: Vec<_> = error.problems().iter().map(config::Problem::key).collect();
    assert_eq!(
        keys,
        [
            "failover",
            "budget.ratio",
            "max_body",
            "slow_start",
            "max_retry_after",
            "health_check.interval",
            "health_check.timeout",
            "health_check.rebalance_interval",
            "health_check.failure_threshold",
            "health_check.recovery_threshold",
            "endpoints.a.weight",
            "endpoints.b.name",
        ]
    );
    let breaker = breaker().success_threshold(0);
    let error = Pool::builder()
        .breaker(breaker)
        .endpoint("a", 1)
        .build()
        .expect_err("no breaker");
    assert_eq!(error.problems()[0].key(), "endpoints.a.success_threshold");
}

#[tokio::test(start_paused = true)]
async fn options_change_while_it_runs() {
    let (nodes, builder) = nodes::<2>(ms(0));
    let pool = builder
        .name("upstream")
        .balance(Strategy::RoundRobin)
        .failover(1)
        .build()
        .expect("valid");
    nodes[0].fails();
    for _ in 0..4 {
        assert!(call(&pool).await.is_ok());
    }
    let changed = pool.options().failover(0).name("another");
    pool.reconfigure(changed).expect("valid");
    assert_eq!(&*pool.name(), "upstream");
    assert!(call(&pool).await.is_err() != call(&pool).await.is_err());
    assert!(pool.reconfigure(pool.options().failover(100)).is_err());
    assert_eq!(pool.options().failover, 0);
    assert_eq!(pool.snapshot().balance, "round_robin");
    pool.reconfigure(pool.options().balance(Strategy::Score))
        .expect("valid");
    assert_eq!(pool.snapshot().balance, "score");
}

#[cfg(feature = "serde")]
fn table(toml: &str) -> crate::value::Table {
    toml::from_str(toml).expect("valid TOML")
}

#[cfg(feature = "serde")]
#[test]
fn a_file_says_it_all() {
    let table = table(
        r#"
        [upstream]
        endpoints = [
          { name = "a", url = "127.0.0.1:9001", weight = 1 },
          { name = "b", url = "127.0.0.1:9002", weight = 2 },
        ]
        balance = "least_requests"
        failover = 1
        panic_mode = true
        slow_start = "5s"
        max_retry_after = "2m"
        max_body = "1MiB"
        budget = { min_per_second = 7 }
        [health_check]
        path = "/healthz"
        interval = "20s"
        timeout = "2s"
        failure_threshold = 5
        recovery_threshold = 4
        slow_start = "30s"
        rebalance_interval = "off"
        "#,
    );
    let (options, endpoints, health) = config::read(&table, |root| {
        let upstream = root.section("upstream").map(|mut section| {
            let parse = |url: &str| url.parse::<std::net::SocketAddr>();
            let options = PoolOptions::read(&mut section);
            (
                options,
                Endpoint::read_list(&mut section, "an address and a port", parse),
            )
        });
        let (options, endpoints) = upstream.expect("it is there");
        let health = root
            .section("health_check")
            .and_then(|mut section| HealthConfig::read(&mut section));
        (options, endpoints, health.expect("it is there"))
    })
    .expect("valid");
    let due = PoolOptions::default()
        .balance(Strategy::LeastRequests)
        .failover(1)
        .panic_mode(true)
        .slow_start(secs(5))
        .max_retry_after(secs(120))
        .max_body(1 << 20)
        .budget(Budget::new(1.0, 7));
    assert_eq!(options, due);
    let read: Vec<_> = endpoints
        .iter()
        .map(|e| (&*e.name, e.target.port(), e.weight))
        .collect();
    assert_eq!(read, [("a", 9001, 1), ("b", 9002, 2)]);
    assert_eq!(health.probe, Probe::Path("/healthz".to_owned()));
    assert_eq!(health.slow_start, Some(secs(30)));
    let due = HealthCheck::new()
        .interval(secs(20))
        .timeout(secs(2))
        .failure_threshold(5)
        .recovery_threshold(4)
        .rebalance_interval(None);
    assert_eq!(health.options, due);
}

#[cfg(feature = "serde")]
#[test]
fn what_a_file_gets_wrong_is_named() {
    let table = table(
        r#"
        endpoints = [{ name = "a", url = "nowhere" }, { url = "127.0.0.1:1", weigth = 2 }]
        balance = "p2c"
        [health_check]
        path = "healthz"
        interval = 10
        [both]
        path = "/healthz"
        grpc = "a.B"
        [neither]
        "#,
    );
    let error = config::read(&table, |root| {
        let parse = |url: &str| url.parse::<std::net::SocketAddr>();
        let _ = PoolOptions::read(root);
        Endpoint::read_list(root, "an address and a port", parse);
        for name in ["health_check", "both", "neither"] {
            let section = root.section(name);
            assert_eq!(
                section.and_then(|mut section| HealthConfig::read(&mut section)),
                None,
                "{name}"
            );
        }
    })
    .expect_err("all wrong");
    let mut keys: Vec<_> = error.problems().iter().map(config::Problem::key).collect();
    keys.sort_unstable();
    assert_eq!(
        keys,
        [
            "balance",
            "both.grpc",
            "endpoints[0].url",
            "endpoints[1].name",
            "endpoints[1].weigth",
            "health_check.interval",
            "health_check.path",
            "neither.path",
        ]
    );
}

#[test]
fn each_strategy_has_the_name_that_a_file_gives_it() {
    for strategy in STRATEGIES {
        let table = crate::value::Table::new().with("balance", Value::from(strategy.name()));
        let read = config::read(&table, PoolOptions::read).expect("it is known");
        assert_eq!(read.strategy, strategy);
    }
    assert_ne!(Strategy::Random, Strategy::WeightedRandom);
}
