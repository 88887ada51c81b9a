use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, NoLabelSet},
    metrics::MetricType,
};

use super::{Export, Kind, Point};

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
/// There are no exemplars yet. A collector cannot make those of histograms with `prometheus-client` 0.25: the fields of
/// its `Exemplar` are private and it has no constructor, so they come out of its own `HistogramWithExemplars` alone, with
/// buckets that are not these. (A counter's could be borrowed from a `CounterWithExemplar` made for the scrape.) The
/// way from a failed or slow call to its trace is the access log of `trace_id`.
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
                    Point::Counter(count) => encoder.encode_counter::<NoLabelSet, u64, u64>(count, None)?,
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
