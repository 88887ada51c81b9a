//! The `metrics` facade: for applications that have a recorder already.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, TryLockError},
};

use ::metrics::{Key, Label, Level, Metadata, SharedString, Unit, with_recorder};

use super::{Durations, Export, Kind, Metric, Point};
use crate::histogram;

/// Publishes what has been counted since the last time into the `metrics` facade.
///
/// ```no_run
/// use std::time::Duration;
/// use buttress::{Registry, export::{Export, facade::Bridge}};
///
/// # async fn run(registry: Registry) {
/// let bridge = Bridge::new(Export::of(&registry));
/// tokio::spawn(async move {
///     loop {
///         bridge.publish();
///         tokio::time::sleep(Duration::from_secs(5)).await;
///     }
/// });
/// # }
/// ```
///
/// Counters are incremented by the difference, gauges set. A duration is recorded as the middle of the bucket that it is
/// in, many at a time: its sum is within 6.25 % of the true one, and with bounds like those of the
/// [`Export`](super::ExportBuilder::buckets) the recorder's buckets are the same.
///
/// Install the recorder first: what is published while there is none is gone.
///
/// # Clone
///
/// Clones publish each difference once among them.
#[derive(Clone)]
pub struct Bridge {
    pub(super) export: Export,
    // A lock is fine here: only those who publish take it, and nobody waits for it.
    ledger: Arc<Mutex<Ledger>>,
}

/// What has been published of a series, and in which round.
struct Published {
    value: Value,
    round: u64,
}

enum Value {
    Counter(u64),
    Durations(histogram::Snapshot),
}

#[derive(Default)]
struct Ledger {
    round: u64,
    series: HashMap<Key, Published>,
}

static METADATA: Metadata<'static> = Metadata::new("buttress", Level::INFO, Some("buttress"));

impl Bridge {
    /// A bridge that has published nothing yet.
    #[must_use]
    pub fn new(export: Export) -> Self {
        Self {
            export,
            ledger: Arc::default(),
        }
    }

    /// Publishes what has changed since the last time. Do it as often as the recorder is read. While another thread is
    /// at it, or the recorder itself calls this, nothing is done.
    pub fn publish(&self) {
        let mut ledger = match self.ledger.try_lock() {
            Ok(ledger) => ledger,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        let Ledger { round, series: known } = &mut *ledger;
        *round += 1;
        for metric in self.export.read().metrics() {
            let name = SharedString::from(metric.full_name());
            describe(metric, name.clone());
            for series in &metric.series {
                let labels = series
                    .labels
                    .iter()
                    .map(|(key, value)| Label::new(*key, value.clone()));
                let key = Key::from_parts(name.clone(), labels.collect::<Vec<_>>());
                let before = known.get(&key).map(|published| &published.value);
                let value = match &series.point {
                    Point::Counter(count) => count_up(&key, *count, before),
                    Point::Durations(durations) => record(&key, durations, before),
                    Point::Gauge(value) => {
                        with_recorder(|recorder| recorder.register_gauge(&key, &METADATA)).set(*value);
                        continue;
                    }
                };
                known.insert(key, Published { value, round: *round });
            }
        }
        // What is no longer there is forgotten: should it come back, it counts from zero.
        known.retain(|_, published| published.round == *round);
    }
}

fn describe(metric: &Metric, name: SharedString) {
    let (name, help) = (name.into(), metric.help.into());
    with_recorder(|recorder| match metric.kind {
        Kind::Counter => recorder.describe_counter(name, Some(Unit::Count), help),
        Kind::Gauge => recorder.describe_gauge(name, None, help),
        Kind::Durations => recorder.describe_histogram(name, Some(Unit::Seconds), help),
    });
}

fn count_up(key: &Key, count: u64, before: Option<&Value>) -> Value {
    let before = match before {
        Some(Value::Counter(before)) => *before,
        _ => 0,
    };
    // One that has gone down is another policy's, under the same name.
    let more = count.checked_sub(before).unwrap_or(count);
    with_recorder(|recorder| recorder.register_counter(key, &METADATA)).increment(more);
    Value::Counter(count)
}

fn record(key: &Key, durations: &Durations, before: Option<&Value>) -> Value {
    let now = &durations.exact;
    let before = match before {
        Some(Value::Durations(before)) if before.count() <= now.count() => Some(before),
        _ => None,
    };
    let histogram = with_recorder(|recorder| recorder.register_histogram(key, &METADATA));
    let mut old = before.into_iter().flat_map(histogram::Snapshot::buckets);
    for bucket in now.buckets() {
        let old = old.next().map_or(0, |bucket| bucket.count);
        let more = bucket.count.saturating_sub(old);
        if more > 0 {
            histogram.record_many(
                bucket.midpoint().as_secs_f64(),
                usize::try_from(more).unwrap_or(usize::MAX),
            );
        }
    }
    Value::Durations(now.clone())
}

impl fmt::Debug for Bridge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bridge")
            .field("export", &self.export)
            .finish_non_exhaustive()
    }
}
