use std::{fmt, ops::RangeInclusive, str::FromStr, time::Duration};

use super::{Problem, Problems, Section, error::join, nearest::nearest, problems::one_of};
use crate::{duration, size, value::Value};

const DURATION: &str =
    "a duration: a number and a unit (d, h, m, s, ms, us, ns), as in \"250ms\" or \"1m30s\"";

/// One value being read, with the key under which it was found.
///
/// Each method reads it as something, or notes a problem and returns `None`.
#[derive(Debug)]
#[must_use = "a setting that nobody reads has no effect"]
pub struct Setting<'p, 'a> {
    key: String,
    value: &'a Value,
    problems: &'p mut Problems,
}

impl<'p, 'a> Setting<'p, 'a> {
    pub(super) fn at(key: String, value: &'a Value, problems: &'p mut Problems) -> Self {
        Self { key, value, problems }
    }

    /// The path of names that leads to this value.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The value as it stands.
    #[must_use]
    pub fn value(&self) -> &'a Value {
        self.value
    }

    /// Notes that the value cannot be used, and what could.
    pub fn refuse(self, allowed: &str) {
        self.problem::<()>(allowed.to_owned(), None);
    }

    /// A text.
    pub fn text(self) -> Option<&'a str> {
        match self.value {
            Value::Text(text) => Some(text),
            Value::UInt(_) | Value::Int(_) | Value::Bool(_) => {
                let hint = format!("write \"{}\"", self.value);
                self.problem("a text".to_owned(), Some(hint))
            }
            _ => self.problem("a text".to_owned(), None),
        }
    }

    /// `true` or `false`.
    pub fn boolean(self) -> Option<bool> {
        let hint = match self.value {
            Value::Bool(truth) => return Some(*truth),
            Value::Text(text) => match text.trim().to_ascii_lowercase().as_str() {
                "true" | "yes" | "on" | "1" => Some("write true without quotes"),
                "false" | "no" | "off" | "0" => Some("write false without quotes"),
                _ => None,
            },
            Value::UInt(1) => Some("write true"),
            Value::UInt(0) => Some("write false"),
            _ => None,
        };
        self.problem("true or false".to_owned(), hint.map(str::to_owned))
    }

    /// A whole number in `range`, of any integer type.
    pub fn number<T>(self, range: RangeInclusive<T>) -> Option<T>
    where
        T: TryFrom<i128> + PartialOrd + fmt::Display,
    {
        let fit = |n: i128| T::try_from(n).ok().filter(|n| range.contains(n));
        let hint = match self.value {
            Value::UInt(n) => match fit(i128::from(*n)) {
                Some(n) => return Some(n),
                None => None,
            },
            Value::Int(n) => match fit(i128::from(*n)) {
                Some(n) => return Some(n),
                None => None,
            },
            // Whole numbers up to here are exact in an `f64`.
            Value::Float(x) if x.fract() == 0.0 && x.abs() < 9e15 => {
                fit(*x as i128).map(|n| format!("write {n}"))
            }
            Value::Text(text) => {
                let n = text.trim().parse().ok().and_then(fit);
                n.map(|n| format!("write {n} without quotes"))
            }
            _ => None,
        };
        let allowed = format!("a whole number, {} to {}", range.start(), range.end());
        self.problem(allowed, hint)
    }

    /// A number in `range`, whole or not: a share, a rate, a factor. What is not a finite number never fits.
    pub fn ratio(self, range: RangeInclusive<f64>) -> Option<f64> {
        let fits = |x: &f64| x.is_finite() && range.contains(x);
        let percent = |x: f64| {
            let share = x / 100.0;
            let meant = x > 1.0 && x.fract() == 0.0 && *range.end() <= 1.0 && fits(&share);
            meant.then(|| format!("write {share} for {x} %"))
        };
        let hint = match self.value {
            Value::Text(text) => {
                let text = text.trim();
                let number = text.trim_end_matches('%').trim_end().parse::<f64>().ok();
                match number {
                    Some(x) if !text.ends_with('%') && fits(&x) => Some(format!("write {x} without quotes")),
                    Some(x) => percent(x),
                    None => None,
                }
            }
            value => match value.as_f64() {
                Some(x) if fits(&x) => return Some(x),
                Some(x) => percent(x),
                None => None,
            },
        };
        let allowed = format!("a number, {} to {}", range.start(), range.end());
        self.problem(allowed, hint)
    }

    /// A duration, as in `"30s"`. See [`duration::parse`].
    pub fn duration(self) -> Option<Duration> {
        let seconds = |number: &dyn fmt::Display| {
            let text = format!("{number}s");
            duration::parse(&text)
                .is_ok()
                .then(|| format!("write \"{text}\""))
        };
        let hint = match self.value {
            Value::Text(text) => match duration::parse(text) {
                Ok(duration) => return Some(duration),
                Err(error) => seconds(text).or_else(|| Some(error.why().to_owned())),
            },
            // A number beyond what a duration holds, or below zero, is no number of seconds either.
            Value::UInt(n) => seconds(n),
            Value::Float(x) if x.is_finite() => seconds(x),
            _ => None,
        };
        self.problem(DURATION.to_owned(), hint)
    }

    /// A size in bytes, as in `"64KiB"`, of at most `most`. See [`size::parse`].
    pub fn size(self, most: u64) -> Option<u64> {
        let hint = match self.value {
            Value::Text(text) => match size::parse(text) {
                Ok(size) if size <= most => return Some(size),
                Ok(_) => None,
                Err(error) => Some(error.why().to_owned()),
            },
            Value::UInt(n) if *n <= most => Some(format!("write \"{}\"", size::Human(*n))),
            _ => None,
        };
        let most = size::Human(most);
        let allowed = format!("a size up to {most}: a number and a unit, as in \"64KiB\"");
        self.problem(allowed, hint)
    }

    /// A text that `T` understands; `allowed` says which those are:
    /// `listen.parse::<SocketAddr>("an address and a port, as in \"127.0.0.1:8080\"")`.
    pub fn parse<T>(self, allowed: &str) -> Option<T>
    where
        T: FromStr<Err: fmt::Display>,
    {
        let Value::Text(text) = self.value else {
            return self.problem(allowed.to_owned(), None);
        };
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => self.problem(allowed.to_owned(), Some(error.to_string())),
        }
    }

    /// What stands beside the text that was found: `jitter.one_of(&[("full", Jitter::Full), ("none", Jitter::None)])`.
    pub fn one_of<T: Clone>(self, choices: &[(&str, T)]) -> Option<T> {
        let names = || choices.iter().map(|(name, _)| *name);
        let mut hint = None;
        if let Value::Text(text) = self.value {
            if let Some((_, choice)) = choices.iter().find(|(name, _)| name == text) {
                return Some(choice.clone());
            }
            hint = nearest(text, names()).map(|near| format!("did you mean \"{near}\"?"));
        }
        self.problem(one_of(names(), '"'), hint)
    }

    /// `Some(None)` for `"off"`, else what `read` makes of the value: `budget.or_off(Setting::duration)`.
    pub fn or_off<T>(self, read: impl FnOnce(Self) -> Option<T>) -> Option<Option<T>> {
        match self.value.as_str() {
            Some("off") => Some(None),
            _ => read(self).map(Some),
        }
    }

    /// A list, each item read by `read`, whose keys are `name[0]`, `name[1]` and so on. Items for which it returns
    /// `None` are left out.
    pub fn list<T>(self, mut read: impl FnMut(Setting<'_, 'a>) -> Option<T>) -> Option<Vec<T>> {
        let Value::List(items) = self.value else {
            return self.problem("a list".to_owned(), None);
        };
        let read_item = |(i, value)| {
            let key = join(&self.key, &format!("[{i}]"));
            read(Setting::at(key, value, &mut *self.problems))
        };
        Some(items.iter().enumerate().filter_map(read_item).collect())
    }

    /// A table.
    pub fn section(self) -> Option<Section<'p, 'a>> {
        match self.value {
            Value::Table(table) => Some(Section::at(self.key, table, self.problems)),
            _ => self.problem("a table".to_owned(), None),
        }
    }

    fn problem<T>(self, allowed: String, hint: Option<String>) -> Option<T> {
        let problem = Problem::new(self.key, Found(self.value), allowed);
        self.problems.add(match hint {
            Some(hint) => problem.with_hint(hint),
            None => problem,
        });
        None
    }
}

/// A value as a configuration file would have it: JSON, but for numbers that JSON does not know.
struct Found<'a>(&'a Value);

impl fmt::Display for Found<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::Float(x) if x.is_nan() => f.write_str("nan"),
            // Shows `5.0` as what it is, and `1e300` in few letters.
            Value::Float(x) => write!(f, "{x:?}"),
            value => value.fmt(f),
        }
    }
}
