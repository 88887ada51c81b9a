//! What is told, to whom, and how often.

use super::*;
use crate::{
    circuit_breaker::{Cause, State, Transition},
    export::{Export, Point},
    registry::{Drill, Event, Registry, Subscription},
};

/// What changed for breakers, as a registry tells it.
fn transitions(heard: &mut Subscription) -> Vec<(String, State, State, Cause)> {
    let change = |event: Event| {
        let change = event.detail::<Transition>()?;
        assert_eq!(event.concern, "circuit_breaker");
        Some((event.policy.to_string(), change.from, change.to, change.cause))
    };
    let events = std::iter::from_fn(|| heard.try_next()).map(|event| event.expect("not lagging"));
    events.filter_map(change).collect()
}

#[tokio::test(start_paused = true)]
async fn a_registry_hears_the_breakers_of_endpoints_old_and_new() {
    let pool = Pool::builder().name("shop").breaker(breaker()).endpoint("a", 1);
    let pool = pool.build().expect("valid");
    let registry = Registry::new();
    registry.register("upstream", &pool);
    let mut heard = registry.subscribe();
    pool.add(Endpoint::new("b", 2)).expect("a new name");
    let failure = Outcome::failure(Reason::Error);
    for endpoint in ["a", "b"] {
        let three = Drill::Record {
            outcome: failure,
            times: 3,
        };
        pool.drill(endpoint, &three).expect("it has a breaker");
    }
    let cause = Cause::ConsecutiveFailures {
        failures: 3,
        last: Reason::Error,
        open_for: secs(10),
    };
    let opened = |name: &str| (name.to_owned(), State::Closed, State::Open, cause);
    assert_eq!(
        transitions(&mut heard),
        [opened("upstream:a"), opened("upstream:b")]
    );
    // One that is gone is not the pool's any more, though a call is still on its way to it.
    let own = breaker().build().expect("valid");
    pool.add(Endpoint::new("c", 3).breaker(own.clone()))
        .expect("a new name");
    let call = pool.try_acquire().expect("the last that is up");
    pool.remove("c");
    own.force_open();
    assert_eq!(transitions(&mut heard), []);
    drop(call);
}

