//! One reading, through every reader.

mod bounded;
#[cfg(all(feature = "http", feature = "prometheus"))]
mod exemplars;
#[cfg(feature = "metrics-facade")]
mod facade;
mod json;
#[cfg(feature = "prometheus")]
mod prometheus;

use std::{collections::BTreeMap, convert::Infallible, future::ready, time::Duration};

use tower::{Layer, Service, ServiceExt, service_fn};

use super::*;
use crate::{
    Error, Outcome, Rejected, RejectionKind, Token,
    circuit_breaker::{CircuitBreaker, State},
    fallback::Fallback,
    hedge::Hedge,
    metrics::Metrics,
    outcome::Reason,
    priority::{Priority, PriorityQueue},
    rate_limit::RateLimiter,
    recover::Recover,
    registry::Drill,
    retry::Retry,
    timeout::{Deadline, Timeout},
    trace_id::TraceId,
    value::Value,
};

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Each series by its full name and labels; of durations the count, and the buckets, cumulative, by their bound.
type Values = BTreeMap<String, f64>;

fn series(name: &str, labels: impl IntoIterator<Item = (String, String)>) -> String {
    let mut labels: Vec<_> = labels.into_iter().map(|(k, v)| format!("{k}={v}")).collect();
    labels.sort();
    format!("{name}{{{}}}", labels.join(","))
}

/// Policies of every concern, with something in all their books.
async fn busy() -> (Registry, Metrics, CircuitBreaker) {
    let registry = Registry::new();
    let metrics = Metrics::new();
    let rejection = |kind| Outcome::of_rejected(&Rejected::new(kind, "p"));
    for (outcome, times) in [
        (Outcome::SUCCESS, 11),
        (Outcome::failure(Reason::Error), 5),
        (Outcome::neutral(Reason::HttpStatus(404)), 3),
        (rejection(RejectionKind::CircuitOpen), 2),
        (rejection(RejectionKind::TimedOut), 4),
        (rejection(RejectionKind::Panicked), 1),
    ] {
        for n in 0..times {
            let token = metrics.start();
            tokio::time::advance(ms(3 + 40 * n)).await;
            token.finish(outcome);
        }
    }
    drop(metrics.start());
    std::mem::forget(metrics.start()); // in flight
    registry.register("api", &metrics);

    let breaker = CircuitBreaker::builder()
        .consecutive_failures(2)
        .build()
        .expect("valid");
    for _ in 0..2 {
        breaker
            .try_acquire()
            .expect("closed")
            .record(Outcome::failure(Reason::Error));
    }
    assert!(breaker.try_acquire().is_err());
    registry.register("db", &breaker);

    let retry = Retry::standard();
    let answer = retry.call(async |attempt| match attempt {
        1 => Err(std::io::Error::other("not yet")),
        n => Ok(n),
    });
    assert!(answer.await.is_ok());
    registry.register("db", &retry);

    let hedge = Hedge::builder().after(ms(50)).build().expect("valid");
    let answer = hedge.call(async |attempt| match attempt {
        1 => Err(std::io::Error::other("not this one")),
        n => Ok(n),
    });
    assert!(answer.await.is_ok());
    registry.register("db", &hedge);

    let fallback = Fallback::value(10).build().expect("valid");
    let answer = fallback.call(ready(Err(std::io::Error::other("no line"))));
    assert_eq!(answer.await.ok(), Some(10));
    registry.register("db", &fallback);

    let queue = PriorityQueue::builder().concurrency(1).queue(1);
    let queue = queue.build().expect("valid");
    let running = queue.try_acquire(Priority::NORMAL).expect("a slot");
    let low = tokio_test::task::spawn(queue.acquire(Priority::LOW));
    let high = tokio_test::task::spawn(queue.acquire(Priority::new(85)));
    let [mut low, mut high] = [low, high];
    assert!(low.poll().is_pending() && high.poll().is_pending());
    assert!(low.poll().is_ready(), "displaced");
    tokio::time::advance(ms(30)).await;
    running.record(Outcome::SUCCESS);
    let std::task::Poll::Ready(Ok(running)) = high.poll() else {
        panic!("it is its turn");
    };
    let mut waiting = tokio_test::task::spawn(queue.acquire(Priority::LOW));
    assert!(waiting.poll().is_pending());
    std::mem::forget((running, waiting)); // in flight
    registry.register("db", &queue);

    let limiter = RateLimiter::per_minute(2).build().expect("valid");
    limiter.try_acquire(1).expect("the first").give_back();
    let _ = limiter.try_acquire(2).expect("both");
    assert!(limiter.try_acquire(1).is_err());
    registry.register("db", &limiter);

    let timeout = Timeout::after(ms(10)).build().expect("valid");
    let never = timeout.call(std::future::pending::<Result<(), Infallible>>());
    assert!(never.await.is_err());
    registry.register("db", &timeout);
    registry.register("db", &Deadline::new());

    let recover = Recover::new();
    let caught: Result<(), Error<Infallible>> = recover.call(async { panic!("as the test wants it") }).await;
    assert!(caught.is_err());
    registry.register("db", &recover);

    let trace = TraceId::w3c();
    let mut traced = trace
        .layer()
        .layer(service_fn(|()| ready(Ok::<_, Error<Infallible>>(()))));
    assert!(traced.ready().await.expect("ready").call(()).await.is_ok());
    registry.register("api", &trace);
    #[cfg(feature = "pool")]
    registry.register("db", &pool().await);
    (registry, metrics, breaker)
}

