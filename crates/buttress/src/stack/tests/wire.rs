//! Stacks over HTTP and gRPC: bodies that are sent again, deadlines on the wire.

use std::pin::Pin;

use ::http::{Request, Response};
use bytes::Bytes;
use http_body::Body;
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use tower::util::BoxCloneSyncService;

use super::*;
use crate::{
    ErrorLayer, Grpc, Http,
    clock::{self, Instant},
    http::ReplayBody,
    replay::{Bare, With},
    stack::FullServer,
    test_services::Frames,
    timeout::Deadline,
};

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// What an upstream saw of each request: the body, and its `grpc-timeout`.
type Seen = Arc<Mutex<Vec<(Bytes, Option<String>)>>>;

/// Reads each request to its end; answers the first with 503 and all others well.
fn upstream<B>(seen: &Seen) -> BoxCloneSyncService<Request<B>, Response<Full<Bytes>>, Infallible>
where
    B: Body<Data = Bytes, Error: std::fmt::Debug + Send> + Send + 'static,
{
    let seen = seen.clone();
    BoxCloneSyncService::new(service_fn(move |request: Request<B>| {
        let seen = seen.clone();
        async move {
            let timeout = request.headers().get("grpc-timeout");
            let timeout = timeout.map(|t| t.to_str().expect("ASCII").to_owned());
            let body = request
                .into_body()
                .collect()
                .await
                .expect("a whole body")
                .to_bytes();
            let mut seen = seen.lock().expect("no panic");
            seen.push((body, timeout));
            let status = if seen.len() == 1 { 503 } else { 200 };
            Ok(Response::builder()
                .status(status)
                .body(Full::default())
                .expect("valid"))
        }
    }))
}

fn put<B>(body: B) -> Request<B> {
    Request::put("/books/4").body(body).expect("valid")
}

macro_rules! retrying {
    () => {
        Stack::http_client("x")
            .metrics(Metrics::new())
            .recover()
            .retry(Retry::standard())
            .circuit_breaker(CircuitBreaker::new())
            .total_timeout(ms(10_000))
            .and_then(|stack| stack.attempt_timeout(ms(1000)))
            .expect("limits")
    };
}

async fn sent_twice<S, Q, B>(client: S, request: Q, seen: &Seen)
where
    S: Service<Q, Response = Response<B>, Error: std::fmt::Debug>,
{
    let response = client.oneshot(request).await.expect("an answer");
    assert_eq!(response.status(), 200);
    let bodies: Vec<Bytes> = std::mem::take(&mut *seen.lock().expect("no panic"))
        .into_iter()
        .map(|(body, _)| body)
        .collect();
    assert_eq!(bodies, ["four", "four"]);
}

type Boxed = Pin<Box<dyn Body<Data = Bytes, Error = BoxError> + Send>>;

#[tokio::test(start_paused = true)]
async fn a_body_is_sent_again_in_whichever_type_the_service_takes() {
    let seen = Seen::default();
    // The caller's own,
    let same: FullClient<Http> = retrying!().full().build();
    let request = put(Box::pin(Full::from("four").map_err(BoxError::from)) as Boxed);
    sent_twice(same.service(upstream::<Boxed>(&seen)), request, &seen).await;
    // the one that can be sent again, as it is,
    let bare: FullClient<Http, Bare> = retrying!().any_request_body().full().build();
    let client = bare.service(upstream::<ReplayBody<Full<Bytes>>>(&seen));
    sent_twice(client, put(Full::from("four")), &seen).await;
    // or what a function makes of it, whose type has a name if it is a pointer.
    type Host = UnsyncBoxBody<Bytes, BoxError>;
    type Hosts = With<fn(ReplayBody<Full<Bytes>>) -> Host>;
    let with: FullClient<Http, Hosts> = retrying!()
        .request_body::<fn(_) -> _>(UnsyncBoxBody::new)
        .full()
        .build();
    let client = with.service(upstream::<Host>(&seen));
    sent_twice(client, put(Full::from("four")), &seen).await;
}

