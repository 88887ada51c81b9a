//! HTTP clients under a stack: hyper-util's over HTTP/1 and HTTP/2, and reqwest; on the other end of
//! the socket an upstream that is played frame by frame.

use std::{net::SocketAddr, time::Duration};

use buttress::{
    Error, Http, RejectionKind, Stack,
    circuit_breaker::{CircuitBreaker, State},
    http::ReplayBody,
    metrics::Metrics,
    recover::Recover,
    replay::Bare,
    stack::FullClient,
};
use buttress_tests::{
    books::{Books, CANCELLED, Ends, FAILURE, NEUTRAL, NOTHING, SUCCESS, THROTTLED},
    scripted::{Upstream, Version, status},
    server, soon,
};
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use tower::{BoxError, Service, ServiceExt, util::BoxCloneSyncService};

/// One type for all the clients: a response whose body is boxed, so that a test can be run with each.
type Client = BoxCloneSyncService<Request<Full<Bytes>>, Response<BoxBody>, BoxError>;
type BoxBody = http_body_util::combinators::UnsyncBoxBody<Bytes, BoxError>;

fn stack(breaker: &CircuitBreaker, metrics: &Metrics) -> FullClient<Http, Bare> {
    Stack::http_client("upstream")
        .metrics(metrics.clone())
        .circuit_breaker(breaker.clone())
        .recover_with(Recover::new())
        .any_request_body()
        .full()
        .build()
}

fn boxed<S, B, E>(service: S) -> Client
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>, Error = Error<E>>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes, Error = BoxError> + Send + 'static,
    E: std::error::Error + Send + Sync + 'static,
{
    let boxed = service
        .map_response(|response: Response<B>| response.map(BodyExt::boxed_unsync))
        .map_err(BoxError::from);
    BoxCloneSyncService::new(boxed)
}

fn hyper(version: Version) -> legacy::Client<HttpConnector, ReplayBody<Full<Bytes>>> {
    legacy::Client::builder(TokioExecutor::new())
        .http2_only(version == Version::Http2)
        .build_http()
}

/// Each of the clients under that stack, with the version that its upstream has to speak.
fn clients(breaker: &CircuitBreaker, metrics: &Metrics) -> [(Version, Client); 3] {
    let stack = || stack(breaker, metrics);
    let reqwest = reqwest::Client::builder().no_proxy().build().expect("a client");
    let reqwest = buttress_reqwest::service(reqwest)
        .map_request(|request: Request<ReplayBody<Full<Bytes>>>| request.map(reqwest::Body::wrap));
    [
        (Version::Http1, boxed(stack().service(hyper(Version::Http1)))),
        (Version::Http2, boxed(stack().service(hyper(Version::Http2)))),
        (Version::Http1, boxed(stack().service(reqwest))),
    ]
}

type Started = tokio::task::JoinHandle<Result<Response<BoxBody>, BoxError>>;

fn get(client: &Client, address: SocketAddr) -> Started {
    let request = Request::get(format!("http://{address}/"))
        .body(Full::default())
        .expect("a good request");
    tokio::spawn(client.clone().oneshot(request))
}

async fn answered(call: Started) -> Response<BoxBody> {
    soon(call).await.expect("no panic").expect("an answer")
}

fn half_open(successes: u32) -> CircuitBreaker {
    let breaker = CircuitBreaker::builder()
        .half_open_probes(1)
        .success_threshold(successes)
        .open_for(Duration::from_secs(200))
        .build()
        .expect("good options");
    breaker.transition_to(State::HalfOpen);
    breaker
}

#[tokio::test]
async fn a_whole_answer_is_a_success_at_its_end() {
    let books = Books::new();
    for (n, (version, client)) in clients(&books.breaker, &books.metrics).into_iter().enumerate() {
        let mut upstream = Upstream::start(version).await;
        let call = get(&client, upstream.address);
        let frames = upstream.call().await.begin(status(200));
        frames.data("hel");
        let mut body = answered(call).await.into_body();
        let first = soon(body.frame()).await.expect("a frame").expect("data");
        assert_eq!(first.into_data().expect("data"), "hel");
        assert_eq!(books.metrics.snapshot().in_flight, 1, "it is not over");
        frames.data("lo");
        drop(frames);
        assert_eq!(soon(body.collect()).await.expect("the rest").to_bytes(), "lo");
        let expected = Ends {
            success: n as u64 + 1,
            ..NOTHING
        };
        assert_eq!(books.ends(), expected);
    }
}

#[tokio::test]
async fn the_head_decides_where_it_can() {
    for (code, expected) in [
        (200, SUCCESS),
        (204, SUCCESS),
        (304, SUCCESS),
        (404, NEUTRAL),
        (409, NEUTRAL),
        (429, THROTTLED),
        (500, FAILURE),
        (503, FAILURE),
    ] {
        for i in 0..3 {
            let books = Books::new();
            let (version, client) = clients(&books.breaker, &books.metrics)
                .into_iter()
                .nth(i)
                .expect("three");
            let mut upstream = Upstream::start(version).await;
            let call = get(&client, upstream.address);
            upstream.call().await.end(status(code));
            let response = answered(call).await;
            assert_eq!(response.status(), code);
            assert_eq!(books.ends(), expected, "{code} {i}");
        }
    }
}

