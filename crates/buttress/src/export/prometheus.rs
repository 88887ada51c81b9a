use std::{fmt, sync::atomic::AtomicU64};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet},
    metrics::{MetricType, exemplar::CounterWithExemplar},
};

use super::{Exemplar, Export, Kind, Point};

/// Every scrape reads the books; nothing is kept in between.
///
/// ```
/// # #[cfg(feature = "metrics")] {
/// use buttress::{Registry, export::Export, metrics::Metrics};
/// use prometheus_client::{encoding::text, registry};
///
/// let policies = Registry::new();
/// policies.register("payments", &Metrics::new());
///
/// let mut metrics = registry::Registry::default();
/// metrics.register_collector(Box::new(Export::of(&policies)));
///
/// let mut page = String::new();
/// text::encode(&mut page, &metrics)?;
/// assert!(page.contains("buttress_requests_total{stack=\"payments\",outcome=\"success\"} 0\n"));
/// # }
/// # Ok::<(), std::fmt::Error>(())
/// ```
///
/// # Exemplars
///
/// With [`Metrics::with_exemplars`](crate::metrics::Metrics::with_exemplars) the counters of calls have one for each
/// outcome, the newest: its trace, and how many seconds it took. A collector cannot make those of histograms with
/// `prometheus-client` 0.25: it wants them in a map of its own type, whose fields are private and which has no
/// constructor, so that they come out of its own `HistogramWithExemplars` alone, with buckets that are not these.
///
/// The page is in the OpenMetrics format: answer a scrape with the content type
/// `application/openmetrics-text; version=1.0.0; charset=utf-8`.
impl Collector for Export {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let reading = self.read();
        for metric in reading.metrics() {
            let kind = match metric.kind {
                Kind::Counter => MetricType::Counter,
                Kind::Gauge => MetricType::Gauge,
                Kind::Durations => MetricType::Histogram,
            };
            // The unit is in the name already, where there is one.
            let mut encoder = encoder.encode_descriptor(&metric.name, metric.help, None, kind)?;
            for series in &metric.series {
                let labels: Vec<(&str, &str)> = series.labels.iter().map(|(k, v)| (*k, &**v)).collect();
                let labels = labels.as_slice();
                let mut encoder = encoder.encode_family(&labels)?;
                match &series.point {
                    Point::Counter(count) => encode_counter(&mut encoder, *count, series.exemplar)?,
                    Point::Gauge(value) => encoder.encode_gauge(value)?,
                    Point::Durations(durations) => encoder.encode_histogram::<NoLabelSet>(
                        durations.sum,
                        durations.count(),
                        &durations.buckets,
                        None,
                    )?,
                }
            }
        }
        Ok(())
    }
}

fn encode_counter(
    encoder: &mut MetricEncoder<'_>,
    count: u64,
    exemplar: Option<Exemplar>,
) -> Result<(), fmt::Error> {
    let Some(exemplar) = exemplar else {
        return encoder.encode_counter::<NoLabelSet, u64, u64>(&count, None);
    };
    // An exemplar cannot be made, only borrowed from a counter that has one.
    let lender = CounterWithExemplar::<_, f64, AtomicU64>::default();
    let labels = vec![("trace_id", format!("{:032x}", exemplar.trace_id))];
    lender.inc_by(exemplar.value, Some(labels), None);
    let (_, lent) = lender.get();
    encoder.encode_counter(&count, lent.as_ref())
}