/// A request that is as little `Clone` as its body goes through a stack that calls nothing again.
#[tokio::test]
async fn without_a_retry_the_body_is_what_it_was() {
    let client = Stack::http_client("x")
        .metrics(Metrics::new())
        .circuit_breaker(CircuitBreaker::new())
        .attempt_timeout(ms(1000))
        .expect("a limit")
        .build()
        .service(service_fn(|request: Request<Boxed>| {
            ready(Ok::<_, Infallible>(Response::new(request.into_body())))
        }));
    let request = put(Box::pin(Full::from("four").map_err(BoxError::from)) as Boxed);
    let answer = client.oneshot(request).await.expect("an answer").into_body();
    assert_eq!(answer.collect().await.expect("whole").to_bytes(), "four");
}

/// A call with so much time.
fn asking(timeout: Option<&str>) -> Request<Full<Bytes>> {
    let mut request = Request::post("/shop.Shop/Buy");
    if let Some(timeout) = timeout {
        request = request.header("grpc-timeout", timeout);
    }
    request.body(Full::default()).expect("valid")
}

#[tokio::test(start_paused = true)]
async fn a_grpc_server_stops_work_when_the_clients_deadline_passes() {
    let metrics = Metrics::new();
    let stack = |deadline: Deadline| -> FullServer<Grpc> {
        Stack::grpc_server("api")
            .metrics(metrics.clone())
            .deadline(deadline)
            .circuit_breaker(CircuitBreaker::new())
            .recover()
            .full()
            .build()
    };
    let capped = || Deadline::after(ms(500)).build().expect("valid");
    for (deadline, asked, took) in [
        (Deadline::new(), Some("250m"), 250),
        (capped(), Some("250m"), 250),
        (capped(), Some("20S"), 500),
        (capped(), None, 500),
    ] {
        let at_work = Arc::new(());
        let work = at_work.clone();
        let start = clock::now();
        let handler = service_fn(move |request: Request<Full<Bytes>>| {
            // The handler may tell those that it calls in turn.
            let context = request.extensions().get::<crate::CallContext>();
            let left = context.and_then(|c| c.deadline()).expect("a deadline");
            assert_eq!(left.duration_since(start), ms(took));
            let work = work.clone();
            async move {
                pending::<()>().await;
                drop(work);
                Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
            }
        });
        let response = stack(deadline).service(handler).oneshot(asking(asked)).await;
        let response = response.expect("a server answers");
        assert_eq!(response.headers()["grpc-status"], "4", "DEADLINE_EXCEEDED");
        assert_eq!(start.elapsed(), ms(took));
        // The handler itself is gone, too.
        assert_eq!(Arc::strong_count(&at_work), 1, "nobody works on");
    }
    assert_eq!(metrics.snapshot().outcomes.timed_out, 4);
}

#[tokio::test(start_paused = true)]
async fn a_handler_may_have_less_time_than_the_call_and_its_request_is_left_as_it_came() {
    let (seen, breaker) = (Seen::default(), CircuitBreaker::new());
    let server = Stack::grpc_server("api")
        .circuit_breaker(breaker.clone())
        .deadline(Deadline::new())
        .handler_timeout(ms(100))
        .expect("a limit")
        .build();
    let response = server.service(upstream(&seen)).oneshot(asking(Some("5S"))).await;
    assert_eq!(response.expect("a server answers").status(), 503);
    assert_eq!(seen.lock().expect("no panic")[0].1.as_deref(), Some("5S"));

    let slow = service_fn(|_: Request<Full<Bytes>>| pending::<Result<Response<Full<Bytes>>, Infallible>>());
    let start = clock::now();
    let response = server.service(slow).oneshot(asking(Some("5S"))).await;
    let response = response.expect("a server answers");
    assert_eq!(response.headers()["grpc-status"], "4");
    assert_eq!(start.elapsed(), ms(100));
    let books = breaker.snapshot();
    assert_eq!(
        (books.failure, books.slow),
        (2, 0),
        "the breaker is told of it, as of the 503"
    );
}

