use std::sync::Arc;

use super::{Exemplar, Family, Kind};
use crate::histogram;

/// What the policies count, gathered: each writes its own in
/// [`Policy::samples`](crate::registry::Policy::samples).
#[derive(Debug, Default)]
pub struct Samples {
    pub(super) all: Vec<Sample>,
}

/// One number, or one histogram, under its labels.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) family: &'static Family,
    pub(super) labels: Vec<(&'static str, Arc<str>)>,
    pub(super) value: Value,
    pub(super) exemplar: Option<Exemplar>,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    Counter(u64),
    Gauge(f64),
    Durations(histogram::Snapshot),
}

impl Samples {
    /// A counter's value: everything ever counted, whatever was reset meanwhile.
    pub fn counter(&mut self, family: &'static Family, labels: &[(&'static str, &str)], value: u64) {
        debug_assert_eq!(family.kind(), Kind::Counter, "{}", family.name());
        self.push(family, labels, Value::Counter(value));
    }

    /// The same, and one of the calls that were counted.
    pub fn counter_with(
        &mut self,
        family: &'static Family,
        labels: &[(&'static str, &str)],
        value: u64,
        exemplar: Option<Exemplar>,
    ) {
        self.counter(family, labels, value);
        if let Some(sample) = self.all.last_mut() {
            sample.exemplar = exemplar;
        }
    }

    /// A gauge's value.
    pub fn gauge(&mut self, family: &'static Family, labels: &[(&'static str, &str)], value: f64) {
        debug_assert_eq!(family.kind(), Kind::Gauge, "{}", family.name());
        self.push(family, labels, Value::Gauge(value));
    }

    /// Durations.
    pub fn durations(
        &mut self,
        family: &'static Family,
        labels: &[(&'static str, &str)],
        value: histogram::Snapshot,
    ) {
        debug_assert_eq!(family.kind(), Kind::Durations, "{}", family.name());
        self.push(family, labels, Value::Durations(value));
    }

    fn push(&mut self, family: &'static Family, labels: &[(&'static str, &str)], value: Value) {
        let labels = labels.iter().map(|(key, value)| (*key, Arc::from(*value)));
        self.all.push(Sample {
            family,
            labels: labels.collect(),
            value,
            exemplar: None,
        });
    }
}
