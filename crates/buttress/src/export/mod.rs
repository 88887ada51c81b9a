//! What the policies count, in the form of whoever reads it.
//!
//! Each policy keeps its own books, and an exporter reads them when it is asked. So there is one set of books,
//! however many exporters there are; nothing is registered anywhere, a call pays nothing for being exported, and
//! nothing grows if nobody asks. All exporters show the same [`Reading`]: they cannot disagree.
//!
//! ```
//! # #[cfg(feature = "metrics")] {
//! use buttress::{Outcome, Registry, Token, export::Export, metrics::Metrics};
//!
//! let registry = Registry::new();
//! let metrics = Metrics::new().named("payments");
//! registry.register("payments", &metrics);
//! metrics.start().finish(Outcome::SUCCESS);
//!
//! let reading = Export::of(&registry).read();
//! let requests = reading.metrics().iter().find(|m| m.full_name() == "buttress_requests_total");
//! assert_eq!(requests.map(|m| m.series.len()), Some(7), "one for each outcome");
//! # }
//! ```
//!
//! | reader | feature | |
//! |---|---|---|
//! | `prometheus_client::collector::Collector` for [`Export`] | `prometheus` | OpenMetrics text and protobuf |
//! | [`Reading`], as text | always | the text format 0.0.4 of Prometheus |
//! | `facade::Bridge` | `metrics-facade` | differences, for whatever recorder the application has |
//! | the crate `buttress-opentelemetry` | | observable instruments |
//! | [`Registry::snapshot`](crate::Registry::snapshot) | always | JSON |
//!
//! # Metrics
//!
//! With the prefix `buttress`, which can be [another](ExportBuilder::prefix). The `name` and the `stack` are those in the
//! registry.
//!
//! | metric | labels | |
//! |---|---|---|
//! | `buttress_requests_total` | `stack`, `outcome`, ¹ | calls that have ended: `success`, `failure`, `neutral`, `rejected`, `timed_out`, `cancelled`, `panicked` |
//! | `buttress_request_errors_total` | `stack`, ¹ | those of them that were an error to the caller |
//! | `buttress_requests_in_flight` | `stack`, ¹ | calls that have not ended |
//! | `buttress_request_duration_seconds` | `stack`, ¹ | to the headers, or to the answer where it has none |
//! | `buttress_request_duration_to_end_seconds` | `stack`, ¹ | to the end of the response's body |
//! | `buttress_circuit_breaker_state` | `name`, `state` | 1 for the state that it is in, 0 for the others |
//! | `buttress_circuit_breaker_calls_total` | `name`, `outcome` | what its calls said of the service |
//! | `buttress_circuit_breaker_rejected_total` | `name` | calls that it refused |
//! | `buttress_circuit_breaker_slow_calls_total` | `name` | calls that were slow |
//! | `buttress_circuit_breaker_transitions_total` | `name`, `to` | changes of state |
//! | `buttress_keyed_circuit_breaker_keys` | `name`, `state` | how many keys have a breaker in that state |
//! | `buttress_keyed_circuit_breaker_overflowed_total` | `name` | new keys that found no room |
//! | `buttress_retry_calls_total` | `name` | calls that came to a retry |
//! | `buttress_retry_attempts_total` | `name` | attempts at them |
//! | `buttress_retry_recovered_total` | `name` | calls that failed at first and then succeeded |
//! | `buttress_retry_given_up_total` | `name`, `reason` | failures that got no other attempt |
//! | `buttress_retry_budget_balance` | `name` | retries that could be made at once |
//! | `buttress_hedge_calls_total` | `name` | calls that came to a hedge |
//! | `buttress_hedge_attempts_total` | `name` | attempts at them |
//! | `buttress_hedge_after_failure_total` | `name` | second attempts because the first had failed, not because it was slow |
//! | `buttress_hedge_won_total` | `name` | calls that were answered by their second attempt |
//! | `buttress_hedge_not_made_total` | `name`, `reason` | second attempts that were due and were not made |
//! | `buttress_hedge_delay_seconds` | `name` | how long a first attempt may take at present, if that is known |
//! | `buttress_hedge_budget_balance` | `name` | second attempts that could be made at once |
//! | `buttress_pool_calls_total` | `name` | calls that came to a pool |
//! | `buttress_pool_no_endpoint_total` | `name` | calls that no endpoint could take |
//! | `buttress_pool_usable_endpoints` | `name` | endpoints that a call may go to |
//! | `buttress_pool_out_of_budget_total` | `name` | calls that would have gone to another endpoint, had the budget had a failover left |
//! | `buttress_pool_budget_balance` | `name` | how many calls could go to another endpoint at once |
//! | `buttress_pool_endpoint_healthy` | `name`, `endpoint` | 1 for an endpoint that is neither failed nor recovering, else 0 |
//! | `buttress_pool_endpoint_usable` | `name`, `endpoint` | 1 for an endpoint that a call may go to, else 0 |
//! | `buttress_pool_endpoint_calls_total` | `name`, `endpoint`, `outcome` | calls at an endpoint that have ended, by what they said of it |
//! | `buttress_pool_endpoint_in_flight` | `name`, `endpoint` | calls at an endpoint that have not ended |
//! | `buttress_pool_endpoint_moved_total` | `name`, `endpoint` | failed calls that were made again at another endpoint |
//! | `buttress_pool_endpoint_weight` | `name`, `endpoint` | its weight as it counts now |
//! | `buttress_pool_endpoint_score` | `name`, `endpoint` | how well it does of late |
//! | `buttress_pool_endpoint_failed_for_seconds` | `name`, `endpoint` | for how long it has been out; 0 if it is not |
//! | `buttress_pool_failovers_total` | `name`, `endpoint` | times at which it failed and others answered for it |
//! | `buttress_pool_recoveries_total` | `name`, `endpoint` | times at which it came back |
//! | `buttress_fallback_answered_total` | `name`, `cause` | calls that a fallback answered, by what they had ended in |
//! | `buttress_fallback_unanswered_total` | `name`, `reason` | calls that it was for and did not answer: `declined`, `failed`, `not_repeatable` |
//! | `buttress_priority_limit` | `name` | calls that may run at a time, at present |
//! | `buttress_priority_running` | `name` | calls that run |
//! | `buttress_priority_queued` | `name`, `class` | calls that wait; the `class` is the named one at or below theirs |
//! | `buttress_priority_wait_seconds` | `name`, `class` | how long those who had to wait and then ran have waited |
//! | `buttress_priority_calls_total` | `name`, `outcome` | calls that were not refused: `completed`, `failed`, `cancelled`, and those that `left` the line |
//! | `buttress_priority_rejected_total` | `name`, `reason` | calls that were refused: `full`, `timeout`, `deadline`, `shed` |
//! | `buttress_priority_displaced_total` | `name` | those of them that had to leave the line for more important ones |
//! | `buttress_priority_shed_below` | `name` | the class, 20 to 100, below which the load has calls refused; 0 for none |
//! | `buttress_rate_limit_allowed_total` | `name` | calls that were let through |
//! | `buttress_rate_limit_limited_total` | `name` | calls that were refused |
//! | `buttress_rate_limit_waited_total` | `name` | calls that had to wait for their turn |
//! | `buttress_rate_limit_refunded_total` | `name` | calls that were not made after all, and gave their permits back |
//! | `buttress_rate_limit_waiting` | `name` | calls that wait for their turn |
//! | `buttress_rate_limit_remaining` | `name` | permits that can be had at once, of a limit that is one for all |
//! | `buttress_rate_limit_keys` | `name` | keys that have a limit each |
//! | `buttress_rate_limit_overflowed_total` | `name` | new keys that found no room |
//! | `buttress_timeouts_total` | `name`, `limit` | calls and bodies that were cut off: `attempt`, `deadline`, `deadline_in_body`, `body_idle`, `body_total` |
//! | `buttress_deadlines_expired_total` | `name`, `policy` | calls that were not made, for their deadline had passed |
//! | `buttress_panics_total` | `name`, `place` | panics that were caught |
//! | `buttress_traces_total` | `name`, `origin` | traces gone on with (`accepted`) and begun (`made`) |
//! | `buttress_trace_headers_refused_total` | `name` | ids from outside that were no ids |
//!
//! ¹ and `route`, where [`Metrics::by_route`](crate::metrics::Metrics::by_route) counts them.
//!
//! Counters only ever grow: no reset by hand lowers them, and an endpoint that takes the place of another of its name goes
//! on with what that has counted. Only with a policy do they go, as when a program ends: with what is removed from a
//! registry, with an endpoint that is removed, and with the breaker of one that is replaced, for it gets a new one.
//!
//! There are as many series as there are policies, and endpoints of pools, whose breakers and limits are
//! `{pool}:{endpoint}`. Of a keyed policy those keys are `{name}:{key}` that the policy itself names, and no others: a key
//! that comes from outside never becomes a label.