#[tokio::test(start_paused = true)]
async fn a_grpc_client_lowers_the_timeout_that_it_sends_on() {
    let lowered = async |asked: Option<&str>, attempt: Option<u64>, total: u64| {
        let seen = Seen::default();
        let attempt = attempt.map(|time| crate::timeout::Timeout::after(ms(time)).build().expect("valid"));
        let client = Stack::grpc_client("shop")
            .retry(
                Retry::builder()
                    .jitter(crate::retry::Jitter::None)
                    .build()
                    .expect("valid"),
            )
            .attempt_timeout(attempt.unwrap_or_default())
            .total_timeout(ms(total))
            .expect("a limit")
            .any_request_body()
            .build()
            .service(upstream::<ReplayBody<Full<Bytes>>>(&seen));
        client.oneshot(asking(asked)).await.expect("an answer");
        let seen = seen.lock().expect("no panic");
        let sent: Vec<u64> = seen
            .iter()
            .map(|(_, timeout)| millis(timeout.as_deref()))
            .collect();
        sent
    };
    // 503 is UNAVAILABLE, which is tried again after 100 ms: the second attempt has that much less of the total.
    assert_eq!(lowered(None, Some(2000), 10_000).await, [10_000, 9900]);
    assert_eq!(lowered(Some("1S"), Some(2000), 10_000).await, [1000, 900]);
    assert_eq!(lowered(Some("9S"), None, 700).await, [700, 600]);
}

/// A `grpc-timeout`, in milliseconds.
fn millis(timeout: Option<&str>) -> u64 {
    let timeout = timeout.expect("it is sent");
    let (number, unit) = timeout.split_at(timeout.len() - 1);
    let number: u64 = number.parse().expect("a number");
    match unit {
        "S" => number * 1000,
        "m" => number,
        "u" => number / 1000,
        "n" => number / 1_000_000,
        other => panic!("{other}"),
    }
}

/// The deadline of a server's call is that of the calls that its handler makes, if it hands its context on.
#[tokio::test(start_paused = true)]
async fn a_deadline_goes_through_a_server_to_the_client_in_its_handler() {
    let start: Instant = clock::now();
    let client = Stack::new("db")
        .total_timeout(ms(60_000))
        .expect("a limit")
        .build();
    let database = service_fn(|()| pending::<Result<(), Infallible>>());
    let client = client.service(database);
    let handler = service_fn(move |request: Request<Full<Bytes>>| {
        let client = client.clone();
        let context = request.extensions().get::<crate::CallContext>().cloned();
        async move {
            let call = context.expect("a context").scope(client.oneshot(()));
            let error = call.await.expect_err("it hangs");
            let kind = error.rejected().expect("a refusal").kind();
            assert_eq!(kind, RejectionKind::TimedOut);
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
        }
    });
    let server = Stack::http_server("api")
        .deadline(ms(300))
        .expect("a limit")
        .build();
    let _ = server.service(handler).oneshot(asking(None)).await;
    assert_eq!(start.elapsed(), ms(300));
}

// ===== several that keep the body =====

/// Reads each request to its end and then plays its part: hangs, is busy, and is well for ever after.
fn moody<B>(seen: &Seen) -> BoxCloneSyncService<Request<B>, Response<Full<Bytes>>, Infallible>
where
    B: Body<Data = Bytes, Error: std::fmt::Debug + Send> + Send + 'static,
{
    let seen = seen.clone();
    BoxCloneSyncService::new(service_fn(move |request: Request<B>| {
        let seen = seen.clone();
        async move {
            let body = request
                .into_body()
                .collect()
                .await
                .expect("a whole body")
                .to_bytes();
            let calls = {
                let mut seen = seen.lock().expect("no panic");
                seen.push((body, None));
                seen.len()
            };
            let status = match calls {
                1 => pending().await,
                2 => 503,
                _ => 200,
            };
            Ok(Response::builder()
                .status(status)
                .body(Full::default())
                .expect("valid"))
        }
    }))
}

/// A body in two pieces, of which nobody knows how many they are: it is not complete before it is sent.
fn streamed() -> Frames {
    Frames::new(["fo", "ur"].map(|piece| http_body::Frame::data(Bytes::from(piece))))
}

macro_rules! hedged {
    ($stack:expr) => {
        $stack
            .hedge(Hedge::builder().after(ms(50)).build().expect("valid"))
            .attempt_timeout(ms(200))
            .expect("a limit")
    };
}

