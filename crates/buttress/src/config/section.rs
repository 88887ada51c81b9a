use std::{fmt, ops::RangeInclusive, str::FromStr, time::Duration};

use super::{
    ConfigError, Problem, Problems, Setting,
    error::{join, segment},
};
use crate::value::{Table, Value};

/// A table being read: asked for its keys one by one, it notes what cannot be used, and in the end the keys that
/// it was never asked for.
///
/// Every reading method returns `None` where the key is absent (or `null`), and where its value is a problem: in
/// either case go on with the default, for a problem is reported in the end whatever is made of the rest.
///
/// A section that is inside another is read to its end, and dropped or [finished](Self::finish), before the outer
/// one is asked again; the compiler sees to that.
#[derive(Debug)]
pub struct Section<'p, 'a> {
    table: &'a Table,
    path: String,
    known: Vec<String>,
    problems: &'p mut Problems,
}

impl<'p, 'a> Section<'p, 'a> {
    /// The outermost section of a configuration. See [`read`](super::read) for a shorter way.
    pub fn root(table: &'a Table, problems: &'p mut Problems) -> Self {
        Self::at(String::new(), table, problems)
    }

    pub(super) fn at(path: String, table: &'a Table, problems: &'p mut Problems) -> Self {
        Self {
            table,
            path,
            known: Vec::new(),
            problems,
        }
    }

    /// The path of names that leads to this section; empty for the outermost.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Notes a problem for each of these keys that is absent.
    pub fn require(&mut self, keys: &[&str]) {
        for key in keys {
            if self.look(key).is_none() {
                let key = join(&self.path, &segment(key));
                self.problems.add(Problem::new(key, "nothing", "a value"));
            }
        }
    }

    /// The value of `key`, to be read as whatever it is.
    pub fn setting(&mut self, key: &str) -> Option<Setting<'_, 'a>> {
        let value = self.look(key)?;
        let key = join(&self.path, &segment(key));
        Some(Setting::at(key, value, self.problems))
    }

    /// A text.
    pub fn text(&mut self, key: &str) -> Option<&'a str> {
        self.setting(key)?.text()
    }

    /// `true` or `false`.
    pub fn boolean(&mut self, key: &str) -> Option<bool> {
        self.setting(key)?.boolean()
    }

    /// A whole number in `range`. See [`Setting::number`].
    pub fn number<T>(&mut self, key: &str, range: RangeInclusive<T>) -> Option<T>
    where
        T: TryFrom<i128> + PartialOrd + fmt::Display,
    {
        self.setting(key)?.number(range)
    }

    /// A number in `range`, whole or not: a share, a rate, a factor. See [`Setting::ratio`].
    pub fn ratio(&mut self, key: &str, range: RangeInclusive<f64>) -> Option<f64> {
        self.setting(key)?.ratio(range)
    }

    /// A duration, as in `"30s"`. See [`duration::parse`](crate::duration::parse).
    pub fn duration(&mut self, key: &str) -> Option<Duration> {
        self.setting(key)?.duration()
    }

    /// A size in bytes, as in `"64KiB"`, of at most `most`. See [`size::parse`](crate::size::parse).
    pub fn size(&mut self, key: &str, most: u64) -> Option<u64> {
        self.setting(key)?.size(most)
    }

    /// A text that `T` understands; `allowed` says which those are. See [`Setting::parse`].
    pub fn parse<T>(&mut self, key: &str, allowed: &str) -> Option<T>
    where
        T: FromStr<Err: fmt::Display>,
    {
        self.setting(key)?.parse(allowed)
    }

    /// What stands beside the text that was found. See [`Setting::one_of`].
    pub fn one_of<T: Clone>(&mut self, key: &str, choices: &[(&str, T)]) -> Option<T> {
        self.setting(key)?.one_of(choices)
    }

    /// A list, each item read by `read`. See [`Setting::list`].
    pub fn list<T>(&mut self, key: &str, read: impl FnMut(Setting<'_, 'a>) -> Option<T>) -> Option<Vec<T>> {
        self.setting(key)?.list(read)
    }

    /// A table inside this one.
    pub fn section(&mut self, key: &str) -> Option<Section<'_, 'a>> {
        self.setting(key)?.section()
    }

    /// Every key that has not been asked for yet, each read by `read`: for tables whose keys are names that the
    /// user chooses. Items for which `read` returns `None` are left out.
    pub fn each<T>(
        &mut self,
        mut read: impl FnMut(&'a str, Setting<'_, 'a>) -> Option<T>,
    ) -> Vec<(&'a str, T)> {
        let mut all = Vec::new();
        for (name, value) in self.table.iter() {
            if self.known.iter().any(|k| k == name) {
                continue;
            }
            self.known.push(name.to_owned());
            if *value == Value::Null {
                continue;
            }
            let key = join(&self.path, &segment(name));
            all.extend(read(name, Setting::at(key, value, self.problems)).map(|item| (name, item)));
        }
        all
    }

    /// Takes what `result` has, or notes all its problems as those of this section. For builders.
    pub fn accept<T>(&mut self, result: Result<T, ConfigError>) -> Option<T> {
        self.problems.accept(&self.path, result)
    }

    /// Notes a problem with the value of `key` (or with its absence) that only shows when values are compared:
    /// `section.refuse("max_backoff", "at least `initial_backoff`")`.
    pub fn refuse(&mut self, key: &str, allowed: &str) {
        match self.setting(key) {
            Some(setting) => setting.refuse(allowed),
            None => {
                let key = join(&self.path, &segment(key));
                self.problems.add(Problem::new(key, "nothing", allowed));
            }
        }
    }

    /// Ends the section: keys that were not asked for become problems. Dropping it does the same.
    pub fn finish(self) {
        drop(self);
    }

    fn look(&mut self, key: &str) -> Option<&'a Value> {
        if !self.known.iter().any(|k| k == key) {
            self.known.push(key.to_owned());
        }
        self.table.get(key).filter(|value| **value != Value::Null)
    }
}

impl Drop for Section<'_, '_> {
    fn drop(&mut self) {
        for (name, _) in self.table.iter() {
            if !self.known.iter().any(|k| k == name) {
                self.problems.unknown_key(&self.path, name, &self.known);
            }
        }
    }
}
