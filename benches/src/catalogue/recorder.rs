//! The `metrics` facade with its Prometheus recorder, which counts when it is called, as most applications have it.

use std::sync::OnceLock;

use axum_prometheus::PrometheusMetricLayer;
use buttress::clock;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use crate::service::{Broken, answer};

/// In seconds.
const BOUNDS: [f64; 13] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// One for the process: there can be no other. Durations go to the buckets that Buttress shows, which is what it does
/// quickest.
fn install() {
    static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();
    RECORDER.get_or_init(|| {
        let builder = PrometheusBuilder::new()
            .set_buckets(&BOUNDS)
            .expect("some bounds");
        builder.install_recorder().expect("nobody else has installed one")
    });
}

/// What Buttress counts of a call, by the macros: the outcome, those in flight, and the duration.
pub(super) fn counted() -> impl FnMut(u64) -> Result<u64, Broken> {
    install();
    |request| {
        let began = clock::now();
        metrics::gauge!("in_flight", "stack" => "bench").increment(1);
        let result = answer(request);
        let outcome = if result.is_ok() { "success" } else { "failure" };
        metrics::gauge!("in_flight", "stack" => "bench").decrement(1);
        metrics::counter!("requests_total", "stack" => "bench", "outcome" => outcome).increment(1);
        let elapsed = clock::now().saturating_duration_since(began);
        metrics::histogram!("request_duration_seconds", "stack" => "bench").record(elapsed.as_secs_f64());
        result
    }
}

pub(crate) fn axum_prometheus() -> PrometheusMetricLayer<'static> {
    install();
    PrometheusMetricLayer::new()
}
