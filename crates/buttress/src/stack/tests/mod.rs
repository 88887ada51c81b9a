mod config;
mod cost;
mod limits;
mod order;
#[cfg(feature = "pool")]
mod pooled;
#[cfg(feature = "http")]
mod traced;
#[cfg(feature = "http")]
mod wire;

use std::{
    convert::Infallible,
    future::{Ready, pending, ready},
    panic,
    rc::Rc,
    sync::{Arc, Mutex},
    time::Duration,
};

#[cfg(feature = "http")]
use tower::ServiceBuilder;
use tower::{BoxError, Service, ServiceExt, buffer::Buffer, service_fn};
use tower_layer::{Layer, layer_fn};

use super::*;
use crate::{
    CallError, Error, Outcome, RejectionKind,
    circuit_breaker::{CircuitBreaker, State},
    fallback::{Fallback, NoAnswer},
    hedge::Hedge,
    metrics::Metrics,
    outcome::{Reason, Verdict},
    priority::PriorityQueue,
    rate_limit::RateLimiter,
    recover::Recover,
    registry::Drill,
    retry::Retry,
    trace_id::TraceId,
};

fn breaker() -> CircuitBreaker {
    CircuitBreaker::builder()
        .consecutive_failures(1)
        .build()
        .expect("valid")
}

fn is_open<T, E: CallError>(result: &Result<T, E>) -> bool {
    let rejected = result.as_ref().err().and_then(CallError::rejected);
    rejected.is_some_and(|r| r.kind() == RejectionKind::CircuitOpen)
}

/// Writes its name down when a call passes it.
fn witness(
    name: &'static str,
    seen: &Arc<Mutex<Vec<&'static str>>>,
) -> impl Layer<Bottom, Service = Bottom> + Clone + use<> {
    let seen = seen.clone();
    layer_fn(move |mut inner: Bottom| {
        inner.seen.push((name, seen.clone()));
        inner
    })
}

#[derive(Clone, Default)]
struct Bottom {
    seen: Vec<(&'static str, Arc<Mutex<Vec<&'static str>>>)>,
}

impl Service<u32> for Bottom {
    type Response = u32;
    type Error = Infallible;
    type Future = Ready<Result<u32, Infallible>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: u32) -> Self::Future {
        for (name, seen) in &self.seen {
            seen.lock().expect("no panic").push(name);
        }
        ready(Ok(request))
    }
}

#[tokio::test]
async fn setters_come_in_any_order() {
    let one = Stack::new("a")
        .metrics(Metrics::new())
        .recover()
        .circuit_breaker(breaker())
        .build();
    let other = Stack::new("a")
        .circuit_breaker(breaker())
        .recover()
        .metrics(Metrics::new())
        .build();
    // One type: the order of the calls leaves no trace.
    let stacks = [one, other];
    for stack in stacks {
        assert_eq!(stack.service(Bottom::default()).oneshot(1).await.ok(), Some(1));
    }
}

#[tokio::test]
async fn an_empty_stack_asks_nothing_of_the_service() {
    // Neither Clone nor Send nor 'static, and a borrowed request.
    let local = Rc::new(3);
    let mut stack = Stack::new("x").build().service(service_fn(|word: &str| {
        ready(Ok::<_, Infallible>(word.len() + *local))
    }));
    let text = String::from("four");
    assert_eq!(
        stack.ready().await.expect("ready").call(&text).await.ok(),
        Some(7)
    );
}

#[tokio::test]
async fn the_breaker_sees_a_panic_of_the_service_and_the_metrics_see_one_of_a_users_layer() {
    let metrics = Metrics::new();
    let breaker = breaker();
    let recover = Recover::new();
    let stack = Stack::new("x")
        .metrics(metrics.clone())
        .circuit_breaker(breaker.clone())
        .recover_with(recover.clone())
        .build();
    let mut service = stack.service(service_fn(async |_: u32| -> Result<u32, Infallible> {
        panic!("boom")
    }));
    let error = service
        .ready()
        .await
        .expect("ready")
        .call(1)
        .await
        .expect_err("panicked");
    assert_eq!(error.rejected().map(|r| r.kind()), Some(RejectionKind::Panicked));
    assert_eq!(
        breaker.state(),
        State::Open,
        "the panic was a failure to the breaker"
    );
    assert_eq!(metrics.snapshot().outcomes.panicked, 1);
    assert_eq!(recover.panics(), 1, "caught once, not once in each place");
}

