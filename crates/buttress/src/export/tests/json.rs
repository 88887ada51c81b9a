//! The JSON of the registry, beside the reading.

use super::*;

#[tokio::test(start_paused = true)]
async fn json_has_the_same_counters() {
    let (registry, _, _) = busy().await;
    let values = of_reading(&Export::of(&registry).read());
    let json = registry.snapshot();
    let at = |path: &[&str]| {
        json.at(path)
            .and_then(|v| v.as_f64())
            .unwrap_or_else(|| panic!("{path:?}"))
    };
    for (path, series) in [
        (&["api", "requests"][..], ""),
        (&["api", "errors"], "buttress_request_errors_total{stack=api}"),
        (&["api", "inFlight"], "buttress_requests_in_flight{stack=api}"),
        (
            &["api", "outcomes", "success"],
            "buttress_requests_total{outcome=success,stack=api}",
        ),
        (
            &["api", "outcomes", "timedOut"],
            "buttress_requests_total{outcome=timed_out,stack=api}",
        ),
        (
            &["api", "outcomes", "cancelled"],
            "buttress_requests_total{outcome=cancelled,stack=api}",
        ),
        (
            &["api", "traceId", "made"],
            "buttress_traces_total{name=api,origin=made}",
        ),
        (
            &["db", "circuitBreaker", "rejectedCalls"],
            "buttress_circuit_breaker_rejected_total{name=db}",
        ),
        (
            &["db", "circuitBreaker", "timesOpened"],
            "buttress_circuit_breaker_transitions_total{name=db,to=open}",
        ),
        (
            &["db", "retry", "attempts"],
            "buttress_retry_attempts_total{name=db}",
        ),
        (
            &["db", "priority", "queuedByClass", "low"],
            "buttress_priority_queued{class=low,name=db}",
        ),
        (
            &["db", "priority", "timeInQueueByClass", "high", "count"],
            "buttress_priority_wait_seconds_count{class=high,name=db}",
        ),
        (
            &["db", "priority", "rejectedFull"],
            "buttress_priority_rejected_total{name=db,reason=full}",
        ),
        (
            &["db", "rateLimit", "allowed"],
            "buttress_rate_limit_allowed_total{name=db}",
        ),
        (
            &["db", "rateLimit", "remaining"],
            "buttress_rate_limit_remaining{name=db}",
        ),
        (
            &["db", "timeout", "timedOut"],
            "buttress_timeouts_total{limit=attempt,name=db}",
        ),
        (
            &["db", "recover", "future"],
            "buttress_panics_total{name=db,place=future}",
        ),
    ] {
        if series.is_empty() {
            let all = values
                .iter()
                .filter(|(name, _)| name.starts_with("buttress_requests_total"));
            assert_eq!(at(path), all.map(|(_, value)| value).sum::<f64>());
        } else {
            assert_eq!(at(path), values[series], "{series}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn json_has_the_same_buckets() {
    let (registry, _, _) = busy().await;
    let export = Export::of(&registry);
    let values = of_reading(&export.read());
    let json = registry.snapshot();
    for (table, metric) in [
        ("latency", "buttress_request_duration_seconds"),
        ("latencyToEnd", "buttress_request_duration_to_end_seconds"),
    ] {
        let Some(Value::List(buckets)) = json.at(&["api", table, "buckets"]) else {
            panic!("no buckets in {json}");
        };
        let buckets = buckets.iter().map(|bucket| match bucket {
            Value::List(pair) => (
                pair[0].as_f64().expect("a time") / 1000.0,
                pair[1].as_f64().expect("a count"),
            ),
            other => panic!("{other}"),
        });
        let buckets: Vec<(f64, f64)> = buckets.collect();
        let bounds = export.buckets.iter().map(Duration::as_secs_f64);
        for bound in bounds.chain([f64::INFINITY]) {
            let within = buckets.iter().filter(|(middle, _)| *middle <= bound);
            let series = format!("{metric}_bucket{{le={bound:?},stack=api}}");
            assert_eq!(
                within.map(|(_, count)| count).sum::<f64>(),
                values[&series],
                "{series}"
            );
        }
        let count = json.at(&["api", table, "count"]).and_then(Value::as_f64);
        assert_eq!(count, Some(values[&format!("{metric}_count{{stack=api}}")]));
    }
}
