//! Breakers by key.
#![cfg(all(feature = "circuit-breaker", feature = "keyed"))]

use std::time::Duration;

use buttress::{
    Error, ErrorLayer, Outcome, Plain, Registry,
    circuit_breaker::{CircuitBreaker, CircuitBreakerBuilder, KeyedCircuitBreaker, State, Transition},
    outcome::Reason,
    registry::{Created, Drill},
};
use tokio::time::advance;
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};

const FAILURE: Outcome = Outcome::failure(Reason::Error);

fn one_failure() -> CircuitBreakerBuilder {
    CircuitBreaker::builder().consecutive_failures(1).open_jitter(0.0)
}

fn breakers(max_keys: usize) -> KeyedCircuitBreaker {
    KeyedCircuitBreaker::builder("http")
        .policy(one_failure())
        .max_keys(max_keys)
        .idle(Duration::from_secs(600))
        .build()
        .expect("valid")
}

#[tokio::test]
async fn keys_are_apart_and_each_has_its_policy() {
    let breakers = KeyedCircuitBreaker::builder("grpc")
        .policy(one_failure())
        .policy_for("patient", CircuitBreaker::builder().consecutive_failures(2))
        .build()
        .expect("valid");
    for key in ["hasty", "patient"] {
        let result: Result<(), Error<&str>> = breakers.call(key, async { Err("down") }).await;
        assert_eq!(result, Err(Error::Inner("down")));
    }
    assert_eq!(breakers.state("hasty"), Some(State::Open));
    assert_eq!(breakers.state("patient"), Some(State::Closed));
    assert_eq!(
        breakers.state("never"),
        None,
        "asking for the state makes nothing"
    );
    assert_eq!(breakers.len(), 2);

    let error = breakers
        .call("hasty", async { Ok::<_, &str>(()) })
        .await
        .expect_err("open");
    assert_eq!(error.rejected().map(|r| r.policy()), Some("grpc:hasty"));
    assert!(breakers.reset("hasty") && !breakers.reset("never"));
    assert_eq!(breakers.state("hasty"), Some(State::Closed));
}

