use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use buttress::export::{Durations, Export, Family, Kind, Metric, Point, Reading, Series, families};
use opentelemetry::{
    KeyValue,
    metrics::{AsyncInstrument, Meter},
};

/// Has the meter observe the metrics of every concern that is built in.
///
/// Call it once for each meter provider: a second time would be a second instrument of each name.
pub fn observe(meter: &Meter, export: &Export) {
    observe_with(meter, export, &[]);
}

/// The same, and metrics of policies of your own.
pub fn observe_with(meter: &Meter, export: &Export, more: &[&'static Family]) {
    let source = Arc::new(Source {
        export: export.clone(),
        last: Mutex::default(),
    });
    for family in families().iter().chain(more) {
        let name = match (export.prefix(), family.kind()) {
            (prefix, Kind::Durations) => join(prefix, &format!("{}_seconds", family.name())),
            (prefix, _) => join(prefix, family.name()),
        };
        let watch = |part: Part| Watch {
            source: source.clone(),
            metric: name.as_str().into(),
            part,
            seen: AtomicU64::new(0),
        };
        match family.kind() {
            Kind::Counter => count(meter, name.clone(), family.help(), watch(Part::Value)),
            Kind::Gauge => {
                let watch = watch(Part::Value);
                meter
                    .f64_observable_gauge(name.clone())
                    .with_description(family.help())
                    .with_callback(move |instrument| watch.tell_f64(instrument))
                    .build();
            }
            Kind::Durations => {
                count(
                    meter,
                    format!("{name}_bucket"),
                    family.help(),
                    watch(Part::Buckets),
                );
                count(meter, format!("{name}_count"), family.help(), watch(Part::Count));
                let watch = watch(Part::Sum);
                meter
                    .f64_observable_counter(format!("{name}_sum"))
                    .with_description(family.help())
                    .with_unit("s")
                    .with_callback(move |instrument| watch.tell_f64(instrument))
                    .build();
            }
            // What kinds there will be is not known here.
            _ => {}
        }
    }
}

fn join(prefix: &str, name: &str) -> String {
    match prefix {
        "" => name.to_owned(),
        prefix => format!("{prefix}_{name}"),
    }
}

fn count(meter: &Meter, name: String, help: &'static str, watch: Watch) {
    meter
        .u64_observable_counter(name)
        .with_description(help)
        .with_callback(move |instrument| watch.tell_u64(instrument))
        .build();
}

/// Where all instruments read.
struct Source {
    export: Export,
    // A lock is fine here: only those who collect take it.
    last: Mutex<Last>,
}

#[derive(Default)]
struct Last {
    round: u64,
    reading: Option<Arc<Reading>>,
}

/// What one instrument shows.
struct Watch {
    source: Arc<Source>,
    metric: Arc<str>,
    part: Part,
    /// The round that it has shown last.
    seen: AtomicU64,
}

#[derive(Clone, Copy)]
enum Part {
    Value,
    Buckets,
    Sum,
    Count,
}

impl Watch {
    /// The SDK asks one instrument after the other. The first that has shown what there is already begins a new round,
    /// and the others show what it has read.
    fn reading(&self) -> Arc<Reading> {
        let mut last = self.source.last.lock().unwrap_or_else(PoisonError::into_inner);
        let reading = match &last.reading {
            Some(reading) if self.seen.load(Relaxed) != last.round => reading.clone(),
            _ => {
                let reading = Arc::new(self.source.export.read());
                last.reading = Some(reading.clone());
                last.round += 1;
                reading
            }
        };
        self.seen.store(last.round, Relaxed);
        reading
    }

    fn each(&self, mut tell: impl FnMut(&Series)) {
        let reading = self.reading();
        let is_this = |metric: &&Metric| metric.name == self.metric;
        for metric in reading.metrics().iter().filter(is_this) {
            metric.series.iter().for_each(&mut tell);
        }
    }

    fn tell_u64(&self, instrument: &dyn AsyncInstrument<u64>) {
        self.each(|series| match (&series.point, self.part) {
            (Point::Counter(count), _) => instrument.observe(*count, &attributes(series)),
            (Point::Durations(durations), Part::Count) => {
                instrument.observe(durations.count(), &attributes(series));
            }
            (Point::Durations(durations), Part::Buckets) => tell_buckets(instrument, series, durations),
            _ => {}
        });
    }

    fn tell_f64(&self, instrument: &dyn AsyncInstrument<f64>) {
        self.each(|series| match (&series.point, self.part) {
            (Point::Gauge(value), _) => instrument.observe(*value, &attributes(series)),
            (Point::Durations(durations), Part::Sum) => {
                instrument.observe(durations.sum, &attributes(series))
            }
            _ => {}
        });
    }
}

/// Cumulative, as Prometheus has them.
fn tell_buckets(instrument: &dyn AsyncInstrument<u64>, series: &Series, durations: &Durations) {
    let mut attributes = attributes(series);
    let mut seen = 0;
    for (bound, count) in &durations.buckets {
        seen += count;
        let bound = if bound.is_infinite() {
            "+Inf".to_owned()
        } else {
            bound.to_string()
        };
        attributes.push(KeyValue::new("le", bound));
        instrument.observe(seen, &attributes);
        attributes.pop();
    }
}

fn attributes(series: &Series) -> Vec<KeyValue> {
    series
        .labels
        .iter()
        .map(|(key, value)| KeyValue::new(*key, value.clone()))
        .collect()
}