mod builder;
#[cfg(feature = "metrics-facade")]
pub mod facade;
mod family;
#[cfg(feature = "prometheus")]
mod prometheus;
mod reading;
mod samples;
mod text;

use std::{sync::Arc, time::Duration};

pub use builder::ExportBuilder;
pub use family::{Family, Kind, families};
pub use reading::{Durations, Exemplar, Metric, Point, Reading, Series};
pub use samples::Samples;

use crate::registry::Registry;

/// The metrics of all policies in a registry, under a prefix.
///
/// # Clone
///
/// Clones read the same registry.
#[derive(Clone, Debug)]
pub struct Export {
    registry: Registry,
    prefix: Arc<str>,
    buckets: Arc<[Duration]>,
}

impl Export {
    /// The metrics of that registry, as they are by default.
    #[must_use]
    pub fn of(registry: &Registry) -> Self {
        ExportBuilder::default().unchecked(registry)
    }

    /// The options to choose from.
    pub fn builder() -> ExportBuilder {
        ExportBuilder::default()
    }

    fn from_checked(registry: Registry, prefix: Arc<str>, buckets: Vec<Duration>) -> Self {
        Self {
            registry,
            prefix,
            buckets: buckets.into(),
        }
    }

    /// What every name begins with.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Reads the books of all policies.
    #[must_use]
    pub fn read(&self) -> Reading {
        Reading::of(self.registry.samples().all, &self.prefix, &self.buckets)
    }
}

#[cfg(all(
    test,
    not(loom),
    feature = "circuit-breaker",
    feature = "fallback",
    feature = "hedge",
    feature = "metrics",
    feature = "priority",
    feature = "rate-limit",
    feature = "recover",
    feature = "retry",
    feature = "timeout",
    feature = "trace-id"
))]
mod tests;
