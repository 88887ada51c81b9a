use std::sync::Arc;

use super::TraceId;
use crate::config::{ConfigError, Problems};

/// What there is to choose about trace-ids; from [`TraceId::builder`] or, of a policy that runs,
/// [`TraceId::options`].
#[derive(Clone, Debug, PartialEq)]
#[must_use = "a builder does nothing until it is built"]
pub struct TraceIdBuilder {
    pub(super) name: Option<Arc<str>>,
    pub(super) accept: bool,
    pub(super) answer: bool,
    pub(super) propagate: bool,
    pub(super) spans: bool,
    pub(super) access_log: bool,
    pub(super) sampled: f64,
}

impl Default for TraceIdBuilder {
    fn default() -> Self {
        Self {
            name: None,
            accept: true,
            answer: true,
            propagate: true,
            spans: true,
            access_log: true,
            sampled: 1.0,
        }
    }
}

impl TraceIdBuilder {
    /// The name in spans, in the access log and in the registry. Without one it is named by the stack it is put into.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Whether a server goes on with the ids that its callers send (`true`). Where it does not, a request from outside
    /// begins a trace of its own, and the ids are taken out of it.
    pub fn accept(mut self, accept: bool) -> Self {
        self.accept = accept;
        self
    }

    /// Whether a server tells its callers the id, in `x-request-id` (`true`).
    ///
    /// The value is marked as sensitive (`HeaderValue::set_sensitive`), which keeps it out of the tables of HTTP/2,
    /// and in the server's own process out of the `Debug` of the response's headers.
    pub fn answer(mut self, answer: bool) -> Self {
        self.answer = answer;
        self
    }

    /// Whether a client sends the ids on (`true`). Switch it off where something else does, such as an
    /// OpenTelemetry layer further in.
    pub fn propagate(mut self, propagate: bool) -> Self {
        self.propagate = propagate;
        self
    }

    /// Whether each call has a `tracing` span, as far as one is wanted under the target `buttress::trace_id` (`true`).
    pub fn spans(mut self, spans: bool) -> Self {
        self.spans = spans;
        self
    }

    /// Whether each call has a line in the access log, as far as one is wanted under the target `buttress::access`
    /// (`true`).
    pub fn access_log(mut self, access_log: bool) -> Self {
        self.access_log = access_log;
        self
    }

    /// The share, 0 to 1, of the traces begun here that are marked as sampled (1). Others go by that mark: most
    /// OpenTelemetry SDKs record what is marked and nothing else. The decision is one over the id, as OpenTelemetry's
    /// own samplers make it, so two services with one share mark the same traces.
    pub fn sampled(mut self, share: f64) -> Self {
        self.sampled = share;
        self
    }

    /// Checks the options and makes the policy.
    ///
    /// # Errors
    ///
    /// A share that is none.
    pub fn build(self) -> Result<TraceId, ConfigError> {
        self.check()?;
        Ok(TraceId::from_checked(self))
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let mut problems = Problems::new();
        problems.check(
            (0.0..=1.0).contains(&self.sampled),
            "sampled",
            self.sampled,
            "a share, 0 to 1",
        );
        problems.into_result()
    }
}