/// The service has its own guard; this one is further out.
#[tokio::test]
async fn a_panic_in_a_users_function_between_the_layers_is_an_error_of_the_call() {
    let (metrics, recover) = (Metrics::new(), Recover::new());
    let fallback = Fallback::with(|_| -> Option<u32> { panic!("as the test wants it") });
    let stack = Stack::new("x")
        .metrics(metrics.clone())
        .recover_with(recover.clone())
        .fallback(fallback.build().expect("valid"))
        .build();
    let service = stack.service(service_fn(async |_: u32| Err::<u32, _>("down")));
    let error = service.oneshot(1).await.expect_err("panicked");
    assert_eq!(error.rejected().map(|r| r.kind()), Some(RejectionKind::Panicked));
    assert_eq!((metrics.snapshot().outcomes.panicked, recover.panics()), (1, 1));
}

#[tokio::test]
async fn a_refusal_reaches_the_metrics_as_what_it_is() {
    let metrics = Metrics::new();
    let breaker = breaker();
    breaker.force_open();
    let service = Stack::new("x")
        .metrics(metrics.clone())
        .circuit_breaker(breaker)
        .build()
        .service(Bottom::default());
    assert!(is_open(&service.oneshot(1).await));
    assert_eq!(metrics.snapshot().outcomes.rejected, 1);
}

#[tokio::test]
async fn policies_are_named_after_the_stack_unless_they_have_a_name() {
    let registry = Registry::new();
    let named = CircuitBreaker::builder().name("ledger").build().expect("valid");
    let unnamed = breaker();
    let _ = Stack::new("db")
        .registry(&registry)
        .circuit_breaker(named.clone())
        .metrics(Metrics::new())
        .build();
    let _ = Stack::new("mail")
        .registry(&registry)
        .circuit_breaker(unnamed.clone())
        .recover()
        .build();
    let names: Vec<String> = registry.names().iter().map(|n| n.to_string()).collect();
    assert_eq!(names, ["db", "ledger", "mail"]);
    assert_eq!(&*unnamed.name(), "mail");

    registry
        .drill("mail", &Drill::ForceOpen)
        .expect("there is a breaker");
    assert_eq!(
        (named.state(), unnamed.state()),
        (State::Closed, State::ForcedOpen)
    );
    registry.reset_all();
    assert_eq!(unnamed.state(), State::Closed);
    let unknown = registry
        .drill("male", &Drill::Reset)
        .expect_err("no such name")
        .to_string();
    assert_eq!(unknown, "there is no policy `male`; there is db, ledger, mail");
}

#[tokio::test]
async fn a_policy_in_two_stacks_is_listed_once_and_two_of_one_name_apart() {
    let registry = Registry::new();
    let shared = breaker();
    for _ in 0..2 {
        let _ = Stack::new("db")
            .registry(&registry)
            .circuit_breaker(shared.clone())
            .build();
    }
    assert_eq!(registry.names().len(), 1);
    let _ = Stack::new("db")
        .registry(&registry)
        .circuit_breaker(breaker())
        .build();
    let names: Vec<String> = registry.names().iter().map(|n| n.to_string()).collect();
    assert_eq!(names, ["db", "db#2"]);
}

#[tokio::test]
async fn snapshots_are_json() {
    let registry = Registry::new();
    let service = Stack::new("upstream")
        .registry(&registry)
        .circuit_breaker(breaker())
        .metrics(Metrics::new())
        .recover()
        .build()
        .service(Bottom::default());
    service.oneshot(1).await.expect("well");
    let state = registry.snapshot();
    let json: serde_json::Value = serde_json::from_str(&state.to_string()).expect("JSON");
    assert_eq!(json["upstream"]["requests"], 1);
    assert_eq!(json["upstream"]["errors"], 0);
    assert_eq!(json["upstream"]["successRate"], 1.0);
    assert!(json["upstream"]["avgLatency"].is_number());
    assert_eq!(json["upstream"]["circuitBreaker"]["state"], "CLOSED");
    assert_eq!(json["upstream"]["circuitBreaker"]["totalCalls"], 1);
    assert_eq!(json["upstream"]["circuitBreaker"]["successCalls"], 1);
    #[cfg(feature = "serde")]
    assert_eq!(
        serde_json::to_string(&state).expect("serialises"),
        state.to_string()
    );
}

#[tokio::test]
async fn off_is_the_same_type_as_on() {
    let second = Duration::from_secs(1);
    let on = Stack::new("x")
        .trace_id(TraceId::w3c())
        .metrics(Metrics::new())
        .recover()
        .total_timeout(second)
        .expect("a time")
        .retry(Retry::standard())
        .hedge(Hedge::builder().after(second).build().expect("a time"))
        .priority(PriorityQueue::new())
        .rate_limit(RateLimiter::per_second(1).build().expect("a limit"))
        .circuit_breaker(breaker())
        .attempt_timeout(second)
        .expect("a time")
        .full()
        .build();
    let off: FullClient<Plain> = Stack::new("x")
        .trace_id(None)
        .metrics(None)
        .recover_with(None)
        .fallback(None::<Fallback<NoAnswer>>)
        .total_timeout(None)
        .retry(None)
        .hedge(None)
        .priority(None)
        .rate_limit(None)
        .circuit_breaker(None)
        .attempt_timeout(None)
        .build();
    let stacks: [FullClient<Plain>; 2] = [on, off];
    for stack in stacks {
        assert_eq!(stack.service(Bottom::default()).oneshot(5).await.ok(), Some(5));
    }
}

