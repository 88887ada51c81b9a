use std::{sync::Arc, time::Duration};

use super::Deadline;
use crate::{
    config::{ConfigError, Problems},
    duration::Human,
    timeout::limit::check,
};

/// The limits of a [`Deadline`], from [`Deadline::after`], [`Deadline::builder`] or, for one that runs,
/// [`Deadline::options`]. Each is off unless set, and `None` switches it off.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "a builder does nothing until it is built"]
pub struct DeadlineBuilder {
    pub(super) name: Option<Arc<str>>,
    pub(super) total: Option<Duration>,
    pub(super) default_total: Option<Duration>,
    pub(super) through_body: bool,
}

impl DeadlineBuilder {
    /// The name in rejections and the registry. Without one it is named by the stack it is put into.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// How long a call may take, whatever it asks for itself.
    pub fn total(mut self, time: impl Into<Option<Duration>>) -> Self {
        self.total = time.into();
        self
    }

    /// How long a call may take that comes with no deadline (as long as [`total`](Self::total) allows).
    pub fn default_total(mut self, time: impl Into<Option<Duration>>) -> Self {
        self.default_total = time.into();
        self
    }

    /// Whether the deadline is that of the response's body, too (`false`). Always so for gRPC, where a deadline is
    /// that of the whole call.
    pub fn through_body(mut self, through_body: bool) -> Self {
        self.through_body = through_body;
        self
    }

    /// Checks the limits and makes the policy.
    ///
    /// # Errors
    ///
    /// Every limit that makes no sense, all at once: zero, which would be an outage, more than a year, or a
    /// default above the total.
    pub fn build(self) -> Result<Deadline, ConfigError> {
        self.check()?;
        Ok(Deadline::from_checked(self))
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let mut problems = Problems::new();
        check(&mut problems, "total", self.total);
        check(&mut problems, "default_total", self.default_total);
        if let (Some(total), Some(default)) = (self.total, self.default_total) {
            problems.check(
                default <= total,
                "default_total",
                Human(default),
                "at most `total`",
            );
        }
        problems.into_result()
    }
}
