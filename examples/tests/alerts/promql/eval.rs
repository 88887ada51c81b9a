use std::collections::BTreeMap;

use super::{Aggregator, Expr, Function, Labels, Matcher, Operator, Series};

/// How old a sample may be that counts for now, in seconds: Prometheus's default.
const LOOKBACK: f64 = 300.0;

/// What an expression comes to.
enum Value {
    Number(f64),
    Vector(Vec<(Labels, f64)>),
}

impl Expr {
    /// The series that it comes to at that second.
    pub(crate) fn vector(&self, store: &[Series], now: f64) -> Vec<(Labels, f64)> {
        match self.value(store, now) {
            Value::Vector(vector) => vector,
            Value::Number(number) => panic!("{number} is no series"),
        }
    }

    fn value(&self, store: &[Series], now: f64) -> Value {
        match self {
            Self::Number(number) => Value::Number(*number),
            Self::Selector { matchers, range } => {
                assert_eq!(*range, None, "a range by itself");
                let last = |series: &&Series| within(series, now, LOOKBACK).last().copied();
                let chosen = chosen(store, matchers);
                let values = chosen.filter_map(|series| Some((series.labels.clone(), last(&series)?.1)));
                Value::Vector(values.collect())
            }
            Self::Call { function, arguments } => Value::Vector(called(*function, arguments, store, now)),
            Self::Aggregation { operator, by, of } => {
                Value::Vector(aggregated(*operator, by, of.vector(store, now)))
            }
            Self::Binary { operator, sides } => {
                let (left, right) = &**sides;
                combined(*operator, left.value(store, now), right.value(store, now))
            }
        }
    }
}

impl Matcher {
    fn matches(&self, labels: &Labels) -> bool {
        // A label that is not there is empty.
        let found = labels.get(&self.label).map_or("", String::as_str);
        let equals = match self.is_pattern {
            true => self.value.split('|').any(|value| value == found),
            false => self.value == found,
        };
        equals == self.is_equal
    }
}

fn chosen<'a>(store: &'a [Series], matchers: &[Matcher]) -> impl Iterator<Item = &'a Series> {
    store
        .iter()
        .filter(|series| matchers.iter().all(|matcher| matcher.matches(&series.labels)))
}

/// The samples of the last so many seconds.
fn within(series: &Series, now: f64, seconds: f64) -> &[(f64, f64)] {
    let from = series.samples.partition_point(|(time, _)| *time < now - seconds);
    let to = series.samples.partition_point(|(time, _)| *time <= now);
    &series.samples[from..to]
}

fn without_name(labels: &Labels) -> Labels {
    let mut labels = labels.clone();
    labels.remove("__name__");
    labels
}

fn called(function: Function, arguments: &[Expr], store: &[Series], now: f64) -> Vec<(Labels, f64)> {
    let [
        Expr::Selector {
            matchers,
            range: Some(range),
        },
    ] = arguments
    else {
        panic!("{function:?} is parsed, not evaluated");
    };
    let of = |samples: &[(f64, f64)]| {
        let values = samples.iter().map(|(_, value)| *value);
        match function {
            Function::Rate => grown(samples, now, *range, *range),
            Function::Increase => grown(samples, now, *range, 1.0),
            Function::MaxOverTime => values.reduce(f64::max),
            Function::MinOverTime => values.reduce(f64::min),
            Function::HistogramQuantile => None,
        }
    };
    chosen(store, matchers)
        .filter_map(|series| Some((without_name(&series.labels), of(within(series, now, *range))?)))
        .collect()
}

/// By how much a counter grew in each `unit` of seconds, as Prometheus extrapolates it to the ends of the range: its
/// `extrapolatedRate`, in the same order, so that the last digit is the same.
fn grown(samples: &[(f64, f64)], now: f64, range: f64, unit: f64) -> Option<f64> {
    let (&(first_at, first), &(last_at, last)) = (samples.first()?, samples.last()?);
    if samples.len() < 2 {
        return None;
    }
    // One that went down began anew.
    let resets = samples.windows(2).filter(|pair| pair[1].1 < pair[0].1);
    let grown = last - first + resets.map(|pair| pair[0].1).sum::<f64>();
    let sampled = last_at - first_at;
    let apart = sampled / (samples.len() - 1) as f64;
    let mut to_start = first_at - (now - range);
    let to_end = now - last_at;
    if grown > 0.0 && first >= 0.0 {
        // It did not grow before it was zero.
        to_start = to_start.min(sampled * (first / grown));
    }
    let reach = |gap: f64| if gap < apart * 1.1 { gap } else { apart / 2.0 };
    Some(grown * ((sampled + reach(to_start) + reach(to_end)) / sampled / unit))
}

