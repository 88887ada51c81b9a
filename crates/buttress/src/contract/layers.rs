//! The table of all layers.

#[cfg(any(
    feature = "circuit-breaker",
    feature = "hedge",
    feature = "rate-limit",
    feature = "timeout"
))]
use std::time::Duration;

use super::*;
#[cfg(any(feature = "hedge", feature = "pool", feature = "retry"))]
use crate::replay::Bare;
use crate::{Plain, error::ErrorLayer};
use case::Facts;

/// The rows: `both` are tried around a plain service and around one that speaks HTTP, `plain` and `http` around one of
/// them, `grpc` around the one that speaks HTTP with the eyes of gRPC, to which its answers are failures. The protocol
/// is what `$protocol` stands for.
macro_rules! layers {
    ($($(#[$meta:meta])* $kind:ident $name:ident($protocol:ident) $facts:block)+) => {
        $($(#[$meta])* mod $name {
            use super::*;
            layers! { @$kind $protocol $facts }
        })+
    };
    (@both $protocol:ident $facts:block) => {
        mod plain {
            use super::*;
            layers! { @plain $protocol $facts }
        }
        #[cfg(feature = "http")]
        mod http {
            use super::*;
            layers! { @http $protocol $facts }
        }
    };
    (@plain $protocol:ident $facts:block) => {
        fn case() -> Case {
            let $protocol = Plain::new();
            $facts.plain()
        }
        rules!(case());
    };
    (@grpc $protocol:ident $facts:block) => {
        fn case() -> Case {
            let $protocol = crate::Grpc::new();
            $facts.http()
        }
        rules!(case());
    };
    (@http $protocol:ident $facts:block) => {
        fn case() -> Case {
            let $protocol = crate::Http::new();
            $facts.http()
        }
        rules!(case());
    };
}

#[cfg(any(feature = "circuit-breaker", feature = "rate-limit", feature = "timeout"))]
const SECOND: Duration = Duration::from_secs(1);

#[cfg(feature = "circuit-breaker")]
const MILLISECOND: Duration = Duration::from_millis(1);

/// What a client and a server can both have in their stacks, and a breaker, a queue and metrics to read.
#[allow(unused_macros)]
macro_rules! every {
    ($stack:expr) => {{
        let books = (
            crate::metrics::Metrics::new(),
            crate::priority::PriorityQueue::new(),
            breaker(),
        );
        let limiter = crate::rate_limit::RateLimiter::per_hour(1_000_000);
        let stack = $stack
            .metrics(books.0.clone())
            .recover()
            .priority(books.1.clone())
            .rate_limit(limiter.build().expect("valid"))
            .circuit_breaker(books.2.clone());
        (stack, books)
    }};
}

/// All that a client can have.
#[allow(unused_macros)]
macro_rules! whole {
    ($stack:expr) => {{
        let (stack, books) = every!($stack);
        let stack = stack.retry(crate::retry::Retry::standard()).hedge(hedge());
        let stack = stack
            .total_timeout(SECOND)
            .and_then(|stack| stack.attempt_timeout(SECOND));
        (stack.expect("a second is a limit"), books)
    }};
}

layers! {
    both error(_protocol) {
        Facts::of(ErrorLayer::new())
    }

    #[cfg(feature = "circuit-breaker")]
    both circuit_breaker(protocol) {
        let breaker = breaker();
        breaker_facts(breaker.layer_for(protocol), breaker)
    }

    #[cfg(feature = "circuit-breaker")]
    both circuit_breaker_gate(protocol) {
        let breaker = breaker();
        let mut facts = breaker_facts(breaker.layer_for(protocol).gate(), breaker);
        // Whoever may not pass waits at the gate.
        facts.known.refuse = None;
        facts
    }

    #[cfg(feature = "circuit-breaker")]
    both circuit_breaker_half_open(protocol) {
        // It opens by hand here and by a failure later, and half-opens when the rule rests. It has few probes, so that
        // one whose place is lost is missed, and stays as it is however many of them succeed.
        let breaker = crate::circuit_breaker::CircuitBreaker::builder()
            .open_for(MILLISECOND)
            .max_open_for(MILLISECOND)
            .half_open_probes(8)
            .probe_lease(1000 * SECOND)
            .success_threshold(u32::MAX);
        let breaker = breaker.build().expect("valid");
        crate::registry::Policy::drill(&breaker, &crate::registry::Drill::Open).expect("it opens");
        breaker_facts(breaker.layer_for(protocol), breaker).rests(2 * MILLISECOND)
    }

    #[cfg(all(feature = "circuit-breaker", feature = "http"))]
    grpc circuit_breaker_over_grpc(protocol) {
        let breaker = breaker();
        breaker_facts(breaker.layer_for(protocol), breaker)
    }

    #[cfg(feature = "retry")]
    both retry(protocol) {
        let retry = crate::retry::Retry::standard();
        Facts::of(crate::retry::RetryLayer::new(retry, protocol, Bare))
    }

    #[cfg(feature = "hedge")]
    both hedge(protocol) {
        Facts::of(crate::hedge::HedgeLayer::new(hedge(), protocol, Bare))
    }

    #[cfg(feature = "timeout")]
    both attempt_timeout(protocol) {
        let timeout = crate::timeout::Timeout::after(SECOND).body_idle(SECOND).body_total(SECOND);
        Facts::of(timeout.build().expect("valid").layer_for(protocol))
    }

    #[cfg(feature = "timeout")]
    both deadline(protocol) {
        let deadline = crate::timeout::Deadline::after(SECOND).build().expect("valid");
        Facts::of(deadline.layer_for(protocol))
    }

    #[cfg(feature = "fallback")]
    plain fallback(_protocol) {
        Facts::of(crate::fallback::Fallback::value(3).build().expect("valid").layer())
    }

    #[cfg(all(feature = "fallback", feature = "http"))]
    http fallback_over_http(protocol) {
        let answer = ::http::Response::new("instead");
        let fallback = crate::fallback::Fallback::response(answer);
        Facts::of(fallback.build().expect("valid").layer_for(protocol))
    }

    #[cfg(feature = "rate-limit")]
    both rate_limit(protocol) {
        let limiter = crate::rate_limit::RateLimiter::per_hour(1_000_000).build().expect("valid");
        Facts::of(limiter.layer_for(protocol)).refuses(move || {
            drop(limiter.try_acquire(1_000_000));
        })
    }

    #[cfg(feature = "rate-limit")]
    both rate_limit_that_waits(protocol) {
        let limiter = crate::rate_limit::RateLimiter::per_hour(1_000_000).max_wait(SECOND);
        let limiter = limiter.build().expect("valid");
        Facts::of(limiter.layer_for(protocol))
            .ready_at_once()
            .holds("calls waiting", move || limiter.snapshot().waiting)
    }

    #[cfg(feature = "priority")]
    both priority(protocol) {
        queue_facts(crate::priority::PriorityQueue::new(), protocol)
    }

    #[cfg(feature = "priority")]
    both priority_with_one_slot(protocol) {
        let queue = crate::priority::PriorityQueue::builder().concurrency(1).queue(100);
        queue_facts(queue.build().expect("valid"), protocol)
    }

    #[cfg(feature = "recover")]
    both recover(protocol) {
        Facts::of(crate::recover::Recover::new().layer_for(protocol)).catches()
    }

    #[cfg(feature = "trace-id")]
    both trace_id_outbound(protocol) {
        // The context that the call is in.
        Facts::of(crate::trace_id::TraceId::w3c().layer_for(protocol)).allocates(1)
    }

    #[cfg(feature = "trace-id")]
    both trace_id_inbound(protocol) {
        Facts::of(crate::trace_id::TraceId::w3c().layer_for(protocol).inbound()).allocates(1)
    }

    #[cfg(feature = "trace-id")]
    both trace_id_of_an_attempt(protocol) {
        Facts::of(crate::trace_id::TraceId::w3c().attempt_layer_for(protocol))
    }

    #[cfg(feature = "metrics")]
    both metrics(protocol) {
        let metrics = crate::metrics::Metrics::new();
        let (books, others) = (metrics.clone(), metrics.clone());
        Facts::of(metrics.layer_for(protocol))
            .holds("calls in flight", move || books.snapshot().in_flight)
            .cancelled("metrics", move || others.snapshot().outcomes.cancelled)
    }

    #[cfg(all(feature = "http", feature = "metrics"))]
    grpc metrics_over_grpc(protocol) {
        let metrics = crate::metrics::Metrics::new();
        let (books, others) = (metrics.clone(), metrics.clone());
        Facts::of(metrics.layer_for(protocol))
            .holds("calls in flight", move || books.snapshot().in_flight)
            .cancelled("metrics", move || others.snapshot().outcomes.cancelled)
    }

    #[cfg(feature = "pool")]
    both pool(protocol) {
        let pool = pool();
        pool_facts(crate::pool::PoolLayer::new(pool.clone(), Here, protocol, Bare), pool)
    }

    #[cfg(feature = "http")]
    http respond(_protocol) {
        Facts::of(crate::http::RespondLayer::http())
    }

    // A stack catches panics, and whoever has a queue in it is ready at once.

    #[cfg(all(feature = "circuit-breaker", feature = "recover", feature = "retry"))]
    plain small_stack(_protocol) {
        let breaker = breaker();
        let stack = crate::Stack::new("x").recover().retry(crate::retry::Retry::standard());
        breaker_facts(stack.circuit_breaker(breaker.clone()).build(), breaker).catches()
    }

    #[cfg(all(
        feature = "circuit-breaker", feature = "hedge", feature = "metrics", feature = "priority",
        feature = "rate-limit", feature = "recover", feature = "retry", feature = "timeout",
    ))]
    plain client_stack(_protocol) {
        let (stack, books) = whole!(crate::Stack::new("x"));
        let (metrics, queue, breaker) = books;
        stack_facts(breaker_facts(stack.build(), breaker), metrics, queue)
    }

    #[cfg(all(
        feature = "http", feature = "circuit-breaker", feature = "hedge", feature = "metrics",
        feature = "priority", feature = "rate-limit", feature = "recover", feature = "retry",
        feature = "timeout",
    ))]
    http client_stack_over_http(_protocol) {
        let (stack, books) = whole!(crate::Stack::http_client("x").any_request_body());
        let (metrics, queue, breaker) = books;
        stack_facts(breaker_facts(stack.build(), breaker), metrics, queue)
    }

    #[cfg(all(
        feature = "http", feature = "circuit-breaker", feature = "hedge", feature = "metrics",
        feature = "pool", feature = "priority", feature = "rate-limit", feature = "recover",
        feature = "retry", feature = "timeout",
    ))]
    http client_stack_with_a_pool(_protocol) {
        let (stack, books) = whole!(crate::Stack::http_client("x").any_request_body());
        // Each endpoint has a breaker of its own.
        let (pool, (metrics, queue, _)) = (pool(), books);
        let stack = stack.pool(pool.addressed_by(Here)).build();
        stack_facts(pool_facts(stack, pool), metrics, queue)
    }

    #[cfg(all(
        feature = "http", feature = "circuit-breaker", feature = "metrics", feature = "priority",
        feature = "rate-limit", feature = "recover", feature = "timeout",
    ))]
    http server_stack(_protocol) {
        let (stack, books) = every!(crate::Stack::http_server("x"));
        let stack = stack.deadline(SECOND).and_then(|stack| stack.handler_timeout(SECOND));
        let stack = stack.expect("a second is a limit").build();
        let (metrics, queue, breaker) = books;
        stack_facts(breaker_facts(stack, breaker), metrics, queue)
    }
}