#[tokio::test]
async fn the_users_layers_stand_outside_and_inside() {
    let seen = Arc::default();
    let stack = Stack::new("x").inside(witness("inside", &seen)).build();
    stack.service(Bottom::default()).oneshot(1).await.expect("well");
    assert_eq!(*seen.lock().expect("no panic"), ["inside"]);

    // An outer layer sees the rejection, an inner one never does.
    let breaker = breaker();
    breaker.force_open();
    let stack = Stack::new("x")
        .circuit_breaker(breaker)
        .outside(tower::util::MapErrLayer::new(|error: Error<Infallible>| {
            error.rejected().map(|r| r.kind())
        }))
        .build();
    assert_eq!(
        stack.service(Bottom::default()).oneshot(1).await,
        Err(Some(RejectionKind::CircuitOpen))
    );
}

#[tokio::test]
async fn over_towers_buffer_a_rejection_from_below_is_understood() {
    let below = breaker();
    let above = breaker();
    let inner = Stack::new("below")
        .circuit_breaker(below.clone())
        .build()
        .service(Bottom::default());
    let buffered: Buffer<u32, _> = Buffer::new(inner, 4);
    let mut service = Stack::new("above")
        .keep_error()
        .circuit_breaker(above.clone())
        .build()
        .service(buffered);

    below.force_open();
    let result: Result<u32, BoxError> = service.ready().await.expect("ready").call(1).await;
    assert!(is_open(&result));
    assert_eq!(
        above.state(),
        State::Closed,
        "a refusal from below is no failure of the service"
    );
    assert_eq!(above.snapshot().neutral, 1);

    above.force_open();
    assert!(is_open(&service.ready().await.expect("ready").call(1).await));
}

#[tokio::test]
async fn over_a_nested_stack_a_rejection_from_below_is_understood() {
    let below = breaker();
    let above = breaker();
    below.force_open();
    let inner = Stack::new("below")
        .circuit_breaker(below)
        .recover()
        .build()
        .service(Bottom::default());
    let service = Stack::new("above")
        .keep_error()
        .circuit_breaker(above.clone())
        .metrics(Metrics::new())
        .recover()
        .build()
        .service(inner);
    let result: Result<u32, Error<Infallible>> = service.oneshot(1).await;
    assert!(is_open(&result));
    assert_eq!(above.snapshot().neutral, 1);
}

#[tokio::test]
async fn a_judgement_of_the_users_own_is_used() {
    let breaker = breaker();
    let protocol = Plain::classify(|result: &Result<u32, Error<Infallible>>| match result {
        Ok(13) => Outcome::failure(Reason::Custom("unlucky")),
        Ok(_) => Verdict::Success.into(),
        Err(error) => Outcome::of_error(error),
    });
    let mut service = Stack::new("x")
        .protocol(protocol)
        .circuit_breaker(breaker.clone())
        .build()
        .service(Bottom::default());
    service
        .ready()
        .await
        .expect("ready")
        .call(12)
        .await
        .expect("well");
    assert_eq!(breaker.state(), State::Closed);
    service
        .ready()
        .await
        .expect("ready")
        .call(13)
        .await
        .expect("answered");
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test]
async fn a_call_dropped_anywhere_is_cancelled_in_every_book() {
    let metrics = Metrics::new();
    let breaker = breaker();
    let mut service = Stack::new("x")
        .metrics(metrics.clone())
        .circuit_breaker(breaker.clone())
        .recover()
        .build()
        .service(service_fn(|_: u32| pending::<Result<u32, Infallible>>()));
    drop(service.ready().await.expect("ready").call(1));
    let mut polled = Box::pin(service.ready().await.expect("ready").call(1));
    assert!(tokio_test::task::spawn(&mut polled).poll().is_pending());
    drop(polled);
    assert_eq!(breaker.snapshot().cancelled, 2);
    assert_eq!(metrics.snapshot().outcomes.cancelled, 2);
    assert_eq!(metrics.snapshot().in_flight, 0);
}

#[cfg(feature = "http")]
mod servers {
    use std::{
        pin::Pin,
        task::{Context, Poll},
    };

    use bytes::Bytes;
    use http::{Request, Response, StatusCode};
    use http_body_util::{BodyExt, Full};

