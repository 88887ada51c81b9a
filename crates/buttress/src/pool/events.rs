use std::{fmt, sync::Arc, time::Duration};

use crate::duration::Human;

/// The detail of an event of a [`Pool`](super::Pool).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PoolEvent {
    /// An endpoint was added.
    Added {
        /// Its name.
        node: Arc<str>,
    },
    /// An endpoint was removed; calls that were on their way to it go on.
    Removed {
        /// Its name.
        node: Arc<str>,
    },
    /// An endpoint takes no new calls.
    Draining {
        /// Its name.
        node: Arc<str>,
    },
    /// An endpoint is out: no calls go to it but trials.
    NodeMarkedFailed {
        /// Its name.
        node: Arc<str>,
        /// Who found it failed.
        cause: Cause,
    },
    /// Its share of the calls goes to others.
    FailoverStarted {
        /// The endpoint that failed.
        from: Arc<str>,
    },
    /// The first call since then has succeeded elsewhere.
    FailoverCompleted {
        /// The endpoint that failed.
        from: Arc<str>,
        /// The endpoint that answered.
        to: Arc<str>,
        /// How long that took.
        took: Duration,
    },
    /// An endpoint that is out is on trial.
    RecoveryStarted {
        /// Its name.
        node: Arc<str>,
    },
    /// It did not stand the trial.
    RecoveryFailed {
        /// Its name.
        node: Arc<str>,
    },
    /// It did, and is eased back in.
    RecoveryCompleted {
        /// Its name.
        node: Arc<str>,
        /// How long it was out.
        failed_for: Duration,
    },
    /// The last endpoint is out: calls are refused.
    Exhausted,
}

/// Why an endpoint was marked as failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// Its breaker opened: calls failed.
    Breaker,
    /// Its health checks failed.
    HealthCheck,
}

/// How urgent an [`Alert`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Good to know: an endpoint is back.
    Info,
    /// Somebody should look: an endpoint is out.
    Warning,
    /// Somebody must look: no endpoint is left.
    Critical,
}

impl Severity {
    /// In `snake_case`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An event that somebody may want to be told of, from [`Pool::on_alert`](super::Pool::on_alert).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Alert {
    /// How urgent it is.
    pub severity: Severity,
    /// The pool's name.
    pub pool: Arc<str>,
    /// What happened.
    pub event: PoolEvent,
}

impl fmt::Display for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: pool `{}`: {}", self.severity, self.pool, self.event)
    }
}

impl PoolEvent {
    /// What happened, in `snake_case`, as it appears in logs.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Added { .. } => "node_added",
            Self::Removed { .. } => "node_removed",
            Self::Draining { .. } => "node_draining",
            Self::NodeMarkedFailed { .. } => "node_marked_failed",
            Self::FailoverStarted { .. } => "failover_started",
            Self::FailoverCompleted { .. } => "failover_completed",
            Self::RecoveryStarted { .. } => "recovery_started",
            Self::RecoveryFailed { .. } => "recovery_failed",
            Self::RecoveryCompleted { .. } => "recovery_completed",
            Self::Exhausted => "exhausted",
        }
    }

    /// The endpoint that it happened to.
    #[must_use]
    pub fn node(&self) -> Option<&Arc<str>> {
        match self {
            Self::Added { node }
            | Self::Removed { node }
            | Self::Draining { node }
            | Self::NodeMarkedFailed { node, .. }
            | Self::FailoverStarted { from: node }
            | Self::FailoverCompleted { from: node, .. }
            | Self::RecoveryStarted { node }
            | Self::RecoveryFailed { node }
            | Self::RecoveryCompleted { node, .. } => Some(node),
            Self::Exhausted => None,
        }
    }

    /// How urgent it is; `None` for what is no cause for an alert.
    #[must_use]
    pub const fn severity(&self) -> Option<Severity> {
        match self {
            Self::Exhausted => Some(Severity::Critical),
            Self::NodeMarkedFailed { .. } | Self::RecoveryFailed { .. } => Some(Severity::Warning),
            Self::FailoverCompleted { .. } | Self::RecoveryCompleted { .. } => Some(Severity::Info),
            _ => None,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Breaker => "its breaker opened",
            Self::HealthCheck => "its health checks fail",
        })
    }
}

impl fmt::Display for PoolEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Added { node } => write!(f, "`{node}` was added"),
            Self::Removed { node } => write!(f, "`{node}` was removed"),
            Self::Draining { node } => write!(f, "`{node}` takes no new calls"),
            Self::NodeMarkedFailed { node, cause } => write!(f, "`{node}` is out: {cause}"),
            Self::FailoverStarted { from } => write!(f, "calls for `{from}` go to others"),
            Self::FailoverCompleted { from, to, took } => {
                write!(f, "`{to}` answers for `{from}`, after {}", Human(*took))
            }
            Self::RecoveryStarted { node } => write!(f, "`{node}` is on trial"),
            Self::RecoveryFailed { node } => write!(f, "`{node}` did not stand the trial"),
            Self::RecoveryCompleted { node, failed_for } => {
                write!(f, "`{node}` is back, after {}", Human(*failed_for))
            }
            Self::Exhausted => f.write_str("no endpoint is left"),
        }
    }
}