#[cfg(all(feature = "metrics", feature = "priority"))]
fn stack_facts<L>(
    facts: Facts<L>,
    metrics: crate::metrics::Metrics,
    queue: crate::priority::PriorityQueue,
) -> Facts<L> {
    let (books, others) = (metrics.clone(), metrics);
    let (running, queued) = (queue.clone(), queue);
    facts
        .ready_at_once()
        .catches()
        .holds("calls in flight", move || books.snapshot().in_flight)
        .holds("slots", move || running.status().running.into())
        .holds("calls queued", move || queued.status().queued as u64)
        .cancelled("metrics", move || others.snapshot().outcomes.cancelled)
}

#[cfg(feature = "circuit-breaker")]
fn breaker() -> crate::circuit_breaker::CircuitBreaker {
    let breaker = crate::circuit_breaker::CircuitBreaker::builder().consecutive_failures(100);
    breaker.build().expect("valid")
}

#[cfg(feature = "circuit-breaker")]
fn breaker_facts<L>(layer: L, breaker: crate::circuit_breaker::CircuitBreaker) -> Facts<L> {
    let books = breaker.clone();
    Facts::of(layer)
        .cancelled("circuit breaker", move || books.snapshot().cancelled)
        .refuses(move || breaker.force_open())
}

#[cfg(feature = "hedge")]
fn hedge() -> crate::hedge::Hedge {
    crate::hedge::Hedge::builder()
        .after(Duration::from_millis(50))
        .build()
        .expect("valid")
}