#[tokio::test]
async fn a_body_that_breaks_is_a_failure_and_one_that_is_dropped_is_cancelled() {
    for i in 0..3 {
        let books = Books::new();
        let (version, client) = clients(&books.breaker, &books.metrics)
            .into_iter()
            .nth(i)
            .expect("three");
        let mut upstream = Upstream::start(version).await;

        let call = get(&client, upstream.address);
        let frames = upstream.call().await.begin(status(200));
        frames.data("hel");
        let mut body = answered(call).await.into_body();
        soon(body.frame()).await.expect("a frame").expect("data");
        frames.break_off();
        soon(body.collect()).await.expect_err("it broke");
        assert_eq!(books.ends(), FAILURE, "{i}");

        let call = get(&client, upstream.address);
        let frames = upstream.call().await.begin(status(200));
        drop(answered(call).await);
        let expected = Ends {
            failure: 1,
            ..CANCELLED
        };
        assert_eq!(books.ends(), expected, "{i}");
        frames.dropped().await;
    }
}

#[tokio::test]
async fn a_request_that_is_given_up_before_its_headers_gives_its_slot_back() {
    for i in 0..3 {
        let (breaker, metrics) = (half_open(1), Metrics::new());
        let (version, client) = clients(&breaker, &metrics).into_iter().nth(i).expect("three");
        let mut upstream = Upstream::start(version).await;

        let call = get(&client, upstream.address);
        let arrived = upstream.call().await;
        let refused = soon(get(&client, upstream.address))
            .await
            .expect("no panic")
            .expect_err("refused");
        assert_eq!(
            buttress::CallError::rejected(&refused).map(|r| r.kind()),
            Some(RejectionKind::CircuitOpen)
        );
        call.abort();
        assert!(call.await.expect_err("aborted").is_cancelled());
        arrived.given_up().await;
        assert_eq!(
            (breaker.state(), breaker.snapshot().cancelled),
            (State::HalfOpen, 1)
        );
        assert_eq!(metrics.snapshot().outcomes.cancelled, 1);

        let call = get(&client, upstream.address);
        upstream.call().await.end(status(200));
        answered(call).await;
        assert_eq!(breaker.state(), State::Closed);
    }
}

#[tokio::test]
async fn callers_who_read_only_the_status_close_a_half_open_breaker() {
    for i in 0..3 {
        let (breaker, metrics) = (half_open(2), Metrics::new());
        let (version, client) = clients(&breaker, &metrics).into_iter().nth(i).expect("three");
        let mut upstream = Upstream::start(version).await;
        for _ in 0..2 {
            assert_eq!(breaker.state(), State::HalfOpen);
            let call = get(&client, upstream.address);
            let frames = upstream.call().await.begin(status(200));
            assert_eq!(answered(call).await.status(), 200);
            frames.dropped().await;
        }
        assert_eq!(breaker.state(), State::Closed, "{i}");
        // The books call them what they were.
        assert_eq!(breaker.snapshot().cancelled, 2);
        assert_eq!(metrics.snapshot().outcomes.cancelled, 2);
    }
}

#[tokio::test]
async fn callers_who_drop_the_body_of_an_error_do_not_close_it() {
    let (breaker, metrics) = (half_open(1), Metrics::new());
    let [(version, client), ..] = clients(&breaker, &metrics);
    let mut upstream = Upstream::start(version).await;
    let call = get(&client, upstream.address);
    let _frames = upstream.call().await.begin(status(404));
    drop(answered(call).await);
    assert_eq!(breaker.state(), State::HalfOpen, "a 404 says nothing");
    let call = get(&client, upstream.address);
    let _frames = upstream.call().await.begin(status(500));
    drop(answered(call).await);
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test]
async fn a_connection_that_is_refused_is_a_failure() {
    let nobody = server::nobody().await;
    for i in 0..3 {
        let books = Books::new();
        let (_, client) = clients(&books.breaker, &books.metrics)
            .into_iter()
            .nth(i)
            .expect("three");
        soon(get(&client, nobody))
            .await
            .expect("no panic")
            .expect_err("nobody is there");
        assert_eq!(books.ends(), FAILURE);
    }
}

#[tokio::test]
async fn an_open_breaker_leaves_the_upstream_in_peace() {
    for i in 0..3 {
        let breaker = CircuitBreaker::builder()
            .consecutive_failures(2)
            .build()
            .expect("good options");
        let (version, client) = clients(&breaker, &Metrics::new())
            .into_iter()
            .nth(i)
            .expect("three");
        let mut upstream = Upstream::start(version).await;
        for _ in 0..2 {
            let call = get(&client, upstream.address);
            upstream.call().await.end(status(503));
            answered(call).await;
        }
        assert_eq!(breaker.state(), State::Open);
        // It would hang if the upstream were asked.
        let refused = soon(get(&client, upstream.address))
            .await
            .expect("no panic")
            .expect_err("refused");
        let rejected = buttress::CallError::rejected(&refused).expect("a rejection");
        assert_eq!(
            (rejected.kind(), rejected.policy()),
            (RejectionKind::CircuitOpen, "upstream")
        );
        assert!(rejected.retry_after().is_some());
    }
}
