use std::fmt::{self, Write};

/// How much of a value, or of a key that nobody expected, an error repeats, in characters.
const QUOTED: usize = 64;

/// How many problems an error lists: whoever has more than these has the wrong file.
pub(super) const LISTED: usize = 100;

/// One thing that is wrong: where, what was found, and what is allowed there.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    key: String,
    found: String,
    allowed: String,
    hint: Option<String>,
}

impl Problem {
    /// A problem with the option of that name (or that path, as in `upstream.open_for`).
    ///
    /// Of `found` the first 64 characters are kept, on one line, for it may come from anywhere.
    #[must_use]
    pub fn new(key: impl Into<String>, found: impl fmt::Display, allowed: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            found: brief(found),
            allowed: allowed.into(),
            hint: None,
        }
    }

    /// Adds what the user probably meant, or why the value was not understood.
    #[must_use]
    pub fn with_hint(mut self, hint: impl fmt::Display) -> Self {
        self.hint = Some(brief(hint));
        self
    }

    /// The path of names to the value.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// What is there, cut short if it is long.
    #[must_use]
    pub fn found(&self) -> &str {
        &self.found
    }

    /// What may be there.
    #[must_use]
    pub fn allowed(&self) -> &str {
        &self.allowed
    }

    /// What was probably meant, or why the value was not understood.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: found {}, expected {}", self.key, self.found, self.allowed)?;
        match &self.hint {
            Some(hint) => write!(f, ": {hint}"),
            None => Ok(()),
        }
    }
}

/// Options that cannot be used: every problem that there is, not only the first.
///
/// It prints one line for each, without a final line break.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// At least one, at most [`LISTED`].
    problems: Vec<Problem>,
    omitted: usize,
}

impl ConfigError {
    /// The error of a single problem. See [`Problem::new`].
    #[must_use]
    pub fn one(key: impl Into<String>, found: impl fmt::Display, allowed: impl Into<String>) -> Self {
        Self::from(Problem::new(key, found, allowed))
    }

    /// `problems` holds at least one.
    pub(super) fn of(problems: Vec<Problem>, omitted: usize) -> Self {
        debug_assert!(!problems.is_empty());
        Self { problems, omitted }
    }

    pub(super) fn into_parts(self) -> (Vec<Problem>, usize) {
        (self.problems, self.omitted)
    }

    /// The problems, at least one and at most 100, in the order in which they were found.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// How many problems there are beside those in [`problems`](Self::problems).
    #[must_use]
    pub fn omitted(&self) -> usize {
        self.omitted
    }

    /// Puts `prefix` before every key: `open_for` becomes `upstream.open_for`.
    #[must_use]
    pub fn prefixed(mut self, prefix: &str) -> Self {
        for problem in &mut self.problems {
            problem.key = join(prefix, &problem.key);
        }
        self
    }

    /// Both errors' problems in one.
    #[must_use]
    pub fn merge(mut self, other: Self) -> Self {
        let room = LISTED.saturating_sub(self.problems.len());
        self.omitted += other.omitted + other.problems.len().saturating_sub(room);
        self.problems.extend(other.problems.into_iter().take(room));
        self
    }
}

impl From<Problem> for ConfigError {
    fn from(problem: Problem) -> Self {
        Self::of(vec![problem], 0)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.problems.iter().enumerate() {
            if i > 0 {
                f.write_char('\n')?;
            }
            problem.fmt(f)?;
        }
        match self.omitted {
            0 => Ok(()),
            n => write!(f, "\nand {n} more"),
        }
    }
}

impl std::error::Error for ConfigError {}

/// The path of `key` inside of what is at `path`.
pub(super) fn join(path: &str, key: &str) -> String {
    match (path, key) {
        ("", _) => key.to_owned(),
        (_, "") => path.to_owned(),
        _ if key.starts_with('[') => format!("{path}{key}"),
        _ => format!("{path}.{key}"),
    }
}

/// A name as part of a path: quoted, as TOML does it, where a bare one would mislead.
pub(super) fn segment(name: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !name.is_empty() && name.len() <= QUOTED && name.chars().all(bare) {
        name.to_owned()
    } else {
        brief(format_args!("{name:?}"))
    }
}

/// What `value` prints, on one line and cut short. Printing stops there too, so a huge value costs no more.
fn brief(value: impl fmt::Display) -> String {
    struct Brief {
        text: String,
        left: usize,
    }

    impl Write for Brief {
        fn write_str(&mut self, s: &str) -> fmt::Result {
            for c in s.chars() {
                let width = if c.is_control() { c.escape_debug().len() } else { 1 };
                self.left = self.left.checked_sub(width).ok_or(fmt::Error)?;
                if c.is_control() {
                    self.text.extend(c.escape_debug());
                } else {
                    self.text.push(c);
                }
            }
            Ok(())
        }
    }

    let mut out = Brief {
        text: String::new(),
        left: QUOTED,
    };
    if write!(out, "{value}").is_err() {
        out.text.push('…');
    }
    out.text
}
