//! A client's whole stack, every concern on.

use std::time::Duration;

use buttress::{
    Stack, circuit_breaker::CircuitBreaker, fallback::Fallback, hedge::Hedge, metrics::Metrics, retry::Retry,
};
use http::Response;
use http_body_util::Full;
use tower::{Service, ServiceBuilder, util::MapErrLayer};
use tower_resilience::{
    circuitbreaker::CircuitBreakerError,
    fallback::FallbackLayer,
    hedge::{HedgeError, HedgeLayer},
    retry::RetryLayer,
    timelimiter::{TimeLimiterError, TimeLimiterLayer},
};

use super::{entries, retry::over_http, stack};
use crate::{
    drive::Subject,
    floor::Client,
    service::{Broken, HttpRequest, HttpResponse, Plain, Upstream},
};

const SECOND: Duration = Duration::from_secs(1);

/// Every slot but the fallback's, which is of another type over HTTP: metrics, recover, total timeout, retry, hedge,
/// circuit breaker, attempt timeout, recover, error.
macro_rules! all {
    ($stack:expr) => {
        $stack
            .metrics(Metrics::new())
            .recover()
            .retry(Retry::standard())
            .hedge(Hedge::builder().after(SECOND).build().expect("in order"))
            .circuit_breaker(CircuitBreaker::new())
            .total_timeout(SECOND)
            .and_then(|stack| stack.attempt_timeout(SECOND))
            .expect("a limit")
    };
}

/// What tower-resilience has of these concerns, in the same order: it catches no panic, measures nothing, and no limit
/// knows of another. Its errors nest, and a hedge asks that they can be cloned, which they cannot: so they are made
/// `Broken` where it needs it, and at other layers for the sake of the types.
fn tower_resilience<S, Q, R>(service: S, spare: R) -> impl Service<Q, Response = R> + Send + 'static
where
    S: Service<Q, Response = R, Error = Broken, Future: Send> + Clone + Send + 'static,
    Q: Clone + Send + Sync + 'static,
    R: Clone + Send + Sync + 'static,
{
    let limited = || TimeLimiterLayer::builder().timeout_duration(SECOND).build();
    let hedge = HedgeLayer::builder().delay(SECOND).max_hedged_attempts(2).build();
    let retry = RetryLayer::<Q, R, Broken>::builder()
        .max_attempts(3)
        .exponential_backoff(Duration::from_millis(100))
        .build();
    ServiceBuilder::new()
        .layer(FallbackLayer::<Q, R, Broken>::value(spare))
        .layer(MapErrLayer::new(|_: TimeLimiterError<Broken>| Broken))
        .layer(limited())
        .layer(retry)
        .layer(MapErrLayer::new(|_: HedgeError<Broken>| Broken))
        .layer(hedge)
        .layer(MapErrLayer::new(|_: CircuitBreakerError<Broken>| Broken))
        .layer(stack::tower_resilience())
        .layer(MapErrLayer::new(|_: TimeLimiterError<Broken>| Broken))
        .layer(limited())
        .service(service)
}

entries! { PLAIN, "stack/client":
    "bare" => Subject::plain(Plain),
    "floor" => {
        let client = Client::new();
        Subject::function(move |i| client.call(i))
    },
    "buttress" => {
        let fallback = Fallback::value(7).build().expect("in order");
        let stack = all!(Stack::new("bench")).fallback(fallback).build();
        Subject::plain(stack.service(Plain))
    },
    "tower-resilience" => Subject::plain(tower_resilience(Plain, 7)).within_tokio(),
}

entries! {
    /// A GET with four headers and a short body.
    OVER_HTTP, "http/stack/client":
    "bare" => over_http(Upstream),
    "buttress" => {
        let fallback = Fallback::value(Response::new(Full::<bytes::Bytes>::from("spare")));
        let stack = all!(Stack::http_client("bench")).fallback(fallback.build().expect("in order"));
        over_http(stack.any_request_body().build().service(Upstream))
    },
    "buttress-without-hedge" => {
        let stack = all!(Stack::http_client("bench")).hedge(None);
        over_http(stack.any_request_body().build().service(Upstream))
    },
    "tower-resilience" => {
        let spare = HttpResponse::new(Full::from("spare"));
        over_http(tower_resilience::<_, HttpRequest, _>(Upstream, spare)).within_tokio()
    },
}
