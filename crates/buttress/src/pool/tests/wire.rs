//! HTTP and gRPC: bodies, failover before anybody has seen an answer, and one transport for all endpoints.

use std::{convert::Infallible, pin::Pin};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full, StreamBody};
use tower::{Layer, service_fn};

use super::*;
use crate::{Grpc, Http, replay::Bare};

type HttpFailed = Error<Infallible>;

/// A node that answers with this status, in this time.
fn node(status: u16, takes: Duration) -> HttpNode {
    HttpNode {
        status,
        takes,
        asked: Arc::default(),
        body: Arc::new(|| Full::from("answer").boxed()),
    }
}

type Body_ = http_body_util::combinators::BoxBody<Bytes, Infallible>;

#[derive(Clone)]
struct HttpNode {
    status: u16,
    takes: Duration,
    /// The bodies that it was asked with.
    asked: Arc<Mutex<Vec<Bytes>>>,
    body: Arc<dyn Fn() -> Body_ + Send + Sync>,
}

impl HttpNode {
    fn asked(&self) -> Vec<Bytes> {
        self.asked.lock().expect("no panic").clone()
    }
}

impl<B> Service<Request<B>> for HttpNode
where
    B: Body<Data = Bytes, Error: std::fmt::Debug> + Send + 'static,
{
    type Response = Response<Body_>;
    type Error = HttpFailed;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, HttpFailed>> + Send>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), HttpFailed>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let node = self.clone();
        Box::pin(async move {
            let body = request.into_body().collect().await.expect("a body").to_bytes();
            node.asked.lock().expect("no panic").push(body);
            tokio::time::sleep(node.takes).await;
            let mut response = Response::new((node.body)());
            *response.status_mut() = StatusCode::from_u16(node.status).expect("a status");
            Ok(response)
        })
    }
}

fn pool_of(nodes: &[HttpNode]) -> Pool<HttpNode> {
    let endpoints = nodes.iter().enumerate();
    Pool::builder()
        .balance(Strategy::RoundRobin)
        .breaker(breaker())
        .extend(endpoints.map(|(i, node)| Endpoint::new(i.to_string(), node.clone())))
        .build()
        .expect("valid")
}

fn http(pool: &Pool<HttpNode>) -> PoolService<HttpNode, Own, Http, Bare> {
    PoolService::new(pool.clone(), Own, Http::new(), Bare)
}

fn request(method: &str, body: &'static str) -> Request<Full<Bytes>> {
    let request = Request::builder().method(method).uri("/");
    request.body(Full::from(body)).expect("a request")
}

#[tokio::test(start_paused = true)]
async fn an_idempotent_request_fails_over_with_its_body_and_a_post_does_not() {
    let nodes = [node(503, ms(1)), node(200, ms(1))];
    let pool = pool_of(&nodes);
    let mut service = http(&pool);
    let answer = service.call(request("PUT", "payload")).await.expect("an answer");
    assert_eq!(answer.status(), 200);
    assert_eq!(
        (nodes[0].asked(), nodes[1].asked()),
        (vec!["payload".into()], vec!["payload".into()])
    );
    let mut statuses = Vec::new();
    for _ in 0..2 {
        let answer = service.call(request("POST", "payload")).await.expect("an answer");
        statuses.push(answer.status().as_u16());
    }
    assert_eq!(statuses, [200, 503]);
    assert_eq!(nodes[1].asked().len(), 2);
    let state = pool.snapshot();
    assert_eq!(state.endpoint("0").map(|e| (e.failure, e.moved)), Some((2, 1)));
}

/// The method of a gRPC call does not say whether it may be carried out twice.
#[tokio::test(start_paused = true)]
async fn a_grpc_call_that_timed_out_does_not_fail_over() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let late = service_fn(move |_: Request<crate::http::ReplayBody<Full<Bytes>>>| {
        count.fetch_add(1, SeqCst);
        let late = Rejected::new(RejectionKind::TimedOut, "attempt");
        std::future::ready(Err::<Response<Body_>, HttpFailed>(late.into()))
    });
    let endpoints = ["a", "b"].map(|name| Endpoint::new(name, late.clone()));
    let pool = Pool::builder().breaker(breaker()).extend(endpoints);
    let pool = pool.build().expect("valid");

    let mut grpc = PoolService::new(pool.clone(), Own, Grpc::new(), Bare);
    assert!(grpc.call(request("POST", "one book")).await.is_err());
    assert_eq!(asked.load(SeqCst), 1);

    let mut http = PoolService::new(pool, Own, Http::new(), Bare);
    assert!(http.call(request("PUT", "one book")).await.is_err());
    assert_eq!(asked.load(SeqCst), 3, "an idempotent one does");
}

