use std::fmt;

use super::{
    ConfigError, Problem,
    error::{LISTED, join},
};

/// Collects what is wrong, so that all of it can be said at once.
#[derive(Debug, Default)]
#[must_use = "problems that nobody looks at are not refused"]
pub struct Problems {
    problems: Vec<Problem>,
    omitted: usize,
}

impl Problems {
    /// None yet.
    pub const fn new() -> Self {
        Self {
            problems: Vec::new(),
            omitted: 0,
        }
    }

    /// Notes a problem with the option `key` unless `right`, and returns `right`.
    ///
    /// Of `found` the first 64 characters are kept; `allowed` says what the option may be: `"1 to 1024"`. Show
    /// durations with [`Human`](crate::duration::Human).
    pub fn check(&mut self, right: bool, key: &str, found: impl fmt::Display, allowed: &str) -> bool {
        if !right {
            self.add(Problem::new(key, found, allowed));
        }
        right
    }

    /// Notes a problem. An error lists the first 100 and counts the rest.
    pub fn add(&mut self, problem: Problem) {
        if self.problems.len() < LISTED {
            self.problems.push(problem);
        } else {
            self.omitted += 1;
        }
    }

    /// Takes what `result` has, or notes all its problems as those of what is at `path`: `open_for` becomes
    /// `upstream.open_for`. An empty path changes no key.
    pub fn accept<T>(&mut self, path: &str, result: Result<T, ConfigError>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                let (problems, omitted) = error.prefixed(path).into_parts();
                problems.into_iter().for_each(|p| self.add(p));
                self.omitted += omitted;
                None
            }
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    /// Nothing, if there was no problem.
    ///
    /// # Errors
    ///
    /// All the problems, if there was one.
    pub fn into_result(self) -> Result<(), ConfigError> {
        if self.problems.is_empty() {
            Ok(())
        } else {
            Err(ConfigError::of(self.problems, self.omitted))
        }
    }

    /// Notes that a key is there that nothing reads.
    pub(super) fn unknown_key(&mut self, path: &str, name: &str, known: &[String]) {
        let key = join(path, &super::error::segment(name));
        let near = super::nearest::nearest(name, known.iter().map(String::as_str));
        self.add(match near {
            Some(near) => Problem::new(key, "an unknown key", "a known one")
                .with_hint(format_args!("did you mean `{near}`?")),
            None if known.is_empty() => Problem::new(key, "an unknown key", "nothing here"),
            None => Problem::new(key, "an unknown key", one_of(known.iter(), '`')),
        });
    }
}

/// `one of "full", "equal"`.
pub(super) fn one_of<T: fmt::Display>(choices: impl Iterator<Item = T>, quote: char) -> String {
    let mut text = String::from("one of ");
    for (i, choice) in choices.enumerate() {
        if i > 0 {
            text.push_str(", ");
        }
        text.push_str(&format!("{quote}{choice}{quote}"));
    }
    text
}
