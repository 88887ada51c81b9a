//! The `metrics` facade.

use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};

use super::*;
use crate::export::facade::Bridge;

/// What the recorder has been told since the last time.
fn told(snapshotter: &Snapshotter, bounds: &[Duration]) -> Values {
    let mut values = Values::new();
    for (key, _, _, value) in snapshotter.snapshot().into_vec() {
        let (name, labels) = key.key().clone().into_parts();
        let labels: Vec<_> = labels
            .iter()
            .map(|l| (l.key().to_owned(), l.value().to_owned()))
            .collect();
        match value {
            DebugValue::Counter(count) => {
                values.insert(series(name.as_str(), labels), count as f64);
            }
            DebugValue::Gauge(value) => {
                values.insert(series(name.as_str(), labels), value.into_inner());
            }
            DebugValue::Histogram(recorded) => {
                let recorded: Vec<f64> = recorded.iter().map(|value| value.into_inner()).collect();
                let count = series(&format!("{}_count", name.as_str()), labels.clone());
                values.insert(count, recorded.len() as f64);
                let bounds = bounds.iter().map(Duration::as_secs_f64).chain([f64::INFINITY]);
                for bound in bounds {
                    let le = [("le".to_owned(), format!("{bound:?}"))];
                    let labels = labels.iter().cloned().chain(le);
                    let within = recorded.iter().filter(|value| **value <= bound).count();
                    values.insert(
                        series(&format!("{}_bucket", name.as_str()), labels),
                        within as f64,
                    );
                }
            }
        }
    }
    values
}

#[tokio::test(start_paused = true)]
async fn a_recorder_is_told_the_same_values_and_then_the_differences() {
    let (registry, metrics, _) = busy().await;
    let export = Export::of(&registry);
    let bridge = Bridge::new(export.clone());
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let publish = || ::metrics::with_local_recorder(&recorder, || bridge.publish());
    publish();
    let mut all = told(&snapshotter, &export.buckets);
    assert_eq!(all, of_reading(&export.read()));

    publish();
    let nothing = told(&snapshotter, &export.buckets);
    assert!(
        nothing
            .iter()
            .all(|(name, value)| !name.contains("_total") || *value == 0.0),
        "{nothing:?}"
    );

    for _ in 0..3 {
        let token = metrics.start();
        tokio::time::advance(ms(7)).await;
        token.finish(Outcome::SUCCESS);
    }
    publish();
    for (name, value) in told(&snapshotter, &export.buckets) {
        let is_gauge = !["_total", "_count", "_bucket"]
            .iter()
            .any(|part| name.contains(part));
        let known = all.entry(name).or_default();
        *known = if is_gauge { value } else { *known + value };
    }
    assert_eq!(all, of_reading(&export.read()));
}

#[test]
fn a_policy_that_takes_anothers_name_counts_from_zero() {
    let export = |metrics: &Metrics| {
        let registry = Registry::new();
        registry.register("api", metrics);
        Export::of(&registry)
    };
    let [old, new] = [5, 2].map(|calls| {
        let metrics = Metrics::new();
        (0..calls).for_each(|_| metrics.start().finish(Outcome::SUCCESS));
        metrics
    });
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let mut bridge = Bridge::new(export(&old));
    ::metrics::with_local_recorder(&recorder, || bridge.publish());
    let _ = told(&snapshotter, &[]);
    bridge.export = export(&new);
    ::metrics::with_local_recorder(&recorder, || bridge.publish());
    let told = told(&snapshotter, &[]);
    assert_eq!(told["buttress_requests_total{outcome=success,stack=api}"], 2.0);
    assert_eq!(told["buttress_request_duration_seconds_count{stack=api}"], 2.0);
}