/// Whatever it holds, a permit further in or a connection, is not held while another endpoint works.
#[tokio::test(start_paused = true)]
async fn a_failed_answer_is_gone_before_another_endpoint_is_asked() {
    let mut nodes = [node(503, ms(1)), node(200, ms(1))];
    let held = Arc::new(());
    let (first, watch) = (held.clone(), Arc::downgrade(&held));
    nodes[0].body = Arc::new(move || {
        let held = first.clone();
        let holding = move |frame| {
            let _ = &held;
            frame
        };
        Full::from("busy").map_frame(holding).boxed()
    });
    let seen = Arc::new(AtomicUsize::new(0));
    let sees = seen.clone();
    nodes[1].body = Arc::new(move || {
        sees.store(watch.strong_count(), SeqCst);
        Full::from("answer").boxed()
    });
    let pool = pool_of(&nodes);
    let answer = http(&pool).call(request("PUT", "payload")).await;
    assert_eq!(answer.expect("an answer").status(), 200);
    // Here, and where bodies are made of it.
    assert_eq!((seen.load(SeqCst), Arc::strong_count(&held)), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn which_statuses_go_elsewhere() {
    for (status, goes) in [
        (502, true),
        (503, true),
        (504, true),
        (429, true),
        (500, false),
        (501, false),
        (404, false),
    ] {
        let nodes = [node(status, ms(1)), node(200, ms(1))];
        let answer = http(&pool_of(&nodes))
            .call(request("GET", ""))
            .await
            .expect("an answer");
        assert_eq!(answer.status() == 200, goes, "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_too_long_to_be_remembered_is_sent_once() {
    let nodes = [node(503, ms(1)), node(200, ms(1))];
    let pool = pool_of(&nodes);
    pool.reconfigure(pool.options().max_body(3)).expect("valid");
    let answer = http(&pool)
        .call(request("PUT", "payload"))
        .await
        .expect("an answer");
    assert_eq!(
        (answer.status(), nodes[1].asked().len()),
        (StatusCode::SERVICE_UNAVAILABLE, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn a_call_is_in_flight_to_the_end_of_its_body_and_fast_at_its_headers() {
    let nodes = [node(200, ms(20))];
    let (sender, mut frames) = tokio::sync::mpsc::unbounded_channel();
    let frames = futures_util::stream::poll_fn(move |cx| frames.poll_recv(cx));
    let body = Mutex::new(Some(StreamBody::new(frames)));
    let mut streaming = nodes[0].clone();
    streaming.body = Arc::new(move || body.lock().expect("no panic").take().expect("one call").boxed());
    let pool = pool_of(&[streaming]);
    let answer = http(&pool).call(request("GET", "")).await.expect("an answer");
    let state = || pool.snapshot().endpoints.remove(0);
    assert_eq!((state().in_flight, state().success), (1, 0));
    tokio::time::sleep(secs(3)).await;
    sender
        .send(Ok(Frame::data("late".into())))
        .expect("somebody reads");
    drop(sender);
    let read = answer.into_body().collect().await.expect("a body");
    assert_eq!(read.to_bytes(), "late");
    assert_eq!((state().in_flight, state().success), (0, 1));
    assert_eq!(state().average_latency.map(|t| t.as_millis()), Some(20));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_dropped_or_breaks_is_not_a_success() {
    let nodes = [node(200, ms(1))];
    let pool = pool_of(&nodes);
    let answer = http(&pool).call(request("GET", "")).await.expect("an answer");
    drop(answer);
    let state = pool.snapshot().endpoints.remove(0);
    assert_eq!((state.in_flight, state.cancelled, state.failure), (0, 1, 0));
    let broken = service_fn(async |_: Request<crate::http::ReplayBody<Full<Bytes>>>| {
        let cut = futures_util::stream::iter([Err::<Frame<Bytes>, _>("cut")]);
        Ok::<_, HttpFailed>(Response::new(StreamBody::new(cut)))
    });
    let pool = Pool::builder()
        .breaker(breaker())
        .endpoint("a", broken)
        .build()
        .expect("valid");
    let mut service = PoolService::new(pool.clone(), Own, Http::new(), Bare);
    for _ in 0..3 {
        let answer = service.call(request("GET", "")).await.expect("an answer");
        assert!(answer.into_body().collect().await.is_err());
    }
    let state = pool.snapshot().endpoints.remove(0);
    assert_eq!((state.failure, state.phase), (3, Phase::Failed));
}

#[tokio::test(start_paused = true)]
async fn a_429_is_left_alone_until_its_retry_after() {
    let busy = service_fn(async |_: Request<crate::http::ReplayBody<Full<Bytes>>>| {
        let mut response = Response::new(Full::<Bytes>::default());
        *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
        response
            .headers_mut()
            .insert("retry-after", "7".parse().expect("a value"));
        Ok::<_, HttpFailed>(response)
    });
    let pool = Pool::builder().endpoint("a", busy).build().expect("valid");
    let mut service = PoolService::new(pool.clone(), Own, Http::new(), Bare);
    assert_eq!(
        service
            .call(request("GET", ""))
            .await
            .map(|r| r.status().as_u16())
            .ok(),
        Some(429)
    );
    let refused = service
        .call(request("GET", ""))
        .await
        .err()
        .and_then(|e| e.rejected().cloned());
    assert_eq!(refused.and_then(|r| r.retry_after_secs()), Some(7));
    tokio::time::sleep(secs(7)).await;
    assert!(service.call(request("GET", "")).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_grpc_failure_whose_trailers_are_there_fails_over() {
    let answering = |code: &'static str| {
        service_fn(
            move |_: Request<crate::http::ReplayBody<Full<Bytes>>>| async move {
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", code.parse().expect("a value"));
                let frames = [Ok::<_, Infallible>(Frame::<Bytes>::trailers(trailers))];
                let body = StreamBody::new(futures_util::stream::iter(frames));
                Ok::<_, HttpFailed>(Response::new(body))
            },
        )
    };
    let pool = Pool::builder()
        .balance(Strategy::RoundRobin)
        .endpoint("down", answering("14"))
        .endpoint("up", answering("0"))
        .build()
        .expect("valid");
    let mut service = PoolService::new(pool.clone(), Own, Grpc::new(), Bare);
    for _ in 0..4 {
        let answer = service.call(request("POST", "")).await.expect("an answer");
        let read = answer.into_body().collect().await.expect("a body");
        assert_eq!(
            read.trailers().map(|t| t["grpc-status"].clone()),
            Some("0".parse().expect("a value"))
        );
    }
    let state = pool.snapshot();
    assert_eq!(
        state.endpoint("up").map(|e| (e.success, e.in_flight)),
        Some((4, 0))
    );
    assert_eq!(state.endpoint("down").map(|e| (e.failure, e.moved)), Some((2, 2)));
}

#[tokio::test(start_paused = true)]
async fn one_transport_reaches_all_endpoints() {
    let transport = service_fn(async |request: Request<crate::http::ReplayBody<Full<Bytes>>>| {
        let to = request
            .uri()
            .authority()
            .map(ToString::to_string)
            .unwrap_or_default();
        let mut response = Response::new(Full::<Bytes>::from(to.clone()));
        if to == "a:80" {
            *response.status_mut() = StatusCode::BAD_GATEWAY;
        }
        Ok::<_, HttpFailed>(response)
    });
    let pool = Pool::builder()
        .balance(Strategy::RoundRobin)
        .endpoint("a", "a:80")
        .endpoint("b", "b:80")
        .build()
        .expect("valid");
    let address = |authority: &&str, request: &mut Request<crate::http::ReplayBody<Full<Bytes>>>| {
        let path = request.uri().path();
        *request.uri_mut() = format!("http://{authority}{path}").parse().expect("an address");
    };
    let layer = PoolLayer::new(pool.clone(), address, Http::new(), Bare);
    let mut service = layer.layer(transport);
    for _ in 0..4 {
        let answer = service
            .ready()
            .await
            .expect("ready")
            .call(request("GET", ""))
            .await
            .expect("an answer");
        assert_eq!(
            answer.into_body().collect().await.expect("a body").to_bytes(),
            "b:80"
        );
    }
    assert_eq!(pool.snapshot().endpoint("a").map(|e| e.moved), Some(2));
}
