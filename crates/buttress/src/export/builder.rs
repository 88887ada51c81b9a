use std::{sync::Arc, time::Duration};

use super::Export;
use crate::{
    config::{ConfigError, Problems, Section},
    duration::Human,
    registry::Registry,
};

/// What there is to choose about exported metrics; from [`Export::builder`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it is built"]
pub struct ExportBuilder {
    prefix: Arc<str>,
    buckets: Vec<Duration>,
}

/// From a millisecond to ten seconds.
const BUCKETS: [u64; 13] = [
    1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000,
    10_000_000,
];

impl Default for ExportBuilder {
    fn default() -> Self {
        Self {
            prefix: "buttress".into(),
            buckets: BUCKETS.map(Duration::from_micros).to_vec(),
        }
    }
}

impl ExportBuilder {
    /// What every name begins with, and an underscore after it (`buttress`); empty for none.
    pub fn prefix(mut self, prefix: impl Into<Arc<str>>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// The bounds of durations' buckets (13 of them, 1 ms to 10 s). What is kept is finer, and a duration that is within
    /// 6.25 % of a bound may be counted on its other side.
    pub fn buckets(mut self, bounds: impl IntoIterator<Item = Duration>) -> Self {
        self.buckets = bounds.into_iter().collect();
        self
    }

    /// Reads the options from a section; what is absent keeps its default.
    ///
    /// ```toml
    /// [metrics]
    /// prefix = "middleware"
    /// buckets = ["5ms", "50ms", "500ms", "5s"]
    /// ```
    pub fn read(section: &mut Section<'_, '_>) -> Self {
        let mut options = Self::default();
        if let Some(prefix) = section.text("prefix") {
            options.prefix = prefix.into();
        }
        if let Some(bounds) = section.list("buckets", |item| item.duration()) {
            options.buckets = bounds;
        }
        options
    }

    /// Checks the options, for the policies of that registry.
    ///
    /// # Errors
    ///
    /// A prefix that cannot begin a name, bounds that are not ascending or more than a hundred.
    pub fn build(self, registry: &Registry) -> Result<Export, ConfigError> {
        self.check()?;
        Ok(self.unchecked(registry))
    }

    pub(super) fn unchecked(self, registry: &Registry) -> Export {
        Export::from_checked(registry.clone(), self.prefix, self.buckets)
    }

    /// Checks the options alone.
    ///
    /// # Errors
    ///
    /// As [`build`](Self::build).
    pub fn check(&self) -> Result<(), ConfigError> {
        let mut problems = Problems::new();
        let of_a_name = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        let prefix = self.prefix.as_bytes();
        problems.check(
            prefix.iter().all(|b| of_a_name(*b)) && !prefix.first().is_some_and(u8::is_ascii_digit),
            "prefix",
            &self.prefix,
            "letters, digits and underscores, not a digit first",
        );
        for pair in self.buckets.windows(2) {
            problems.check(
                pair[0] < pair[1],
                "buckets",
                Human(pair[1]),
                "more than the one before it",
            );
        }
        if let Some(first) = self.buckets.first() {
            problems.check(
                !first.is_zero(),
                "buckets",
                Human(*first),
                "a duration above zero",
            );
        }
        problems.check(
            self.buckets.len() <= 100,
            "buckets",
            self.buckets.len(),
            "at most 100 bounds",
        );
        problems.into_result()
    }
}