    use super::*;

    async fn handler(request: Request<()>) -> Result<Response<Full<Bytes>>, Infallible> {
        assert_ne!(request.uri().path(), "/panic", "as the test wants it");
        Ok(Response::new(Full::from("well")))
    }

    #[tokio::test]
    async fn a_server_answers_what_its_layers_refuse() {
        let breaker = CircuitBreaker::new();
        let metrics = Metrics::new();
        let mut server = Stack::http_server("api")
            .circuit_breaker(breaker.clone())
            .metrics(metrics.clone())
            .recover()
            .build()
            .service(service_fn(handler));
        let get = |path: &str| Request::get(path).body(()).expect("valid");
        async fn ask<S, B>(server: &mut S, request: Request<()>) -> (StatusCode, Bytes)
        where
            S: Service<Request<()>, Response = Response<B>, Error = Infallible>,
            B: http_body::Body<Data = Bytes, Error: std::fmt::Debug>,
        {
            let response = server
                .ready()
                .await
                .expect("infallible")
                .call(request)
                .await
                .expect("infallible");
            let status = response.status();
            (
                status,
                response.into_body().collect().await.expect("a body").to_bytes(),
            )
        }

        assert_eq!(
            ask(&mut server, get("/")).await,
            (StatusCode::OK, Bytes::from("well"))
        );
        assert_eq!(
            ask(&mut server, get("/panic")).await.0,
            StatusCode::INTERNAL_SERVER_ERROR
        );
        breaker.force_open();
        let (status, body) = ask(&mut server, get("/")).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(
            body.starts_with(b"{\"error\":{\"kind\":\"circuit_open\""),
            "{body:?}"
        );
        let outcomes = metrics.snapshot().outcomes;
        assert_eq!(
            (outcomes.success, outcomes.panicked, outcomes.rejected),
            (1, 1, 1)
        );
    }

    /// Between the handler and the one guard that bodies have there are the breaker and two time limits.
    #[tokio::test]
    async fn a_panic_in_a_body_is_caught_once_and_a_failure_to_all_that_it_came_through() {
        struct Panics;

        impl http_body::Body for Panics {
            type Data = Bytes;
            type Error = Infallible;

            fn poll_frame(
                self: Pin<&mut Self>,
                _: &mut Context<'_>,
            ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
                panic!("as the test wants it")
            }
        }

        let (breaker, recover, metrics) = (breaker(), Recover::new(), Metrics::new());
        let mut server = Stack::http_server("api")
            .metrics(metrics.clone())
            .recover_with(recover.clone())
            .deadline(crate::timeout::Deadline::new())
            .circuit_breaker(breaker.clone())
            .handler_timeout(crate::timeout::Timeout::builder().build().expect("valid"))
            .build()
            .service(service_fn(async |_: Request<()>| {
                Ok::<_, Infallible>(Response::new(Panics))
            }));
        let request = Request::get("/").body(()).expect("valid");
        let response = server.ready().await.expect("infallible").call(request).await;
        let mut body = std::pin::pin!(response.expect("infallible").into_body());

        let error = body.frame().await.expect("an error").expect_err("panicked");
        let rejected = error.downcast_ref::<crate::Rejected>();
        assert_eq!(rejected.map(|r| r.kind()), Some(RejectionKind::Panicked));
        assert!(body.frame().await.is_none(), "once");
        assert_eq!(recover.panics(), 1);
        assert_eq!(breaker.state(), State::Open, "a failure to the breaker");
        let snapshot = metrics.snapshot();
        assert_eq!((snapshot.outcomes.total(), snapshot.in_flight), (1, 0));
        assert_eq!(snapshot.outcomes.success + snapshot.outcomes.cancelled, 0);
    }

    #[tokio::test]
    async fn the_form_of_a_refusal_is_the_users() {
        let breaker = CircuitBreaker::new();
        breaker.force_open();
        let server = Stack::http_server("api")
            .circuit_breaker(breaker)
            .respond_with(|_: &crate::Rejected| {
                Response::builder().status(418).body(Bytes::new()).expect("valid")
            })
            .build()
            .service(service_fn(handler));
        let response = server.oneshot(Request::new(())).await.expect("infallible");
        assert_eq!(response.status(), 418);
    }

    #[tokio::test]
    async fn a_server_over_a_fallible_service_keeps_its_error() {
        let failing = ServiceBuilder::new()
            .layer(Stack::http_server("api").recover().build())
            .service(service_fn(|_: Request<()>| {
                ready(Err::<Response<Full<Bytes>>, _>("out of paper"))
            }));
        assert_eq!(
            failing.oneshot(Request::new(())).await.err(),
            Some("out of paper")
        );
    }
}
