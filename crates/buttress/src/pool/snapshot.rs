use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use super::{
    balance::score,
    node::{Node, Phase},
};
use crate::{
    clock::Instant,
    value::{Table, Value},
};

/// What a pool knows of itself at one moment.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Snapshot {
    /// The pool's name.
    pub name: Arc<str>,
    /// How it chooses.
    pub balance: &'static str,
    /// The endpoints, in the order in which they were added.
    pub endpoints: Vec<EndpointSnapshot>,
    /// Calls that came in. One that failed over is one call here, and one at each endpoint that it was at.
    pub calls: u64,
    /// Calls that no endpoint could take.
    pub no_endpoint: u64,
    /// How often an endpoint failed and others answered for it.
    pub failovers: u64,
    /// How often an endpoint has come back.
    pub recoveries: u64,
    /// Calls that would have gone to another endpoint, had the budget had a failover left.
    pub out_of_budget: u64,
    /// How many calls could fail over at once; `None` without a budget.
    pub budget_balance: Option<f64>,
}

/// What a pool knows of one endpoint at one moment.
///
/// While calls are running it is not a single instant: one that ends meanwhile may be counted twice in `calls`, or
/// not at all.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct EndpointSnapshot {
    /// Its name.
    pub name: Arc<str>,
    /// Whether it has its share of the calls.
    pub phase: Phase,
    /// Was it taken out by hand?
    pub draining: bool,
    /// Do its checks say that it is well? They do where there are none.
    pub healthy: bool,
    /// Has it asked to be left alone?
    pub throttled: bool,
    /// May a call go to it now, or once its limit allows?
    pub usable: bool,
    /// Its weight as it was given.
    pub weight: u32,
    /// Its weight as it counts now, after a rebalance or while it is eased in.
    pub effective_weight: f64,
    /// Calls that have not ended.
    pub in_flight: u64,
    /// Calls that it got: those that have ended in one of the five ways below, and those in flight.
    pub calls: u64,
    /// Calls that succeeded.
    pub success: u64,
    /// Calls that failed.
    pub failure: u64,
    /// Calls at which it asked for less.
    pub throttled_calls: u64,
    /// Calls that said nothing about it.
    pub neutral: u64,
    /// Calls that were dropped before they were over.
    pub cancelled: u64,
    /// Of the calls that failed, those that were made again elsewhere.
    pub moved: u64,
    /// Which share of about its last 20 calls succeeded, 0 to 1; failures fade.
    pub success_rate: f64,
    /// The average time to a good answer, of about the last 20.
    pub average_latency: Option<Duration>,
    /// The worst time to an answer of late.
    pub peak_latency: Option<Duration>,
    /// `success rate × (1 − average latency / 10 s)`.
    pub score: f64,
    /// How often it failed and others answered for it.
    pub failovers: u64,
    /// How often it has come back.
    pub recoveries: u64,
    /// How long it has been out, if it is.
    pub failed_for: Option<Duration>,
    /// How long it has been out, all times together.
    pub failed_in_all: Duration,
}

impl Snapshot {
    /// How many endpoints a call may go to, now or once their limits allow.
    #[must_use]
    pub fn usable(&self) -> usize {
        self.endpoints.iter().filter(|endpoint| endpoint.usable).count()
    }

    /// The endpoint of that name.
    #[must_use]
    pub fn endpoint(&self, name: &str) -> Option<&EndpointSnapshot> {
        self.endpoints.iter().find(|endpoint| *endpoint.name == *name)
    }
}

impl EndpointSnapshot {
    pub(super) fn of(node: &Node, weight: u64, now: Instant) -> Self {
        let tick = node.hub.tick(now);
        let [
            success,
            failure,
            throttled,
            neutral,
            cancelled,
            moved,
            failovers,
            recoveries,
        ] = node.books.read();
        let in_flight = node.in_flight();
        let micros = |micros: f32| Duration::from_secs_f64(f64::from(micros) / 1e6);
        let (failed_for, failed_in_all) = node.failed_for(now);
        Self {
            name: node.name.clone(),
            phase: node.phase(),
            draining: node.is_draining(),
            healthy: node.is_healthy(),
            throttled: node.is_throttled(tick),
            usable: !node.is_out(now, tick),
            weight: node.weight.load(Relaxed),
            effective_weight: weight as f64 / 1000.0 * node.ramp(tick),
            in_flight,
            calls: success + failure + throttled + neutral + cancelled + in_flight,
            success,
            failure,
            throttled_calls: throttled,
            neutral,
            cancelled,
            moved,
            success_rate: node.measures.success_rate(tick).into(),
            average_latency: node.measures.last_average(tick).map(micros),
            peak_latency: node.measures.peak(tick).map(micros),
            score: score(node, tick),
            failovers,
            recoveries,
            failed_for,
            failed_in_all,
        }
    }
}

fn millis(time: Duration) -> Value {
    Value::Float(time.as_secs_f64() * 1000.0)
}

impl From<&Snapshot> for Table {
    fn from(s: &Snapshot) -> Self {
        let mut endpoints = Table::new();
        for endpoint in &s.endpoints {
            endpoints.insert(endpoint.name.to_string(), Table::from(endpoint));
        }
        Table::new()
            .with("balance", s.balance)
            .with("usable", s.usable() as u64)
            .with("calls", s.calls)
            .with("noEndpoint", s.no_endpoint)
            .with("failovers", s.failovers)
            .with("recoveries", s.recoveries)
            .with("outOfBudget", s.out_of_budget)
            .with("budgetBalance", s.budget_balance)
            .with("endpoints", endpoints)
    }
}

impl From<&EndpointSnapshot> for Table {
    fn from(e: &EndpointSnapshot) -> Self {
        Table::new()
            .with("state", e.phase.as_str())
            .with("usable", e.usable)
            .with("draining", e.draining)
            .with("healthy", e.healthy)
            .with("throttled", e.throttled)
            .with("weight", u64::from(e.weight))
            .with("effectiveWeight", e.effective_weight)
            .with("inFlight", e.in_flight)
            .with("requests", e.calls)
            .with("successCalls", e.success)
            .with("failureCalls", e.failure)
            .with("throttledCalls", e.throttled_calls)
            .with("neutralCalls", e.neutral)
            .with("cancelledCalls", e.cancelled)
            .with("movedCalls", e.moved)
            .with("successRate", e.success_rate)
            .with("avgLatency", e.average_latency.map_or(Value::Float(0.0), millis))
            .with("score", e.score)
            .with("failovers", e.failovers)
            .with("recoveries", e.recoveries)
            .with("failedFor", e.failed_for.map(millis))
            .with("failedInAll", millis(e.failed_in_all))
    }
}