#[tokio::test(start_paused = true)]
async fn endpoints_of_two_pools_of_one_name_are_apart() {
    let pool = || {
        let pool = Pool::builder().name("db").breaker(breaker()).endpoint("a", 1);
        pool.build().expect("valid")
    };
    let (one, other) = (pool(), pool());
    let registry = Registry::new();
    let names = [&one, &other].map(|pool| registry.register("db", pool).to_string());
    assert_eq!(names, ["db", "db#2"]);
    let names = registry.names();
    let names: Vec<_> = names.iter().map(|name| &**name).collect();
    assert_eq!(names, ["db", "db:a", "db#2", "db#2:a"]);
    let mut heard = registry.subscribe();
    other.drill("a", &Drill::ForceOpen).expect("it has a breaker");
    let heard = transitions(&mut heard);
    assert_eq!(
        heard.iter().map(|event| &*event.0).collect::<Vec<_>>(),
        ["db#2:a"]
    );

    let state = registry.snapshot();
    let reading = Export::of(&registry).read();
    for (name, json, label) in [
        ("db:a", "CLOSED", "closed"),
        ("db#2:a", "FORCED_OPEN", "forced_open"),
    ] {
        let shown = state.at(&[name, "circuitBreaker", "state"]);
        assert_eq!(shown.and_then(|state| state.as_str()), Some(json), "{name}");
        let mut metrics = reading.metrics().iter();
        let states = metrics.find(|metric| &*metric.name == "buttress_circuit_breaker_state");
        let mut series = states.expect("it is exported").series.iter();
        let one = series.find(|series| {
            let labels: Vec<_> = series.labels.iter().map(|(_, value)| &**value).collect();
            labels == [name, label]
        });
        assert_eq!(
            one.map(|series| &series.point),
            Some(&Point::Gauge(1.0)),
            "{name}"
        );
    }

    registry.drill("db#2:a", &Drill::Close).expect("a breaker");
    registry.drill("db:a", &Drill::ForceOpen).expect("a breaker");
    assert_eq!((one.snapshot().usable(), other.snapshot().usable()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_told_from_its_beginning_to_its_end() {
    let (nodes, builder) = nodes::<3>(ms(10));
    let pool = builder
        .name("upstream")
        .balance(Strategy::RoundRobin)
        .breaker(breaker())
        .build()
        .expect("valid");
    let log = Log::of(&pool);
    calls(&pool, 30).await;
    assert_eq!(log.take(), [""; 0]);
    nodes[1].fails();
    calls(&pool, 30).await;
    assert_eq!(
        log.take(),
        [
            "node_marked_failed 1",
            "failover_started 1",
            "failover_completed 1"
        ]
    );
    // A trial that fails, and one that does not.
    tokio::time::sleep(secs(10)).await;
    calls(&pool, 30).await;
    assert_eq!(log.take(), ["recovery_started 1", "recovery_failed 1"]);
    nodes[1].works();
    tokio::time::sleep(secs(10)).await;
    calls(&pool, 50).await;
    assert_eq!(log.take(), ["recovery_started 1", "recovery_completed 1"]);
    let state = pool.snapshot();
    let node = state.endpoint("1").expect("it is there");
    assert_eq!((state.failovers, state.recoveries), (1, 1));
    assert_eq!((node.failovers, node.recoveries, node.failed_for), (1, 1, None));
    assert!(node.failed_in_all >= secs(20), "{node:?}");
    assert_eq!(
        state.endpoint("0").map(|e| (e.failovers, e.recoveries)),
        Some((0, 0))
    );
}

#[tokio::test(start_paused = true)]
async fn alerts_are_as_urgent_as_they_should_be() {
    let (nodes, builder) = nodes::<2>(ms(10));
    let pool = builder
        .name("upstream")
        .balance(Strategy::RoundRobin)
        .breaker(breaker())
        .build()
        .expect("valid");
    let heard: Arc<Mutex<Vec<(Severity, Severity, String)>>> = Arc::default();
    for least in [Severity::Info, Severity::Warning, Severity::Critical] {
        let heard = heard.clone();
        pool.on_alert(least, move |alert| {
            let line = (least, alert.severity, alert.event.as_str().to_owned());
            assert_eq!(&*alert.pool, "upstream");
            heard.lock().expect("no panic").push(line);
        });
    }
    let heard_by = |least| {
        let heard = heard.lock().expect("no panic");
        let lines = heard.iter().filter(|line| line.0 == least);
        lines
            .map(|(_, severity, event)| format!("{severity} {event}"))
            .collect::<Vec<_>>()
    };
    nodes[0].fails();
    calls(&pool, 20).await;
    nodes[1].fails();
    calls(&pool, 20).await;
    nodes[0].works();
    tokio::time::sleep(secs(10)).await;
    calls(&pool, 40).await;
    assert_eq!(heard_by(Severity::Critical), ["critical exhausted"]);
    let warnings = heard_by(Severity::Warning);
    assert_eq!(
        warnings[..3],
        [
            "warning node_marked_failed",
            "warning node_marked_failed",
            "critical exhausted"
        ]
    );
    let all = heard_by(Severity::Info);
    assert!(all.contains(&"info failover_completed".to_owned()), "{all:?}");
    assert!(all.contains(&"info recovery_completed".to_owned()), "{all:?}");
    let shown = Alert {
        severity: Severity::Critical,
        pool: "upstream".into(),
        event: PoolEvent::Exhausted,
    };
    assert_eq!(
        shown.to_string(),
        "critical: pool `upstream`: no endpoint is left"
    );
}

#[tokio::test(start_paused = true)]
async fn a_listener_may_steer_the_pool() {
    let (nodes, builder) = nodes::<3>(ms(10));
    let pool = builder
        .breaker(breaker())
        .balance(Strategy::RoundRobin)
        .build()
        .expect("valid");
    let handle = pool.clone();
    pool.listen(move |event| {
        if let Some(PoolEvent::NodeMarkedFailed { node, .. }) = event.detail() {
            assert!(handle.snapshot().usable() == 2);
            assert!(handle.remove(node));
        }
    });
    nodes[1].fails();
    calls(&pool, 20).await;
    assert_eq!(pool.endpoints().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn drills_are_per_endpoint_by_hand_and_by_name() {
    let (_nodes, builder) = nodes::<2>(ms(10));
    let pool = builder
        .name("upstream")
        .breaker(breaker())
        .build()
        .expect("valid");
    let registry = Registry::new();
    registry.register("upstream", &pool);
    let phase = |name: &str| pool.snapshot().endpoint(name).map(|e| e.phase);
    pool.drill("0", &Drill::ForceOpen).expect("it has a breaker");
    assert_eq!((phase("0"), phase("1")), (Some(Phase::Failed), Some(Phase::Up)));
    // Through the registry, by the name that its breaker has there.
    let failure = Outcome::failure(Reason::Error);
    let three = Drill::Record {
        outcome: failure,
        times: 3,
    };
    registry.drill("upstream:1", &three).expect("it has a breaker");
    assert_eq!(phase("1"), Some(Phase::Failed));
    assert_eq!(kind(&call(&pool).await), Some(RejectionKind::NoEndpoint));
    let state = registry.snapshot();
    let breaker = |name: &str| {
        state
            .at(&[name, "circuitBreaker", "state"])
            .and_then(|s| s.as_str())
            .map(str::to_owned)
    };
    assert_eq!(breaker("upstream:0").as_deref(), Some("FORCED_OPEN"));
    assert_eq!(breaker("upstream:1").as_deref(), Some("OPEN"));
    let of_the_pool = |key: &str| {
        state
            .at(&["upstream", "pool", "endpoints", "1", key])
            .map(ToString::to_string)
    };
    assert_eq!(of_the_pool("state").as_deref(), Some("\"FAILED\""));
    assert_eq!(
        state
            .at(&["upstream", "pool", "failovers"])
            .and_then(|n| n.as_u64()),
        Some(1)
    );
    // One, then all.
    pool.drill("0", &Drill::Reset).expect("it can be reset");
    assert_eq!((phase("0"), phase("1")), (Some(Phase::Up), Some(Phase::Failed)));
    registry
        .drill("upstream", &Drill::Reset)
        .expect("all can be reset");
    assert_eq!((phase("0"), phase("1")), (Some(Phase::Up), Some(Phase::Up)));
    assert!(call(&pool).await.is_ok());
    assert!(pool.drill("2", &Drill::Reset).is_err());
    // Without a breaker there is little to drill.
    let bare = Pool::builder().endpoint("a", 1).build().expect("valid");
    assert!(bare.drill("a", &Drill::ForceOpen).is_err() && bare.drill("a", &Drill::Reset).is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_breaker_may_outlive_its_pool_and_be_the_users_own() {
    let own = breaker().name("mine").build().expect("valid");
    let pool = Pool::builder()
        .name("upstream")
        .push(Endpoint::new("a", 1).breaker(own.clone()))
        .build()
        .expect("valid");
    let log = Log::of(&pool);
    own.force_open();
    assert_eq!(log.take(), ["node_marked_failed a", "exhausted"]);
    assert!(pool.try_acquire().is_err());
    own.close();
    assert_eq!(pool.try_acquire().map(|lease| *lease), Ok(1));
    assert_eq!(&*own.name(), "mine");
    drop(pool);
    own.force_open();
    own.close();
}

#[tokio::test(start_paused = true)]
async fn a_failover_ends_with_the_endpoint() {
    let (nodes, builder) = nodes::<3>(ms(10));
    let pool = builder
        .breaker(breaker())
        .balance(Strategy::RoundRobin)
        .build()
        .expect("valid");
    let log = Log::of(&pool);
    pool.drill("0", &Drill::ForceOpen).expect("it has a breaker");
    pool.remove("0");
    calls(&pool, 5).await;
    assert_eq!(
        log.take(),
        ["node_marked_failed 0", "failover_started 0", "node_removed 0"]
    );
    drop(nodes);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_told_of_an_endpoint_that_is_gone() {
    let (nodes, builder) = nodes::<2>(ms(100));
    let pool = builder
        .breaker(breaker().consecutive_failures(1))
        .balance(Strategy::RoundRobin)
        .failover(0)
        .build()
        .expect("valid");
    nodes[0].fails();
    let running = tokio::spawn(pool.service().oneshot(()));
    tokio::time::sleep(ms(50)).await;
    let log = Log::of(&pool);
    pool.remove("0");
    assert!(running.await.expect("no panic").is_err());
    assert_eq!(log.take(), ["node_removed 0"]);
}
