use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use tower::{Service, ServiceExt};

use super::*;
use crate::{
    Error, Outcome, Rejected, RejectionKind,
    circuit_breaker::{CircuitBreaker, CircuitBreakerBuilder},
    clock,
    outcome::Reason,
};

mod balance;
mod choosing;
mod cost;
mod endpoints;
mod events;
mod failover;
mod health;
mod histories;
#[cfg(feature = "rate-limit")]
mod limits;
mod model;
mod options;
mod quality;
mod readiness;
#[cfg(feature = "retry")]
mod retried;
mod run;
#[cfg(feature = "http")]
mod wire;

type Failed = Error<&'static str>;
type Answer = Result<u32, Failed>;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// A node whose latency and luck can be changed while it runs.
#[derive(Clone, Debug)]
struct TestNode(Arc<TestState>);

#[derive(Debug)]
struct TestState {
    number: u32,
    latency: Mutex<Duration>,
    answer: Mutex<Answer>,
    /// Whether checks of its health say that it is well.
    is_well: AtomicBool,
    calls: AtomicUsize,
    checks: AtomicUsize,
    busy: AtomicUsize,
}

impl TestNode {
    fn new(number: u32, latency: Duration) -> Self {
        Self(Arc::new(TestState {
            number,
            latency: Mutex::new(latency),
            answer: Mutex::new(Ok(number)),
            is_well: AtomicBool::new(true),
            calls: AtomicUsize::new(0),
            checks: AtomicUsize::new(0),
            busy: AtomicUsize::new(0),
        }))
    }

    fn answers(&self, answer: Answer) -> &Self {
        *self.0.answer.lock().expect("no panic") = answer;
        self
    }

    fn fails(&self) -> &Self {
        self.answers(Err(Error::Inner("down")))
    }

    fn works(&self) -> &Self {
        self.answers(Ok(self.0.number))
    }

    fn takes(&self, latency: Duration) -> &Self {
        *self.0.latency.lock().expect("no panic") = latency;
        self
    }

    fn set_well(&self, is_well: bool) {
        self.0.is_well.store(is_well, SeqCst);
    }

    fn calls(&self) -> usize {
        self.0.calls.load(SeqCst)
    }

    fn checks(&self) -> usize {
        self.0.checks.load(SeqCst)
    }

    fn forget_calls(&self) {
        self.0.calls.store(0, SeqCst);
    }

    async fn call(self) -> Answer {
        self.0.calls.fetch_add(1, SeqCst);
        self.0.busy.fetch_add(1, SeqCst);
        let busy = Busy(self.clone());
        let latency = *self.0.latency.lock().expect("no panic");
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        drop(busy);
        self.0.answer.lock().expect("no panic").clone()
    }

    async fn check(self) -> bool {
        self.0.checks.fetch_add(1, SeqCst);
        self.0.is_well.load(SeqCst)
    }
}

struct Busy(TestNode);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.0.busy.fetch_sub(1, SeqCst);
    }
}

impl Service<()> for TestNode {
    type Response = u32;
    type Error = Failed;
    type Future = std::pin::Pin<Box<dyn Future<Output = Answer> + Send>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Failed>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, (): ()) -> Self::Future {
        Box::pin(self.clone().call())
    }
}

/// So many nodes, which answer with their number, from 0 on; and a pool of them, as `0`, `1` and so on.
fn nodes<const N: usize>(latency: Duration) -> ([TestNode; N], PoolBuilder<TestNode>) {
    let nodes = std::array::from_fn(|i| TestNode::new(i as u32, latency));
    let endpoints = nodes.clone().into_iter().enumerate();
    let builder = Pool::builder().extend(endpoints.map(|(i, node)| Endpoint::new(i.to_string(), node)));
    (nodes, builder)
}

fn breaker() -> CircuitBreakerBuilder {
    CircuitBreaker::builder()
        .consecutive_failures(3)
        .open_for(secs(10))
        .open_jitter(0.0)
}

async fn call(pool: &Pool<TestNode>) -> Answer {
    pool.service().oneshot(()).await
}

/// So many calls one after the other.
async fn calls(pool: &Pool<TestNode>, n: usize) {
    for _ in 0..n {
        let _ = call(pool).await;
    }
}

fn kind(answer: &Answer) -> Option<RejectionKind> {
    answer
        .as_ref()
        .err()
        .and_then(|error| error.rejected())
        .map(|r| r.kind())
}

/// Every strategy there is, and those that look at how the endpoints do.
const STRATEGIES: [Strategy; 6] = [
    Strategy::P2cEwma,
    Strategy::RoundRobin,
    Strategy::Random,
    Strategy::WeightedRandom,
    Strategy::LeastRequests,
    Strategy::Score,
];
const WATCHFUL: [Strategy; 3] = [Strategy::P2cEwma, Strategy::LeastRequests, Strategy::Score];

/// Each call that has ended is in the books of an endpoint, once.
fn assert_adds_up(pool: &Pool<TestNode>) {
    for endpoint in pool.snapshot().endpoints {
        assert_eq!(endpoint.in_flight, 0, "{endpoint:?}");
    }
}

/// What happened, as `node_marked_failed 0`.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn of<T>(pool: &Pool<T>) -> Self {
        let log = Self::default();
        let lines = log.clone();
        pool.listen(move |event| {
            if let Some(event) = event.detail::<PoolEvent>() {
                let node = event.node().map(|node| format!(" {node}")).unwrap_or_default();
                lines
                    .0
                    .lock()
                    .expect("no panic")
                    .push(format!("{}{node}", event.as_str()));
            }
        });
        log
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().expect("no panic"))
    }
}
