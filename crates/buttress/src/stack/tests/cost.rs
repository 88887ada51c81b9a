//! What a call through a whole stack costs: counted, not timed.

use std::{
    pin::pin,
    task::{Context, Waker},
};

use super::*;

/// Allocations made by the last of several calls that are answered at once.
fn allocations<S: Service<Q>, Q>(service: &mut S, mut request: impl FnMut() -> Q) -> u64 {
    let mut used = 0;
    for _ in 0..3 {
        let request = request();
        used = allocation_counter::measure(|| {
            let mut call = pin!(service.call(request));
            assert!(
                call.as_mut()
                    .poll(&mut Context::from_waker(Waker::noop()))
                    .is_ready()
            );
        })
        .count_total;
    }
    used
}

const SECOND: Duration = Duration::from_secs(1);

/// A limit that nobody reaches.
fn unused() -> RateLimiter {
    RateLimiter::per_second(1_000_000).build().expect("valid")
}

/// Every policy of a client on.
macro_rules! on {
    ($stack:expr) => {
        $stack
            .metrics(Metrics::new())
            .recover()
            .retry(Retry::standard())
            .hedge(Hedge::builder().after(SECOND).build().expect("valid"))
            .priority(PriorityQueue::new())
            .rate_limit(unused())
            .circuit_breaker(CircuitBreaker::new())
            .total_timeout(SECOND)
            .and_then(|stack| stack.attempt_timeout(SECOND))
            .expect("a second is a limit")
    };
}

#[test]
fn around_a_plain_service_nothing_is_allocated() {
    let stack: FullClient<Plain> = on!(Stack::new("x")).full().build();
    assert_eq!(allocations(&mut stack.service(Bottom::default()), || 1), 0);
    let off: FullClient<Plain> = Stack::new("x").full().build();
    assert_eq!(allocations(&mut off.service(Bottom::default()), || 1), 0);
}

#[cfg(feature = "pool")]
#[test]
fn an_endpoint_is_chosen_without_allocating() {
    let pool = crate::pool::Pool::builder()
        .endpoint("a", 1)
        .endpoint("b", 2)
        .build()
        .expect("valid");
    let stack = on!(Stack::new("x"))
        .pool(pool.addressed_by(|address: &u32, request: &mut u32| *request = *address))
        .build();
    assert_eq!(allocations(&mut stack.service(Bottom::default()), || 1), 0);
    // Not even for a refusal.
    pool.remove("a");
    pool.remove("b");
    let stack = on!(Stack::new("x"))
        .pool(pool.addressed_by(|_: &u32, _: &mut u32| {}))
        .build();
    assert_eq!(allocations(&mut stack.service(Bottom::default()), || 1), 0);
}

#[test]
fn a_trace_costs_the_context_that_it_is_in() {
    let stack: FullClient<Plain> = on!(Stack::new("x")).trace_id(TraceId::w3c()).full().build();
    assert_eq!(allocations(&mut stack.service(Bottom::default()), || 1), 1);
}

#[test]
fn a_refusal_allocates_nothing() {
    let breaker = CircuitBreaker::new();
    breaker.force_open();
    let stack: FullClient<Plain> = on!(Stack::new("x")).circuit_breaker(breaker).full().build();
    assert_eq!(allocations(&mut stack.service(Bottom::default()), || 1), 0);
    let limiter = RateLimiter::per_hour(1).build().expect("valid");
    let stack: FullClient<Plain> = on!(Stack::new("x")).rate_limit(limiter.clone()).full().build();
    assert_eq!(allocations(&mut stack.service(Bottom::default()), || 1), 0);
    assert_eq!(limiter.snapshot().limited, 2);
    let queue = PriorityQueue::new();
    queue.close();
    let stack: FullClient<Plain> = on!(Stack::new("x")).priority(queue.clone()).full().build();
    assert_eq!(allocations(&mut stack.service(Bottom::default()), || 1), 0);
    assert_eq!(queue.status().rejected_shed, 3);
}

/// There are two attempts in it, each with a span, and five timers; what is beside them should be a few cache lines, for it is moved
/// about.
#[test]
fn the_futures_of_a_whole_stack_are_of_bearable_size() {
    type Around<S> = <FullClient<Plain> as Layer<S>>::Service;
    type Future<S> = <Around<S> as Service<u32>>::Future;
    let future = size_of::<Future<Bottom>>() - size_of::<Ready<Result<u32, Infallible>>>();
    assert!(future <= 1608, "{future} bytes");
    let service = size_of::<Around<Bottom>>() - size_of::<Bottom>();
    assert!(service <= 136, "{service} bytes");
}