/// The body went out three times, to whoever was asked.
fn thrice<B>(answer: Result<Response<B>, Error<Infallible>>, seen: &Seen) {
    assert_eq!(answer.expect("an answer").status(), 200);
    let seen = std::mem::take(&mut *seen.lock().expect("no panic"));
    let bodies: Vec<Bytes> = seen.into_iter().map(|(body, _)| body).collect();
    assert_eq!(bodies, ["four"; 3]);
}

/// The first attempt hangs, the hedge beside it fails, and the retry after both is answered.
#[tokio::test(start_paused = true)]
async fn retry_and_hedge_share_what_is_remembered_of_a_body() {
    type Host = UnsyncBoxBody<Bytes, BoxError>;
    let stack = || hedged!(retrying!());
    let seen = Seen::default();
    // The service gets the type that it would get of one of them alone.
    let client = stack()
        .any_request_body()
        .build()
        .service(moody::<ReplayBody<Frames>>(&seen));
    thrice(client.oneshot(put(streamed())).await, &seen);
    let client = stack()
        .request_body(Host::new)
        .build()
        .service(moody::<Host>(&seen));
    thrice(client.oneshot(put(streamed())).await, &seen);
    let client = stack().build().service(moody::<Boxed>(&seen));
    let boxed = Box::pin(streamed().map_err(BoxError::from)) as Boxed;
    thrice(client.oneshot(put(boxed)).await, &seen);
}

/// In a stack from a file either may be off, and the other still has the body.
#[tokio::test(start_paused = true)]
async fn each_keeps_the_body_if_the_other_is_off() {
    for hedges in [false, true] {
        let hedge = Hedge::builder().after(ms(50)).build().expect("valid");
        let retry = Retry::builder()
            .jitter(crate::retry::Jitter::None)
            .build()
            .expect("valid");
        let seen = Seen::default();
        let stack: FullClient<Http, Bare> = Stack::http_client("x")
            .hedge(hedges.then_some(hedge))
            .retry((!hedges).then_some(retry))
            .attempt_timeout(ms(200))
            .expect("a limit")
            .any_request_body()
            .full()
            .build();
        let client = stack.service(moody::<ReplayBody<Frames>>(&seen));
        let _ = client.oneshot(put(streamed())).await;
        let bodies = seen
            .lock()
            .expect("no panic")
            .iter()
            .map(|(body, _)| body.clone())
            .collect::<Vec<_>>();
        assert_eq!(
            bodies,
            vec!["four"; if hedges { 2 } else { 3 }],
            "hedges: {hedges}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn another_service_that_answers_shares_it_as_well() {
    let (seen, elsewhere) = (Seen::default(), Seen::default());
    // It has been there twice, and so is well.
    elsewhere
        .lock()
        .expect("no panic")
        .extend([(), ()].map(|()| (Bytes::from("four"), None)));
    let other = ErrorLayer::new().layer(moody::<ReplayBody<Frames>>(&elsewhere));
    let client = hedged!(Stack::http_client("x"))
        .fallback(Fallback::service(other).build().expect("valid"))
        .retry(Retry::builder().max_attempts(1).build().expect("valid"))
        .any_request_body()
        .build()
        .service(moody::<ReplayBody<Frames>>(&seen));
    thrice(client.oneshot(put(streamed())).await, &elsewhere);
    let here = seen
        .lock()
        .expect("no panic")
        .iter()
        .map(|(body, _)| body.clone())
        .collect::<Vec<_>>();
    assert_eq!(here, ["four"; 2], "the attempt and its hedge");
}

#[tokio::test(start_paused = true)]
async fn a_fallback_answers_outside_of_the_total_and_inside_of_the_metrics() {
    let metrics = Metrics::new();
    let answer = ::http::Response::new("cached");
    let client = Stack::http_client("x")
        .metrics(metrics.clone())
        .fallback(Fallback::response(answer).build().expect("valid"))
        .total_timeout(ms(100))
        .expect("a limit")
        .build()
        .service(service_fn(|_: Request<()>| {
            pending::<Result<Response<Full<Bytes>>, Infallible>>()
        }));
    let response = client.oneshot(Request::new(())).await.expect("an answer");
    let body = response.into_body().collect().await.expect("whole").to_bytes();
    assert_eq!(body, "cached");
    let outcomes = metrics.snapshot().outcomes;
    assert_eq!((outcomes.success, outcomes.timed_out), (1, 0));
}
