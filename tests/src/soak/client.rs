//! The stack with everything in it, and the hands on its policies.

use std::{fmt::Debug, net::SocketAddr, sync::Arc, time::Duration};

use buttress::{
    Error, Registry, Stack,
    admission::Both,
    circuit_breaker::CircuitBreaker,
    hedge::Hedge,
    http::ReplayBody,
    metrics::Metrics,
    pool::{Endpoint, Pool},
    priority::PriorityQueue,
    rate_limit::RateLimiter,
    recover::Recover,
    retry::Retry,
    timeout::{Deadline, Timeout},
    trace_id::TraceId,
};
use bytes::Bytes;
use http::{Request, Response, uri::Authority};
use http_body::Body;
use http_body_util::Full;
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use tower_service::Service;

use super::{Mischief, bomb::BombLayer, dice::Dice};

/// How the transport fails.
pub type CallError = Error<legacy::Error>;

/// What the callers call.
pub trait Client:
    Service<Request<Full<Bytes>>, Response = Response<Self::Body>, Error = CallError, Future: Send>
    + Clone
    + Send
    + 'static
{
    /// What the body of a response is.
    type Body: Body<Data = Bytes, Error: Debug + Send> + Send;
}

impl<S, B> Client for S
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>, Error = CallError, Future: Send>
        + Clone
        + Send
        + 'static,
    B: Body<Data = Bytes, Error: Debug + Send> + Send,
{
    type Body = B;
}

/// One endpoint, with what is its own.
#[derive(Clone, Debug)]
pub struct Host {
    /// What it is called.
    pub name: &'static str,
    /// Where it is.
    pub authority: Authority,
    /// Its breaker.
    pub breaker: CircuitBreaker,
    /// Its limit.
    pub limit: RateLimiter,
}

impl Host {
    /// As a pool wants it.
    pub fn endpoint(&self) -> Endpoint<Authority> {
        let both = Both::new(Arc::new(self.breaker.clone()), Arc::new(self.limit.clone()));
        Endpoint::new(self.name, self.authority.clone()).breaker(both)
    }
}

/// All policies of the stack.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // their types say it
pub struct Policies {
    pub registry: Registry,
    pub metrics: Metrics,
    pub deadline: Deadline,
    pub retry: Retry,
    pub hedge: Hedge,
    pub queue: PriorityQueue,
    pub pool: Pool<Authority>,
    pub hosts: Vec<Host>,
    pub timeout: Timeout,
}

/// The stack's name.
pub const NAME: &str = "soak";

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

impl Policies {
    /// Policies for three upstreams.
    ///
    /// # Panics
    ///
    /// Never: the options are good.
    #[must_use]
    pub fn new(addresses: Vec<SocketAddr>) -> Self {
        let hosts: Vec<_> = ["a", "b", "c"]
            .into_iter()
            .zip(addresses)
            .map(|(name, address)| Host {
                name,
                authority: address.to_string().parse().expect("an address"),
                // A probe that is lost is lost: none is reclaimed in time to hide it.
                breaker: CircuitBreaker::builder()
                    .consecutive_failures(6)
                    .failure_rate(0.5)
                    .minimum_calls(20)
                    .half_open_probes(2)
                    .success_threshold(2)
                    .open_for(ms(20))
                    .max_open_for(ms(50))
                    .probe_lease(Duration::from_secs(3600))
                    .build()
                    .expect("good options"),
                limit: RateLimiter::per_second(100_000).build().expect("good options"),
            })
            .collect();
        Self {
            registry: Registry::new(),
            metrics: Metrics::new(),
            deadline: Deadline::after(ms(150)).build().expect("good options"),
            retry: Retry::builder()
                .max_attempts(3)
                .initial_backoff(ms(2))
                .max_backoff(ms(10))
                .build()
                .expect("good options"),
            hedge: Hedge::builder().after(ms(15)).build().expect("good options"),
            queue: PriorityQueue::builder()
                .concurrency(32)
                .queue(32)
                .build()
                .expect("good options"),
            pool: Pool::builder()
                .name(NAME)
                .slow_start(ms(10))
                .max_retry_after(ms(20))
                .extend(hosts.iter().map(Host::endpoint))
                .build()
                .expect("good options"),
            hosts,
            timeout: Timeout::after(ms(40))
                .body_idle(ms(20))
                .body_total(ms(60))
                .build()
                .expect("good options"),
        }
    }

    /// The stack, above hyper's client.
    #[must_use]
    pub fn client(&self, dice: Dice, mischief: Mischief) -> impl Client<Body: Unpin> + use<> {
        let hyper: legacy::Client<HttpConnector, ReplayBody<Full<Bytes>>> =
            legacy::Client::builder(TokioExecutor::new()).build_http();
        let stack = Stack::http_client(NAME)
            .registry(&self.registry)
            .trace_id(TraceId::w3c())
            .metrics(self.metrics.clone())
            .recover_with(Recover::new())
            .total_timeout(self.deadline.clone())
            .retry(self.retry.clone())
            .hedge(self.hedge.clone())
            .priority(self.queue.clone())
            .pool(self.pool.clone())
            .attempt_timeout(self.timeout.clone())
            .any_request_body()
            .inside(BombLayer::new(dice, mischief))
            .build();
        stack.service(hyper)
    }
}