#[cfg(feature = "priority")]
fn queue_facts<P: Clone>(
    queue: crate::priority::PriorityQueue,
    protocol: P,
) -> Facts<crate::priority::PriorityLayer<P>> {
    let [running, queued, others] = [(); 3].map(|()| queue.clone());
    Facts::of(queue.layer_for(protocol))
        .ready_at_once()
        .holds("slots", move || running.status().running.into())
        .holds("calls queued", move || queued.status().queued as u64)
        .cancelled("queue", move || others.status().cancelled)
        .refuses(move || queue.close())
}

#[cfg(feature = "pool")]
#[derive(Clone)]
struct Here;

#[cfg(feature = "pool")]
impl<T, Request> crate::pool::Address<T, Request> for Here {
    fn address(&self, _: &T, _: &mut Request) {}
}

#[cfg(feature = "pool")]
fn pool() -> crate::pool::Pool<u8> {
    let pool = crate::pool::Pool::builder().endpoint("a", 1).endpoint("b", 2);
    pool.build().expect("valid")
}

#[cfg(feature = "pool")]
fn pool_facts<L>(layer: L, pool: crate::pool::Pool<u8>) -> Facts<L> {
    let sum = |of: fn(&crate::pool::EndpointSnapshot) -> u64| {
        let pool = pool.clone();
        move || pool.snapshot().endpoints.iter().map(of).sum()
    };
    let (in_flight, cancelled) = (sum(|e| e.in_flight), sum(|e| e.cancelled));
    Facts::of(layer)
        .ready_at_once()
        .holds("calls at endpoints", in_flight)
        .cancelled("pool", cancelled)
        .refuses(move || {
            for name in pool.endpoints() {
                assert!(pool.drain(&name));
            }
        })
}
