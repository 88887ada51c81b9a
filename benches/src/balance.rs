//! How well balancers balance, on the paused clock.
//!
//! Five endpoints work on one call after the other, each for a time that is exponentially distributed: four for 10 ms on
//! average, one, for what reason ever, for 50 ms. Calls come at random moments, as those of many clients do. What counts is
//! how long a call takes from its coming to its end: a balancer that gives the slow endpoint its fifth makes every fifth
//! call stand in a line that, from 100 calls a second on, only grows.
//!
//! Every balancer gets the same calls, which come at the same moments and are as much work.

use std::{convert::Infallible, pin::Pin, sync::Arc, time::Duration};

use buttress::{
    ErrorLayer, clock,
    pool::{Endpoint, Pool, Strategy},
};
use tokio::{sync::Semaphore, task::JoinHandle, time::sleep};
use tower::{
    BoxError, Layer, Service, ServiceExt,
    balance::p2c::Balance,
    discover::ServiceList,
    load::{CompleteOnResponse, PeakEwma, PendingRequests},
    service_fn,
    util::BoxCloneSyncService,
};

/// The endpoints do so many calls a second, all together.
pub const CAPACITY: f64 = 4.0 * 100.0 + 20.0;

const FAST: Duration = Duration::from_millis(10);
const SLOW: Duration = Duration::from_millis(50);
const ENDPOINTS: usize = 5;

/// A call is so many times the usual work.
type Work = f64;

/// An endpoint.
type Node = BoxCloneSyncService<Work, (), Infallible>;

/// Who balances.
#[derive(Clone, Debug)]
pub enum Balancer {
    /// Our pool, by that strategy.
    Buttress(Strategy),
    /// tower's, by its own moving average of latencies.
    TowerEwma,
    /// tower's, by the calls in flight.
    TowerPending,
}

impl Balancer {
    /// All of them.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let ours = [
            Strategy::P2cEwma,
            Strategy::LeastRequests,
            Strategy::RoundRobin,
            Strategy::Random,
        ];
        let ours = ours.into_iter().map(Self::Buttress);
        ours.chain([Self::TowerEwma, Self::TowerPending]).collect()
    }

    /// As the table has it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Buttress(strategy) => strategy.name(),
            Self::TowerEwma => "tower p2c, PeakEwma",
            Self::TowerPending => "tower p2c, PendingRequests",
        }
    }
}

/// Calls through one balancer.
type Balanced = Box<dyn FnMut(Work) -> Pin<Box<dyn Future<Output = ()> + Send>>>;

fn nodes() -> Vec<Node> {
    let node = |i| {
        let (place, takes) = (Arc::new(Semaphore::new(1)), if i == 0 { SLOW } else { FAST });
        BoxCloneSyncService::new(service_fn(move |work: Work| {
            let place = place.clone();
            async move {
                // It is never closed.
                let turn = place.acquire_owned().await;
                sleep(takes.mul_f64(work)).await;
                drop(turn);
                Ok(())
            }
        }))
    };
    (0..ENDPOINTS).map(node).collect()
}

impl Balancer {
    fn build(&self) -> Balanced {
        match self {
            Self::Buttress(strategy) => {
                let endpoints = nodes().into_iter().map(|node| ErrorLayer::new().layer(node));
                let endpoints = endpoints
                    .enumerate()
                    .map(|(i, node)| Endpoint::new(i.to_string(), node));
                let pool = Pool::builder()
                    .balance(strategy.clone())
                    .extend(endpoints)
                    .build();
                let service = pool.expect("in order").service();
                Box::new(move |work| {
                    let call = service.clone().oneshot(work);
                    Box::pin(async { drop(call.await) })
                })
            }
            Self::TowerEwma => {
                let decay = Duration::from_secs(10).as_nanos() as f64;
                let load = move |node| PeakEwma::new(node, FAST, decay, CompleteOnResponse::default());
                of_tower(Balance::new(ServiceList::new::<Work>(
                    nodes().into_iter().map(load),
                )))
            }
            Self::TowerPending => {
                let load = |node| PendingRequests::new(node, CompleteOnResponse::default());
                of_tower(Balance::new(ServiceList::new::<Work>(
                    nodes().into_iter().map(load),
                )))
            }
        }
    }
}

/// tower's balancer is ready at once here, for its endpoints always are.
fn of_tower<S>(mut balance: S) -> Balanced
where
    S: Service<Work, Error = BoxError, Future: Send + 'static> + Send + 'static,
{
    Box::new(move |work| {
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(
            balance.poll_ready(&mut cx).is_ready(),
            "no endpoint ever makes it wait"
        );
        let call = balance.call(work);
        Box::pin(async { drop(call.await) })
    })
}

/// How long so many calls took, `rate` of which came in a second, in order. The same `seed` is the same calls.
///
/// It needs a tokio runtime whose clock is paused.
pub async fn simulate(balancer: &Balancer, rate: f64, calls: usize, seed: u64) -> Vec<Duration> {
    let mut balanced = balancer.build();
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut exponential = || -(1.0 - rng.f64()).ln();
    let mut running: Vec<JoinHandle<Duration>> = Vec::with_capacity(calls);
    for _ in 0..calls {
        sleep(Duration::from_secs_f64(exponential() / rate)).await;
        let (call, came) = (balanced(exponential()), clock::now());
        running.push(tokio::spawn(async move {
            call.await;
            came.elapsed()
        }));
    }
    let mut took = Vec::with_capacity(calls);
    for call in running {
        took.extend(call.await);
    }
    took.sort_unstable();
    took
}

/// That quantile of durations that are in order.
#[must_use]
pub fn quantile(sorted: &[Duration], at: f64) -> Duration {
    let last = sorted.len().saturating_sub(1);
    let index = (last as f64 * at).round() as usize;
    sorted.get(index).copied().unwrap_or_default()
}

/// How far the shares of so many calls are from the weights, at most: the part of all calls by which the endpoint that is
/// furthest off has too many or too few.
#[must_use]
pub fn deviation(strategy: &Strategy, weights: &[u32], calls: u32) -> f64 {
    let endpoints = weights.iter().enumerate();
    let endpoints = endpoints.map(|(i, weight)| Endpoint::new(i.to_string(), i).weight(*weight));
    let pool = Pool::builder()
        .balance(strategy.clone())
        .extend(endpoints)
        .build();
    let pool = pool.expect("in order");
    let mut counts = vec![0_u32; weights.len()];
    for _ in 0..calls {
        let lease = pool.try_acquire().expect("all are well");
        counts[*lease] += 1;
        lease.record(buttress::Outcome::SUCCESS);
    }
    let all: u32 = weights.iter().sum();
    let off = counts.iter().zip(weights).map(|(count, weight)| {
        let share = f64::from(*count) / f64::from(calls);
        (share - f64::from(*weight) / f64::from(all)).abs()
    });
    off.fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_hold_within_a_hundredth() {
        for strategy in [Strategy::RoundRobin, Strategy::WeightedRandom] {
            let off = deviation(&strategy, &[1, 2, 4, 8], 100_000);
            assert!(off < 0.01, "{strategy:?}: {off}");
        }
    }

    #[test]
    fn a_quantile_is_one_of_them() {
        let times: Vec<_> = (0..101).map(Duration::from_millis).collect();
        assert_eq!(quantile(&times, 0.99), Duration::from_millis(99));
        assert_eq!(quantile(&[], 0.5), Duration::ZERO);
    }
}
