//! What does not grow: series with keys, memory with traffic.

use super::*;

#[cfg(feature = "keyed")]
#[test]
fn of_a_limit_for_each_key_it_is_shown_how_many_there_are() {
    let registry = Registry::new();
    let limiter = RateLimiter::per_minute(1)
        .keyed()
        .max_keys(10)
        .build()
        .expect("valid");
    registry.register("tenants", &limiter);
    for key in 0..100 {
        let _ = limiter.try_acquire_for(&*key.to_string(), 1);
    }
    let values = of_reading(&Export::of(&registry).read());
    let keys = values["buttress_rate_limit_keys{name=tenants}"];
    assert!(keys > 0.0 && keys <= 10.0, "{keys}");
    assert!(values["buttress_rate_limit_overflowed_total{name=tenants}"] > 0.0);
    assert!(!values.contains_key("buttress_rate_limit_remaining{name=tenants}"));
    assert_eq!(
        values.keys().filter(|name| name.contains("rate_limit")).count(),
        7
    );
}

/// A million keys are so many series less one million.
#[cfg(feature = "keyed")]
#[test]
fn a_million_keys_are_no_series() {
    use crate::circuit_breaker::KeyedCircuitBreaker;

    let registry = Registry::new();
    let keyed = KeyedCircuitBreaker::builder("tenant")
        .max_keys(100)
        .policy_for("the-big-one", CircuitBreaker::builder())
        .build()
        .expect("valid");
    registry.register("tenants", &keyed);
    let count = || {
        Export::of(&registry)
            .read()
            .metrics()
            .iter()
            .map(|m| m.series.len())
            .sum::<usize>()
    };
    let none = count();
    for key in 0..1_000_000 {
        let _ = keyed.get(&key.to_string());
    }
    assert_eq!(count(), none);
    let values = of_reading(&Export::of(&registry).read());
    assert!(values["buttress_keyed_circuit_breaker_keys{name=tenants,state=closed}"] >= 50.0);
    assert!(values["buttress_keyed_circuit_breaker_overflowed_total{name=tenants}"] > 0.0);

    keyed.reset_all();
    let keyed = KeyedCircuitBreaker::builder("tenant")
        .policy_for("the-big-one", CircuitBreaker::builder())
        .build()
        .expect("valid");
    registry.register("others", &keyed);
    let _ = keyed.get("the-big-one");
    let values = of_reading(&Export::of(&registry).read());
    assert_eq!(
        values["buttress_circuit_breaker_state{name=others:the-big-one,state=closed}"],
        1.0
    );
}

/// Nobody looks for a day, in which there are ten calls a second and everything that can go wrong does.
#[test]
fn a_day_without_a_scrape_leaves_memory_where_it_was() {
    let runtime = || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime")
    };
    runtime().block_on(async {
        let (registry, metrics, breaker) = busy().await;
        let export = Export::of(&registry);
        let series = || {
            export
                .read()
                .metrics()
                .iter()
                .map(|m| m.series.len())
                .sum::<usize>()
        };
        let before = series();
        let hour = || {
            for call in 0..36_000_u64 {
                let outcome = match call % 3 {
                    0 => Outcome::SUCCESS,
                    1 => Outcome::failure(Reason::Error),
                    _ => Outcome::of_rejected(&Rejected::new(RejectionKind::TimedOut, "p")),
                };
                match call % 7 {
                    0 => drop(metrics.start()),
                    _ => metrics.start().finish(outcome),
                }
                if let Ok(permit) = breaker.try_acquire() {
                    permit.record(outcome);
                }
            }
        };
        hour();
        let mut left = 0;
        for _ in 0..24 {
            left += allocation_counter::measure(hour).count_current;
            tokio::time::advance(Duration::from_secs(3600)).await;
        }
        assert_eq!(left, 0);
        assert_eq!(series(), before);
    });
}