/// One endpoint of two has failed, and the other answered for it.
#[cfg(feature = "pool")]
async fn pool() -> crate::pool::Pool<u32> {
    let pool = crate::pool::Pool::builder()
        .name("db")
        .balance(crate::pool::Strategy::RoundRobin)
        .breaker(CircuitBreaker::builder().consecutive_failures(1))
        .endpoint("one", 1)
        .endpoint("two", 2)
        .build()
        .expect("valid");
    for _ in 0..4 {
        let call = pool.run(async |n| match n {
            1 => Err(std::io::Error::other("down")),
            n => Ok(n),
        });
        assert_eq!(call.await.ok(), Some(2));
    }
    tokio::time::advance(ms(1500)).await;
    pool
}

fn of_reading(reading: &Reading) -> Values {
    let mut values = Values::new();
    for metric in reading.metrics() {
        for one in &metric.series {
            let labels: Vec<_> = one
                .labels
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (**v).to_owned()))
                .collect();
            match &one.point {
                Point::Counter(count) => {
                    values.insert(series(&metric.full_name(), labels), *count as f64);
                }
                Point::Gauge(value) => {
                    values.insert(series(&metric.name, labels), *value);
                }
                Point::Durations(durations) => {
                    values.insert(
                        series(&format!("{}_count", metric.name), labels.clone()),
                        durations.count() as f64,
                    );
                    let mut seen = 0;
                    for (bound, count) in &durations.buckets {
                        seen += count;
                        let bound = [("le".to_owned(), format!("{bound:?}"))];
                        let labels = labels.iter().cloned().chain(bound);
                        values.insert(series(&format!("{}_bucket", metric.name), labels), seen as f64);
                    }
                }
            }
        }
    }
    values
}

