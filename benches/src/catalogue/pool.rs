//! Calls through a pool of endpoints that are all well.
//!
//! tower's balancer does not fail over, keeps no books, has no breakers and cannot be cloned; what it has in common with
//! ours is the choice.

use std::time::Duration;

use buttress::{
    ErrorLayer,
    circuit_breaker::CircuitBreaker,
    pool::{Endpoint, Pool, PoolBuilder, Strategy},
};
use tower::{
    Layer,
    balance::p2c::Balance,
    discover::ServiceList,
    load::{CompleteOnResponse, PeakEwma, PendingRequests},
};

use super::entries;
use crate::{drive::Subject, service::Plain};

type Node = <ErrorLayer as Layer<Plain>>::Service;

fn nodes(n: usize) -> PoolBuilder<Node> {
    let node = ErrorLayer::new().layer(Plain);
    Pool::builder().extend((0..n).map(|i| Endpoint::new(i.to_string(), node)))
}

fn balanced(n: usize, strategy: Strategy) -> Subject {
    let pool = nodes(n).balance(strategy).build().expect("in order");
    Subject::plain(pool.service())
}

fn with_breakers(n: usize) -> Subject {
    let pool = nodes(n).breaker(CircuitBreaker::builder()).build();
    Subject::plain(pool.expect("in order").service())
}

fn tower_ewma(n: usize) -> Subject {
    let rtt = Duration::from_millis(1);
    let decay = Duration::from_secs(10).as_nanos() as f64;
    let node = |_| PeakEwma::new(Plain, rtt, decay, CompleteOnResponse::default());
    let nodes: Vec<_> = (0..n).map(node).collect();
    Subject::plain(Balance::new(ServiceList::new::<u64>(nodes))).within_tokio()
}

fn tower_pending(n: usize) -> Subject {
    let node = |_| PendingRequests::new(Plain, CompleteOnResponse::default());
    let nodes: Vec<_> = (0..n).map(node).collect();
    Subject::plain(Balance::new(ServiceList::new::<u64>(nodes))).within_tokio()
}

entries! { THREE, "pool/3":
    "bare" => Subject::plain(Plain),
    "buttress" => balanced(3, Strategy::P2cEwma),
    "buttress-breakers" => with_breakers(3),
    "buttress-round-robin" => balanced(3, Strategy::RoundRobin),
    "buttress-least-requests" => balanced(3, Strategy::LeastRequests),
    "tower-p2c-ewma" => tower_ewma(3),
    "tower-p2c-pending" => tower_pending(3),
}

entries! { THREE_HUNDRED, "pool/300":
    "bare" => Subject::plain(Plain),
    "buttress" => balanced(300, Strategy::P2cEwma),
    "buttress-breakers" => with_breakers(300),
    "buttress-round-robin" => balanced(300, Strategy::RoundRobin),
    "buttress-least-requests" => balanced(300, Strategy::LeastRequests),
    "tower-p2c-ewma" => tower_ewma(300),
    "tower-p2c-pending" => tower_pending(300),
}
