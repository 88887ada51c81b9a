use std::{sync::Arc, time::Duration};

use super::{Timeout, limit::check};
use crate::config::{ConfigError, Problems};

/// The limits of a [`Timeout`], from [`Timeout::after`], [`Timeout::builder`] or, for one that runs,
/// [`Timeout::options`]. Each is off unless set, and `None` switches it off.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "a builder does nothing until it is built"]
pub struct TimeoutBuilder {
    pub(super) name: Option<Arc<str>>,
    pub(super) attempt: Option<Duration>,
    pub(super) body_idle: Option<Duration>,
    pub(super) body_total: Option<Duration>,
}

impl TimeoutBuilder {
    /// The name in rejections and the registry. Without one it is named by the stack it is put into.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// How long an attempt may take to its answer, or for HTTP to the headers of its answer.
    pub fn attempt(mut self, time: impl Into<Option<Duration>>) -> Self {
        self.attempt = time.into();
        self
    }

    /// How long a response body may be silent while somebody waits for its next frame.
    pub fn body_idle(mut self, time: impl Into<Option<Duration>>) -> Self {
        self.body_idle = time.into();
        self
    }

    /// How long a response body may take as a whole, from the headers on.
    pub fn body_total(mut self, time: impl Into<Option<Duration>>) -> Self {
        self.body_total = time.into();
        self
    }

    /// Checks the limits and makes the policy.
    ///
    /// # Errors
    ///
    /// Every limit that makes no sense, all at once: zero, which would be an outage, or more than a year.
    pub fn build(self) -> Result<Timeout, ConfigError> {
        self.check()?;
        Ok(Timeout::from_checked(self))
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let mut problems = Problems::new();
        check(&mut problems, "attempt", self.attempt);
        check(&mut problems, "body_idle", self.body_idle);
        check(&mut problems, "body_total", self.body_total);
        problems.into_result()
    }
}