#[tokio::test(start_paused = true)]
async fn the_reading_says_what_the_books_say() {
    let (registry, metrics, _) = busy().await;
    let values = of_reading(&Export::of(&registry).read());
    let get = |name: &str| {
        *values
            .get(name)
            .unwrap_or_else(|| panic!("{name} in {values:#?}"))
    };
    for (outcome, count) in metrics.snapshot().outcomes.iter() {
        let name = format!("buttress_requests_total{{outcome={outcome},stack=api}}");
        assert_eq!(get(&name), count as f64, "{outcome}");
    }
    assert_eq!(get("buttress_request_errors_total{stack=api}"), 12.0);
    assert_eq!(get("buttress_requests_in_flight{stack=api}"), 1.0);
    assert_eq!(get("buttress_request_duration_seconds_count{stack=api}"), 26.0);
    assert_eq!(
        get("buttress_request_duration_to_end_seconds_count{stack=api}"),
        27.0
    );
    assert_eq!(get("buttress_circuit_breaker_rejected_total{name=db}"), 1.0);
    assert_eq!(
        get("buttress_circuit_breaker_calls_total{name=db,outcome=failure}"),
        2.0
    );
    assert_eq!(
        get("buttress_circuit_breaker_transitions_total{name=db,to=open}"),
        1.0
    );
    assert_eq!(get("buttress_retry_attempts_total{name=db}"), 2.0);
    assert_eq!(get("buttress_retry_recovered_total{name=db}"), 1.0);
    assert!(get("buttress_retry_budget_balance{name=db}") > 0.0);
    assert_eq!(get("buttress_hedge_calls_total{name=db}"), 1.0);
    assert_eq!(get("buttress_hedge_attempts_total{name=db}"), 2.0);
    assert_eq!(get("buttress_hedge_after_failure_total{name=db}"), 1.0);
    assert_eq!(get("buttress_hedge_won_total{name=db}"), 1.0);
    assert_eq!(
        get("buttress_hedge_not_made_total{name=db,reason=out_of_budget}"),
        0.0
    );
    assert_eq!(get("buttress_hedge_delay_seconds{name=db}"), 0.05);
    assert!(get("buttress_hedge_budget_balance{name=db}") >= 0.0);
    assert_eq!(get("buttress_fallback_answered_total{cause=error,name=db}"), 1.0);
    assert_eq!(
        get("buttress_fallback_answered_total{cause=circuit_open,name=db}"),
        0.0
    );
    assert_eq!(
        get("buttress_fallback_unanswered_total{name=db,reason=failed}"),
        0.0
    );
    #[cfg(feature = "pool")]
    for (name, value) in [
        ("calls_total{name=db}", 4.0),
        ("no_endpoint_total{name=db}", 0.0),
        ("usable_endpoints{name=db}", 1.0),
        ("out_of_budget_total{name=db}", 0.0),
        ("endpoint_healthy{endpoint=one,name=db}", 0.0),
        ("endpoint_healthy{endpoint=two,name=db}", 1.0),
        ("endpoint_usable{endpoint=one,name=db}", 0.0),
        ("endpoint_usable{endpoint=two,name=db}", 1.0),
        ("endpoint_calls_total{endpoint=one,name=db,outcome=failure}", 1.0),
        ("endpoint_calls_total{endpoint=two,name=db,outcome=success}", 4.0),
        ("endpoint_in_flight{endpoint=two,name=db}", 0.0),
        ("endpoint_moved_total{endpoint=one,name=db}", 1.0),
        ("endpoint_weight{endpoint=two,name=db}", 1.0),
        ("endpoint_score{endpoint=two,name=db}", 1.0),
        ("endpoint_failed_for_seconds{endpoint=one,name=db}", 1.5),
        ("endpoint_failed_for_seconds{endpoint=two,name=db}", 0.0),
        ("failovers_total{endpoint=one,name=db}", 1.0),
        ("recoveries_total{endpoint=one,name=db}", 0.0),
    ] {
        assert_eq!(get(&format!("buttress_pool_{name}")), value, "{name}");
    }
    #[cfg(feature = "pool")]
    assert_eq!(get("buttress_circuit_breaker_state{name=db:one,state=open}"), 1.0);
    assert_eq!(get("buttress_priority_limit{name=db}"), 1.0);
    assert_eq!(get("buttress_priority_running{name=db}"), 1.0);
    assert_eq!(get("buttress_priority_queued{class=low,name=db}"), 1.0);
    assert_eq!(get("buttress_priority_queued{class=high,name=db}"), 0.0);
    assert_eq!(
        get("buttress_priority_wait_seconds_count{class=high,name=db}"),
        1.0
    );
    assert_eq!(
        get("buttress_priority_wait_seconds_count{class=low,name=db}"),
        0.0
    );
    assert_eq!(
        get("buttress_priority_calls_total{name=db,outcome=completed}"),
        1.0
    );
    assert_eq!(get("buttress_priority_rejected_total{name=db,reason=full}"), 1.0);
    assert_eq!(get("buttress_priority_rejected_total{name=db,reason=shed}"), 0.0);
    assert_eq!(get("buttress_priority_displaced_total{name=db}"), 1.0);
    assert_eq!(get("buttress_priority_shed_below{name=db}"), 0.0);
    assert_eq!(get("buttress_rate_limit_allowed_total{name=db}"), 2.0);
    assert_eq!(get("buttress_rate_limit_limited_total{name=db}"), 1.0);
    assert_eq!(get("buttress_rate_limit_waited_total{name=db}"), 0.0);
    assert_eq!(get("buttress_rate_limit_refunded_total{name=db}"), 1.0);
    assert_eq!(get("buttress_rate_limit_waiting{name=db}"), 0.0);
    assert_eq!(get("buttress_timeouts_total{limit=attempt,name=db}"), 1.0);
    assert_eq!(
        get("buttress_deadlines_expired_total{name=db,policy=deadline}"),
        0.0
    );
    assert_eq!(get("buttress_panics_total{name=db,place=future}"), 1.0);
    assert_eq!(get("buttress_traces_total{name=api,origin=made}"), 1.0);
}

#[tokio::test(start_paused = true)]
async fn exactly_one_state_is_1() {
    let (registry, _, breaker) = busy().await;
    let in_state = || {
        let values = of_reading(&Export::of(&registry).read());
        let states = values
            .into_iter()
            .filter(|(name, _)| name.starts_with("buttress_circuit_breaker_state{name=db,"));
        let states: Vec<_> = states.collect();
        assert_eq!(states.len(), 6);
        let ones: Vec<_> = states.iter().filter(|(_, value)| *value == 1.0).collect();
        assert_eq!(
            (ones.len(), states.iter().map(|(_, v)| v).sum::<f64>()),
            (1, 1.0),
            "{states:?}"
        );
        ones[0].0.clone()
    };
    assert!(in_state().contains("state=open"));
    tokio::time::advance(Duration::from_secs(300)).await;
    assert!(in_state().contains("state=half_open"), "as it will be found");
    for (state, label) in [
        (State::ForcedOpen, "state=forced_open"),
        (State::Disabled, "state=disabled"),
        (State::MetricsOnly, "state=metrics_only"),
        (State::Closed, "state=closed"),
    ] {
        breaker.transition_to(state);
        assert!(in_state().contains(label));
    }
}

