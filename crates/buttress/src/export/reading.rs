use std::{num::NonZeroU128, sync::Arc, time::Duration};

use super::{Kind, samples::Sample, samples::Value};
use crate::{histogram, ordered::Ordered};

/// All metrics at one moment, as every exporter shows them.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    metrics: Vec<Metric>,
}

/// One metric, with all its series.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Metric {
    /// The name with its prefix and unit, and without a counter's `_total`: `buttress_requests`.
    pub name: Arc<str>,
    /// What it says.
    pub help: &'static str,
    /// Of what kind it is.
    pub kind: Kind,
    /// The values, no two under the same labels.
    pub series: Vec<Series>,
}

/// One series of a metric.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Series {
    /// The labels.
    pub labels: Vec<(&'static str, Arc<str>)>,
    /// The value.
    pub point: Point,
    /// Of a counter, one of the calls that it has counted, if one is known.
    pub exemplar: Option<Exemplar>,
}

/// A call to look at for what a number says.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Exemplar {
    /// The trace that it is part of.
    pub trace_id: NonZeroU128,
    /// What was measured of it: how long it took, in seconds.
    pub value: f64,
}

impl Exemplar {
    /// A call that is part of that trace, and took so many seconds.
    #[must_use]
    pub const fn new(trace_id: NonZeroU128, value: f64) -> Self {
        Self { trace_id, value }
    }
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Point {
    /// Of a counter.
    Counter(u64),
    /// Of a gauge.
    Gauge(f64),
    /// Of durations.
    Durations(Durations),
}

/// How many durations there were of which length.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Durations {
    /// For each bound in seconds, how many were up to it and above the one before. The last bound is infinite, so
    /// together they are all.
    pub buckets: Vec<(f64, u64)>,
    /// All together, in seconds.
    pub sum: f64,
    /// The histogram as it is kept, which is finer.
    pub exact: histogram::Snapshot,
}

impl Metric {
    /// The name under which Prometheus has it: a counter's ends in `_total`.
    #[must_use]
    pub fn full_name(&self) -> String {
        match self.kind {
            Kind::Counter => format!("{}_total", self.name),
            _ => (*self.name).to_owned(),
        }
    }
}

impl Durations {
    /// How many there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.exact.count()
    }

    /// Each fine bucket goes to the first bound that its middle does not exceed.
    fn of(exact: histogram::Snapshot, bounds: &[Duration]) -> Self {
        let infinite = [(f64::INFINITY, 0)];
        let finite = bounds.iter().map(|bound| (bound.as_secs_f64(), 0));
        let mut buckets: Vec<(f64, u64)> = finite.chain(infinite).collect();
        for bucket in exact.buckets().filter(|bucket| bucket.count > 0) {
            let at = bounds.partition_point(|bound| *bound < bucket.midpoint());
            buckets[at].1 += bucket.count;
        }
        Self {
            buckets,
            sum: exact.sum().as_secs_f64(),
            exact,
        }
    }
}

impl Reading {
    pub(super) fn of(samples: Vec<Sample>, prefix: &str, bounds: &[Duration]) -> Self {
        let mut families = Ordered::new();
        for sample in samples {
            let family = sample.family;
            let point = match sample.value {
                Value::Counter(count) => Point::Counter(count),
                Value::Gauge(value) => Point::Gauge(value),
                Value::Durations(exact) => Point::Durations(Durations::of(exact, bounds)),
            };
            let key = (family.name(), family.kind());
            let (_, series) = families.or_insert_with(&key, || (key, (family.help(), Ordered::new())));
            // A policy of a user's own might use a label twice; a scrape with such a series is refused whole.
            series.insert_new(sample.labels, (point, sample.exemplar));
        }
        let metric = |((name, kind), (help, series)): ((&str, Kind), (_, Ordered<_, _>))| {
            let unit = match kind {
                Kind::Durations => "_seconds",
                Kind::Counter | Kind::Gauge => "",
            };
            let name = match prefix {
                "" => format!("{name}{unit}"),
                prefix => format!("{prefix}_{name}{unit}"),
            };
            let series = series.into_iter().map(|(labels, (point, exemplar))| Series {
                labels,
                point,
                exemplar,
            });
            Metric {
                name: name.into(),
                help,
                kind,
                series: series.collect(),
            }
        };
        let mut metrics: Vec<Metric> = families.into_iter().map(metric).collect();
        metrics.sort_by(|a, b| a.name.cmp(&b.name));
        Self { metrics }
    }

    /// The metrics, by name.
    #[must_use]
    pub fn metrics(&self) -> &[Metric] {
        &self.metrics
    }
}