fn aggregated(operator: Aggregator, by: &[String], of: Vec<(Labels, f64)>) -> Vec<(Labels, f64)> {
    let mut groups: BTreeMap<Labels, Vec<f64>> = BTreeMap::new();
    for (labels, value) in of {
        let kept = labels.into_iter().filter(|(key, _)| by.contains(key));
        groups.entry(kept.collect()).or_default().push(value);
    }
    let value = |values: Vec<f64>| match operator {
        Aggregator::Sum => values.iter().sum(),
        Aggregator::Max => values.into_iter().reduce(f64::max).unwrap_or(f64::NAN),
        Aggregator::Min => values.into_iter().reduce(f64::min).unwrap_or(f64::NAN),
        Aggregator::Count => values.len() as f64,
        Aggregator::Avg => values.iter().sum::<f64>() / values.len() as f64,
    };
    groups
        .into_iter()
        .map(|(labels, values)| (labels, value(values)))
        .collect()
}

/// A comparison keeps the left side where it holds; arithmetic is done with what there is on both sides.
fn combined(operator: Operator, left: Value, right: Value) -> Value {
    use Operator::{And, Or, Unless};
    match (left, right) {
        (Value::Vector(mut left), Value::Vector(right)) if matches!(operator, And | Or | Unless) => {
            let has = |vector: &[(Labels, f64)], labels: &Labels| {
                let labels = without_name(labels);
                vector.iter().any(|(other, _)| without_name(other) == labels)
            };
            match operator {
                And => left.retain(|(labels, _)| has(&right, labels)),
                Unless => left.retain(|(labels, _)| !has(&right, labels)),
                _ => {
                    let more = right.into_iter().filter(|(labels, _)| !has(&left, labels));
                    let more: Vec<_> = more.collect();
                    left.extend(more);
                }
            }
            Value::Vector(left)
        }
        (Value::Vector(left), Value::Vector(right)) => {
            let other = |labels: &Labels| {
                let labels = without_name(labels);
                let mut found = right.iter().filter(|(l, _)| without_name(l) == labels);
                let one = found.next().map(|(_, value)| *value);
                assert!(found.next().is_none(), "several on the right of {labels:?}");
                one
            };
            let both = left
                .iter()
                .filter_map(|(labels, l)| Some((labels, operator.of(*l, other(labels)?)?)));
            Value::Vector(
                both.map(|(labels, value)| (operator.labels(labels), value))
                    .collect(),
            )
        }
        (Value::Vector(left), Value::Number(right)) => {
            let of = |(labels, l): &(Labels, f64)| Some((operator.labels(labels), operator.of(*l, right)?));
            Value::Vector(left.iter().filter_map(of).collect())
        }
        (Value::Number(left), Value::Number(right)) => {
            Value::Number(operator.of(left, right).expect("no comparison"))
        }
        (Value::Number(_), Value::Vector(_)) => panic!("a number on the left of {operator:?}"),
    }
}

impl Operator {
    fn compares(self) -> bool {
        !matches!(self, Self::Plus | Self::Minus | Self::Times | Self::DividedBy)
    }

    fn labels(self, labels: &Labels) -> Labels {
        match self.compares() {
            true => labels.clone(),
            false => without_name(labels),
        }
    }

    /// `None` where a comparison does not hold.
    fn of(self, left: f64, right: f64) -> Option<f64> {
        let holds = match self {
            Self::Plus => return Some(left + right),
            Self::Minus => return Some(left - right),
            Self::Times => return Some(left * right),
            Self::DividedBy => return Some(left / right),
            Self::Equal => left == right,
            Self::NotEqual => left != right,
            Self::Less => left < right,
            Self::LessOrEqual => left <= right,
            Self::Greater => left > right,
            Self::GreaterOrEqual => left >= right,
            Self::Or | Self::And | Self::Unless => panic!("{self:?} of numbers"),
        };
        holds.then_some(left)
    }
}
