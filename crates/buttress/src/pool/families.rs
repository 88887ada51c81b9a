use super::snapshot::{EndpointSnapshot, Snapshot};
use crate::export::{Family, Samples};

static CALLS: Family = Family::counter("pool_calls", "Calls that came to the pool");
static NO_ENDPOINT: Family = Family::counter("pool_no_endpoint", "Calls that no endpoint could take");
static USABLE: Family = Family::gauge("pool_usable_endpoints", "Endpoints that a call may go to");
static OUT_OF_BUDGET: Family = Family::counter(
    "pool_out_of_budget",
    "Calls that would have gone to another endpoint, had the budget had a failover left",
);
static BUDGET_BALANCE: Family = Family::gauge(
    "pool_budget_balance",
    "How many calls could go to another endpoint at once",
);
static HEALTHY: Family = Family::gauge(
    "pool_endpoint_healthy",
    "1 for an endpoint that is neither failed nor recovering, else 0",
);
static TAKES_CALLS: Family = Family::gauge(
    "pool_endpoint_usable",
    "1 for an endpoint that a call may go to, else 0",
);
static ENDPOINT_CALLS: Family = Family::counter(
    "pool_endpoint_calls",
    "Calls at an endpoint that have ended, by what they said",
);
static IN_FLIGHT: Family = Family::gauge(
    "pool_endpoint_in_flight",
    "Calls at an endpoint that have not ended",
);
static MOVED: Family = Family::counter(
    "pool_endpoint_moved",
    "Failed calls that were made again at another endpoint",
);
static WEIGHT: Family = Family::gauge(
    "pool_endpoint_weight",
    "The weight of an endpoint as it counts now",
);
static SCORE: Family = Family::gauge(
    "pool_endpoint_score",
    "How well an endpoint does of late: success rate times one less a tenth of its latency in seconds",
);
static FAILED_FOR: Family = Family::gauge(
    "pool_endpoint_failed_for_seconds",
    "For how long an endpoint has been out; 0 if it is not",
);
static FAILOVERS: Family = Family::counter(
    "pool_failovers",
    "Times at which an endpoint failed and others answered for it",
);
static RECOVERIES: Family = Family::counter("pool_recoveries", "Times at which an endpoint came back");

pub(crate) static FAMILIES: &[&Family] = &[
    &CALLS,
    &NO_ENDPOINT,
    &USABLE,
    &OUT_OF_BUDGET,
    &BUDGET_BALANCE,
    &HEALTHY,
    &TAKES_CALLS,
    &ENDPOINT_CALLS,
    &IN_FLIGHT,
    &MOVED,
    &WEIGHT,
    &SCORE,
    &FAILED_FOR,
    &FAILOVERS,
    &RECOVERIES,
];

pub(super) fn write(pool: &Snapshot, name: &str, samples: &mut Samples) {
    let labels = [("name", name)];
    samples.counter(&CALLS, &labels, pool.calls);
    samples.counter(&NO_ENDPOINT, &labels, pool.no_endpoint);
    samples.gauge(&USABLE, &labels, pool.usable() as f64);
    samples.counter(&OUT_OF_BUDGET, &labels, pool.out_of_budget);
    if let Some(balance) = pool.budget_balance {
        samples.gauge(&BUDGET_BALANCE, &labels, balance);
    }
    for endpoint in &pool.endpoints {
        write_endpoint(endpoint, name, samples);
    }
}

fn write_endpoint(endpoint: &EndpointSnapshot, name: &str, samples: &mut Samples) {
    let of = [("name", name), ("endpoint", &*endpoint.name)];
    let flag = |is: bool| f64::from(u8::from(is));
    samples.gauge(&HEALTHY, &of, flag(endpoint.failed_for.is_none()));
    samples.gauge(&TAKES_CALLS, &of, flag(endpoint.usable));
    for (outcome, calls) in [
        ("success", endpoint.success),
        ("failure", endpoint.failure),
        ("throttled", endpoint.throttled_calls),
        ("neutral", endpoint.neutral),
        ("cancelled", endpoint.cancelled),
    ] {
        samples.counter(&ENDPOINT_CALLS, &[of[0], of[1], ("outcome", outcome)], calls);
    }
    samples.gauge(&IN_FLIGHT, &of, endpoint.in_flight as f64);
    samples.counter(&MOVED, &of, endpoint.moved);
    samples.gauge(&WEIGHT, &of, endpoint.effective_weight);
    samples.gauge(&SCORE, &of, endpoint.score);
    let failed_for = endpoint.failed_for.unwrap_or_default();
    samples.gauge(&FAILED_FOR, &of, failed_for.as_secs_f64());
    samples.counter(&FAILOVERS, &of, endpoint.failovers);
    samples.counter(&RECOVERIES, &of, endpoint.recoveries);
}