#[cfg(feature = "http")]
mod over_http {
    use ::http::{HeaderValue, Request, Response};
    use bytes::Bytes;
    use http_body_util::{Empty, Full};

    use super::*;
    use crate::http::ReplayBody;

    type Answer = Result<Response<Full<Bytes>>, Infallible>;

    fn get() -> Request<Empty<Bytes>> {
        let mut request = Request::new(Empty::new());
        let host = HeaderValue::from_static("localhost");
        request.headers_mut().insert("host", host);
        request
    }

    fn answering<B>() -> impl Service<Request<B>, Response = Response<Full<Bytes>>, Error = Infallible> + Clone
    {
        service_fn(|_: Request<B>| ready(Answer::Ok(Response::new(Full::from("well")))))
    }

    /// A map in the extensions, its table, the context and its tally.
    const CONTEXT: u64 = 4;
    /// The headers that are kept to send the request again, as a list.
    const COPY: u64 = 1;
    /// A map of headers that had none: its table and its entries.
    const HEADERS: u64 = 2;

    /// Of a stack around an HTTP client that is answered.
    macro_rules! allocated {
        ($stack:expr) => {
            allocations(
                &mut $stack
                    .any_request_body()
                    .build()
                    .service(answering::<ReplayBody<Empty<Bytes>>>()),
                get,
            )
        };
    }

    #[test]
    fn around_an_http_client_it_is_the_context_and_the_copies_of_the_head() {
        assert_eq!(allocations(&mut answering(), get), 0, "the service itself");
        let client = || Stack::http_client("x");
        assert_eq!(allocated!(client().full()), 0, "all of them off");
        // The retry's and the hedge's.
        assert_eq!(allocated!(on!(client()).full()), CONTEXT + 2 * COPY, "six");
        assert_eq!(allocated!(on!(client()).hedge(None).full()), CONTEXT + COPY);
        // Each where it is asked for.
        assert_eq!(allocated!(client().retry(Retry::standard())), COPY);
        assert_eq!(allocated!(on!(client()).total_timeout(None).hedge(None)), COPY);
        assert_eq!(allocated!(on!(client()).retry(None).hedge(None)), CONTEXT);
        // Of a trace, which has its place in the context, the one with the values of both headers.
        let traced = || on!(client()).trace_id(TraceId::w3c());
        assert_eq!(allocated!(traced().full()), CONTEXT + 2 * COPY + 1);
        assert_eq!(allocated!(traced().retry(None).hedge(None)), CONTEXT + 1);
    }

    #[cfg(feature = "pool")]
    #[test]
    fn a_pool_keeps_a_copy_of_the_head_for_another_endpoint() {
        use ::http::uri::Authority;
        let pool = |names: &[&'static str]| {
            let mut pool = crate::pool::Pool::builder();
            for name in names {
                pool = pool.endpoint(*name, Authority::from_static(name));
            }
            pool.build().expect("valid")
        };
        let client = || Stack::http_client("x");
        assert_eq!(allocated!(client().pool(pool(&["a:1", "b:1"]))), COPY);
        assert_eq!(allocated!(client().pool(pool(&["a:1"]))), 0, "there is no other");
        let all = on!(client()).pool(pool(&["a:1", "b:1"]));
        assert_eq!(allocated!(all), CONTEXT + 3 * COPY);
    }

    #[test]
    fn around_a_handler_it_is_the_context() {
        let stack = || {
            Stack::http_server("x")
                .metrics(Metrics::new())
                .recover()
                .rate_limit(unused())
                .priority(PriorityQueue::new())
                .circuit_breaker(CircuitBreaker::new())
                .handler_timeout(SECOND)
                .expect("a second is a limit")
        };
        let mut service = stack().full().build().service(answering());
        assert_eq!(allocations(&mut service, get), 0);
        let mut service = stack()
            .deadline(SECOND)
            .expect("a limit")
            .build()
            .service(answering());
        assert_eq!(allocations(&mut service, get), CONTEXT);
        // The id in the answer, and the answer's map of headers.
        let traced = || stack().trace_id(TraceId::w3c());
        let mut service = traced().full().build().service(answering());
        assert_eq!(allocations(&mut service, get), CONTEXT + 1 + HEADERS);
        let mut service = traced()
            .deadline(SECOND)
            .expect("a limit")
            .build()
            .service(answering());
        assert_eq!(allocations(&mut service, get), CONTEXT + 1 + HEADERS);
    }
}