#[tokio::test]
async fn one_breaker_a_key_for_all_who_ask() {
    let breakers = breakers(10);
    breakers.clone().get("a").record(FAILURE);
    assert_eq!(breakers.get("a").state(), State::Open);
    breakers.reset_all();
    assert_eq!(breakers.get("a").state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_full_map_sends_new_keys_to_one_breaker_and_refuses_none() {
    let breakers = breakers(2);
    let [a, b, c, d] = ["a", "b", "c", "d"].map(|key| breakers.get(key).name());
    assert_eq!([&*a, &*b, &*c, &*d], ["http:a", "http:b", "http:*", "http:*"]);
    assert_eq!((breakers.len(), breakers.overflowed()), (2, 2));
    assert!(breakers.get("e").try_acquire().is_ok());
    // A key that is longer than any name has to be never gets a place.
    assert_eq!(&*breakers.get(&"x".repeat(300)).name(), "http:*");
}

#[tokio::test(start_paused = true)]
async fn idle_keys_leave_but_not_an_open_breaker_before_its_time_nor_one_set_by_hand() {
    let breakers = KeyedCircuitBreaker::builder("http")
        .policy(
            one_failure()
                .open_for(Duration::from_secs(3600))
                .max_open_for(Duration::from_secs(3600)),
        )
        .max_keys(4)
        .idle(Duration::from_secs(60))
        .build()
        .expect("valid");
    let _ = breakers.get("idle");
    breakers.get("open").record(FAILURE);
    breakers.get("forced").force_open();
    let held = breakers.get("held");
    for _ in 0..3 {
        advance(Duration::from_secs(61)).await;
        let _ = breakers.get("newcomer");
    }
    assert_eq!(breakers.state("idle"), None);
    assert_eq!(breakers.state("open"), Some(State::Open));
    assert_eq!(breakers.state("forced"), Some(State::ForcedOpen));
    assert_eq!(
        breakers.state("held"),
        Some(held.state()),
        "somebody still holds it"
    );
    assert_eq!(&*breakers.get("newcomer").name(), "http:newcomer");
}

#[tokio::test]
async fn a_registry_shows_drills_and_hears_each_key() {
    let registry = Registry::new();
    let breakers = breakers(10);
    registry.register("upstreams", &breakers);
    let mut events = registry.subscribe();
    breakers.get("payment-api").record(FAILURE);

    let state = registry.snapshot();
    assert_eq!(
        state
            .at(&["upstreams:payment-api", "circuitBreaker", "state"])
            .and_then(|s| s.as_str()),
        Some("OPEN")
    );
    assert_eq!(
        state
            .at(&["upstreams", "keyedCircuitBreaker", "keys"])
            .and_then(|n| n.as_u64()),
        Some(1)
    );
    registry
        .drill("upstreams:payment-api", &Drill::Reset)
        .expect("a breaker");
    assert_eq!(breakers.state("payment-api"), Some(State::Closed));

    let first = events.try_next().expect("created").expect("not lagged");
    assert!(first.detail::<Created>().is_some() && &*first.policy == "upstreams:payment-api");
    let second = events.try_next().expect("opened").expect("not lagged");
    assert_eq!(second.detail::<Transition>().map(|t| t.to), Some(State::Open));

    breakers.get("other").force_open();
    registry.reset_all();
    assert_eq!(breakers.state("other"), Some(State::Closed));
}

#[tokio::test]
async fn keys_of_two_of_one_prefix_are_apart() {
    let registry = Registry::new();
    let both = [breakers(10), breakers(10)];
    let names = both
        .each_ref()
        .map(|breakers| registry.register("http", breakers).to_string());
    assert_eq!(names, ["http", "http#2"]);
    let mut events = registry.subscribe();
    let _ = both[0].get("a");
    both[1].get("a").record(FAILURE);
    let state = registry.snapshot();
    for (name, expected) in [("http:a", "CLOSED"), ("http#2:a", "OPEN"), ("http#2:*", "CLOSED")] {
        let shown = state.at(&[name, "circuitBreaker", "state"]);
        assert_eq!(shown.and_then(|s| s.as_str()), Some(expected), "{name}");
    }
    let heard = std::iter::from_fn(|| events.try_next()).map(|event| event.expect("not lagged"));
    let heard: Vec<_> = heard.map(|event| event.policy.to_string()).collect();
    assert_eq!(heard, ["http:a", "http#2:a", "http#2:a"]);

    let breaker: CircuitBreaker = registry.get("http#2:a").expect("it is listed");
    breaker.reset();
    assert_eq!(both[1].state("a"), Some(State::Closed));
}

#[tokio::test]
async fn the_layer_asks_the_request_for_its_key() {
    let breakers = breakers(10);
    let mut service = ServiceBuilder::new()
        .layer(breakers.layer_by(Plain::new(), |(key, _): &(Option<String>, bool)| key.as_deref()))
        .layer(ErrorLayer::new())
        .service(service_fn(
            async |(_, well): (Option<String>, bool)| if well { Ok(()) } else { Err("down") },
        ));
    let mut ask = async |key: Option<&str>, well: bool| {
        let request = (key.map(str::to_owned), well);
        service.ready().await.expect("ready").call(request).await
    };
    assert!(ask(Some("a"), false).await.is_err());
    assert!(matches!(ask(Some("a"), true).await, Err(Error::Rejected(_))));
    assert_eq!(ask(Some("b"), true).await, Ok(()));
    assert!(ask(None, false).await.is_err());
    assert!(
        matches!(ask(None, true).await, Err(Error::Rejected(_))),
        "those without a key share one"
    );
}

#[test]
fn what_makes_no_sense_is_named_all_at_once() {
    let error = KeyedCircuitBreaker::builder("x")
        .max_keys(0)
        .idle(Duration::ZERO)
        .policy(CircuitBreaker::builder().half_open_probes(0))
        .policy_for("a", CircuitBreaker::builder().open_for(Duration::ZERO))
        .build()
        .expect_err("nonsense");
    let mut keys: Vec<_> = error.problems().iter().map(|p| p.key()).collect();
    keys.sort_unstable();
    assert_eq!(
        keys,
        ["a.open_for", "idle", "max_keys", "policy.half_open_probes"]
    );
}

#[test]
fn many_threads_find_one_breaker_a_key() {
    let breakers = breakers(100);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for n in 0..100 {
                    let permit = breakers.get(&format!("k{n}")).try_acquire();
                    permit.expect("closed").record(Outcome::SUCCESS);
                }
            });
        }
    });
    let successes: Vec<u64> = breakers.snapshot_all().iter().map(|s| s.success).collect();
    assert_eq!(
        successes.iter().sum::<u64>(),
        400,
        "every call is in some breaker's books"
    );
    assert_eq!(breakers.len(), 100);
}
