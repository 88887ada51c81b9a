//! The SDK collects what the reading says.

use std::collections::BTreeMap;

use buttress::{
    Outcome, Registry, Token,
    circuit_breaker::CircuitBreaker,
    export::{Export, Family, Point, Samples},
    metrics::Metrics,
    outcome::Reason,
    registry::Policy,
    value::Table,
};
use opentelemetry::{KeyValue, metrics::MeterProvider};
use opentelemetry_sdk::metrics::{
    InMemoryMetricExporter, PeriodicReader, SdkMeterProvider,
    data::{AggregatedMetrics, MetricData},
};

type Values = BTreeMap<String, f64>;

fn series(name: &str, labels: impl IntoIterator<Item = (String, String)>) -> String {
    let mut labels: Vec<_> = labels.into_iter().map(|(k, v)| format!("{k}={v}")).collect();
    labels.sort();
    format!("{name}{{{}}}", labels.join(","))
}

/// What a collection comes to.
fn collected(provider: &SdkMeterProvider, exporter: &InMemoryMetricExporter) -> Values {
    exporter.reset();
    provider.force_flush().expect("it collects");
    let mut values = Values::new();
    let labels = |attributes: &mut dyn Iterator<Item = &KeyValue>| {
        let labels = attributes.map(|kv| (kv.key.to_string(), kv.value.to_string()));
        labels.collect::<Vec<_>>()
    };
    for resource in exporter.get_finished_metrics().expect("it exports") {
        for metric in resource.scope_metrics().flat_map(|scope| scope.metrics()) {
            match metric.data() {
                AggregatedMetrics::U64(MetricData::Sum(sum)) => {
                    assert!(sum.is_monotonic());
                    for point in sum.data_points() {
                        values.insert(
                            series(metric.name(), labels(&mut point.attributes())),
                            point.value() as f64,
                        );
                    }
                }
                AggregatedMetrics::F64(MetricData::Sum(sum)) => {
                    for point in sum.data_points() {
                        values.insert(
                            series(metric.name(), labels(&mut point.attributes())),
                            point.value(),
                        );
                    }
                }
                AggregatedMetrics::F64(MetricData::Gauge(gauge)) => {
                    for point in gauge.data_points() {
                        values.insert(
                            series(metric.name(), labels(&mut point.attributes())),
                            point.value(),
                        );
                    }
                }
                other => panic!("{}: {other:?}", metric.name()),
            }
        }
    }
    values
}

fn read(export: &Export) -> Values {
    let mut values = Values::new();
    for metric in export.read().metrics() {
        for one in &metric.series {
            let labels = || {
                one.labels
                    .iter()
                    .map(|(k, v)| ((*k).to_owned(), (**v).to_owned()))
            };
            match &one.point {
                Point::Counter(count) => drop(values.insert(series(&metric.name, labels()), *count as f64)),
                Point::Gauge(value) => drop(values.insert(series(&metric.name, labels()), *value)),
                Point::Durations(durations) => {
                    values.insert(series(&format!("{}_sum", metric.name), labels()), durations.sum);
                    values.insert(
                        series(&format!("{}_count", metric.name), labels()),
                        durations.count() as f64,
                    );
                    let mut seen = 0;
                    for (bound, count) in &durations.buckets {
                        seen += count;
                        let bound = if bound.is_finite() {
                            bound.to_string()
                        } else {
                            "+Inf".to_owned()
                        };
                        let labels = labels().chain([("le".to_owned(), bound)]);
                        values.insert(series(&format!("{}_bucket", metric.name), labels), seen as f64);
                    }
                }
                other => panic!("{other:?}"),
            }
        }
    }
    values
}

static SPILLS: Family = Family::counter("spills", "Calls that went to the spare cluster");

/// A policy of a user's own.
#[derive(Clone, Debug)]
struct Spare;

impl Policy for Spare {
    fn concern(&self) -> &'static str {
        "spare"
    }

    fn identity(&self) -> usize {
        1
    }

    fn describe(&self, _: &mut Table) {}

    fn samples(&self, name: &str, samples: &mut Samples) {
        samples.counter(&SPILLS, &[("name", name)], 3);
    }
}

#[test]
fn the_sdk_collects_what_the_reading_says() {
    let registry = Registry::new();
    let metrics = Metrics::new();
    registry.register("api", &metrics);
    let breaker = CircuitBreaker::builder()
        .consecutive_failures(1)
        .build()
        .expect("valid");
    registry.register("db", &breaker);
    registry.register("db", &Spare);
    let export = Export::of(&registry);

    let exporter = InMemoryMetricExporter::default();
    let provider = SdkMeterProvider::builder()
        .with_reader(PeriodicReader::builder(exporter.clone()).build())
        .build();
    buttress_opentelemetry::observe_with(&provider.meter("buttress"), &export, &[&SPILLS]);

    for round in 0..3 {
        (0..10).for_each(|_| metrics.start().finish(Outcome::SUCCESS));
        metrics.start().finish(Outcome::failure(Reason::Error));
        breaker.record(Outcome::failure(Reason::Error));
        let (collected, read) = (collected(&provider, &exporter), read(&export));
        assert_eq!(collected, read, "in round {round}");
        assert_eq!(
            read["buttress_requests{outcome=success,stack=api}"],
            f64::from(10 * (round + 1))
        );
        assert_eq!(read["buttress_circuit_breaker_state{name=db,state=open}"], 1.0);
        assert_eq!(read["buttress_spills{name=db}"], 3.0);
    }
}