#[tokio::test(start_paused = true)]
async fn a_reset_by_hand_lowers_no_counter() {
    let (registry, _, _) = busy().await;
    let counters = || {
        let values = of_reading(&Export::of(&registry).read());
        values
            .into_iter()
            .filter(|(name, _)| name.contains("_total"))
            .collect::<Values>()
    };
    let before = counters();
    registry.reset_all();
    for (name, value) in counters() {
        assert!(value >= before[&name], "{name}: {value} after {}", before[&name]);
    }
    assert_eq!(registry.drill("db", &Drill::Reset), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn every_metric_is_in_the_list_and_in_the_documentation() {
    let (registry, _, _) = busy().await;
    let listed: Vec<_> = families().iter().map(|f| f.name()).collect();
    let docs = include_str!("../mod.rs");
    for metric in Export::builder()
        .prefix("")
        .build(&registry)
        .expect("valid")
        .read()
        .metrics()
    {
        let unit = if metric.kind == Kind::Durations {
            "_seconds"
        } else {
            ""
        };
        let family = metric.name.strip_suffix(unit).expect("its unit");
        assert!(listed.contains(&family), "{family} is not listed");
    }
    for family in families() {
        let suffix = match family.kind() {
            Kind::Counter => "_total",
            Kind::Durations => "_seconds",
            Kind::Gauge => "",
        };
        let documented = format!("| `buttress_{}{suffix}` |", family.name());
        assert!(docs.contains(&documented), "{documented}");
        assert_eq!(
            listed.iter().filter(|name| **name == family.name()).count(),
            1,
            "{}",
            family.name()
        );
    }
    assert_eq!(
        docs.matches("//! | `buttress_").count(),
        listed.len(),
        "and no other"
    );
}

#[tokio::test(start_paused = true)]
async fn durations_go_to_the_bucket_that_their_middle_is_in() {
    let registry = Registry::new();
    let metrics = Metrics::new();
    registry.register("api", &metrics);
    let export = Export::builder()
        .buckets([ms(10), ms(100)])
        .build(&registry)
        .expect("valid");
    let buckets = || {
        let reading = export.read();
        let metric = reading
            .metrics()
            .iter()
            .find(|m| &*m.name == "buttress_request_duration_seconds");
        match &metric.expect("it is there").series[0].point {
            Point::Durations(durations) => durations.buckets.clone(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(buckets(), [(0.01, 0), (0.1, 0), (f64::INFINITY, 0)]);
    // The bucket around the bound is 9.44 to 10.49 ms, and its middle 9.96.
    for (micros, times) in [(9_500, 1), (10_400, 2), (10_500, 4), (2_000_000, 8)] {
        for _ in 0..times {
            let token = metrics.start();
            tokio::time::advance(Duration::from_micros(micros)).await;
            token.finish(Outcome::SUCCESS);
        }
    }
    assert_eq!(buckets(), [(0.01, 3), (0.1, 4), (f64::INFINITY, 8)]);
}

#[test]
fn two_policies_of_one_name_are_two_series() {
    let registry = Registry::new();
    for _ in 0..2 {
        registry.register("db", &CircuitBreaker::new());
    }
    let values = of_reading(&Export::of(&registry).read());
    assert!(values.contains_key("buttress_circuit_breaker_rejected_total{name=db}"));
    assert!(values.contains_key("buttress_circuit_breaker_rejected_total{name=db#2}"));
}

#[test]
fn options_are_checked_and_read() {
    for prefix in ["buttress-x", "7", "a b", "ä"] {
        assert!(Export::builder().prefix(prefix).check().is_err(), "{prefix}");
    }
    let unordered = Export::builder()
        .prefix("9")
        .buckets([ms(5), ms(5), ms(1)])
        .check()
        .expect_err("bad");
    assert_eq!(unordered.problems().len(), 3);
    assert!(Export::builder().buckets([Duration::ZERO]).check().is_err());
    assert!(Export::builder().buckets((1..=101).map(ms)).check().is_err());

    let bounds = vec![
        crate::value::Value::from("5ms"),
        crate::value::Value::from("50ms"),
    ];
    let table = crate::value::Table::new()
        .with("prefix", "middleware")
        .with("buckets", bounds);
    let options = crate::config::read(&table, |section| ExportBuilder::read(section)).expect("valid");
    let registry = Registry::new();
    registry.register("api", &Metrics::new());
    let reading = options.build(&registry).expect("valid").read();
    let names: Vec<_> = reading.metrics().iter().map(Metric::full_name).collect();
    assert!(
        names.contains(&"middleware_requests_total".to_owned()),
        "{names:?}"
    );
}
