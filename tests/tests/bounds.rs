//! The hosts' bounds, word for word, and stacks that meet them: what is tested here is that it compiles.

use std::{convert::Infallible, pin::Pin, rc::Rc, time::Duration};

use axum::{
    Router,
    response::IntoResponse,
    routing::{MethodRouter, Route},
};
use buttress::{
    Grpc, Http, Outcome, Plain, Stack,
    circuit_breaker::CircuitBreaker,
    hedge::Hedge,
    http::{ClassifyHead, ReplayBody, ResponseHead, StatusVerdict},
    metrics::Metrics,
    priority::PriorityQueue,
    rate_limit::RateLimiter,
    replay::Bare,
    retry::Retry,
    stack::{FullClient, FullServer},
    trace_id::TraceId,
};
use buttress_tests::{
    bodies::{self, Taking},
    echo::{Echo, EchoClient, EchoServer},
    reqwest_view::ReqwestView,
    server,
};
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use tonic::{
    client::GrpcService,
    codegen::StdError,
    service::Routes,
    transport::{Channel, Endpoint, Server},
};
use tower::{
    BoxError,
    util::{BoxCloneSyncService, MapRequestLayer},
};
use tower_layer::Layer;
use tower_service::Service;

// ===== what the hosts ask =====

/// axum's `Router::layer`.
fn for_axum<L>(layer: L) -> L
where
    L: Layer<Route> + Clone + Send + Sync + 'static,
    L::Service: Service<axum::extract::Request> + Clone + Send + Sync + 'static,
    <L::Service as Service<axum::extract::Request>>::Response: IntoResponse + 'static,
    <L::Service as Service<axum::extract::Request>>::Error: Into<Infallible> + 'static,
    <L::Service as Service<axum::extract::Request>>::Future: Send + 'static,
{
    layer
}

/// tonic's `Server::layer` with what its `serve` asks of the services that come of it.
fn for_tonic_server<L, B>(layer: L) -> L
where
    L: Layer<Routes> + Clone + Send + 'static,
    L::Service: Service<Request<tonic::body::Body>, Response = Response<B>> + Clone + Send + 'static,
    <L::Service as Service<Request<tonic::body::Body>>>::Future: Send,
    <L::Service as Service<Request<tonic::body::Body>>>::Error: Into<BoxError> + Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    layer
}

/// A client as tonic-build generates it.
fn for_generated_client<T>(service: T) -> T
where
    T: GrpcService<tonic::body::Body>,
    T::Error: Into<StdError>,
    T::ResponseBody: Body<Data = Bytes> + Send + 'static,
    <T::ResponseBody as Body>::Error: Into<StdError> + Send,
{
    service
}

/// The same with an interceptor around it.
fn for_interceptor<T>(service: T) -> T
where
    T: GrpcService<tonic::body::Body>,
    T::ResponseBody: Default,
    T::Error: Into<StdError> + Send + Sync,
{
    service
}

/// hyper-util's `TowerToHyperService` in its auto server, spawned.
fn for_hyper_server<S, B>(service: S) -> S
where
    S: Service<Request<hyper::body::Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    service
}

/// A client that is shared between tasks and boxed.
fn for_all<S, Q>(service: S) -> S
where
    S: Service<Q> + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
    Q: 'static,
    S::Response: 'static,
    S::Error: 'static,
{
    let _: BoxCloneSyncService<Q, S::Response, S::Error> = BoxCloneSyncService::new(service.clone());
    service
}

// ===== stacks that meet it =====

const SECOND: Duration = Duration::from_secs(1);

/// What every kind of stack has a place for.
macro_rules! common {
    ($stack:expr) => {
        $stack
            .trace_id(TraceId::w3c())
            .metrics(Metrics::new())
            .circuit_breaker(CircuitBreaker::new())
            .recover()
    };
}

/// What asks of the service that it can be cloned.
macro_rules! limited {
    ($stack:expr) => {
        $stack
            .priority(PriorityQueue::new())
            .rate_limit(RateLimiter::per_second(100).build().expect("a limit"))
    };
}

/// Every policy of a server on.
macro_rules! server {
    ($stack:expr) => {
        limited!(common!($stack))
            .deadline(SECOND)
            .and_then(|stack| stack.handler_timeout(SECOND))
            .expect("a second is a limit")
    };
}

/// Every policy of a client on.
macro_rules! client {
    ($stack:expr) => {
        limited!(common!($stack))
            .retry(Retry::standard())
            .hedge(Hedge::new())
            .total_timeout(SECOND)
            .and_then(|stack| stack.attempt_timeout(SECOND))
            .expect("a second is a limit")
    };
}

fn untouched<B>() -> MapRequestLayer<fn(Request<B>) -> Request<B>> {
    MapRequestLayer::new(|request| request)
}

fn channel() -> Channel {
    Endpoint::from_static("http://127.0.0.1:1").connect_lazy()
}

type Hyper<B> = legacy::Client<HttpConnector, B>;

fn hyper<B: Body<Data = Bytes> + Send>() -> Hyper<B> {
    legacy::Client::builder(TokioExecutor::new()).build_http()
}

#[test]
fn axum_takes_a_stack_whatever_is_in_it() {
    let routes = || Router::<()>::new().route("/", axum::routing::get(|| async { "hello" }));
    let _: Router = routes().layer(for_axum(Stack::http_server("s").build()));
    let _: Router = routes().layer(for_axum(server!(Stack::http_server("s")).build()));
    let _: Router = routes().layer(for_axum(Stack::http_server("s").full().build()));
    let _: Router = routes().route_layer(server!(Stack::http_server("s")).build());
    let _: Router = routes().layer(for_axum(
        server!(Stack::http_server("s"))
            .outside(untouched())
            .inside(untouched())
            .build(),
    ));
    // Stacks one around the other; inside a builder of the user's own.
    let _: Router = routes()
        .layer(server!(Stack::http_server("inner")).build())
        .layer(
            tower::ServiceBuilder::new()
                .layer(untouched())
                .layer(server!(Stack::http_server("outer")).build()),
        );
    let _: MethodRouter =
        axum::routing::get(|| async { "hello" }).layer(server!(Stack::http_server("s")).build());
    // A judgement and a form of refusal of the user's own.
    let _: Router = routes().layer(for_axum(
        server!(Stack::http_server("s"))
            .protocol(Http::classify(|_: ResponseHead<'_>| Outcome::SUCCESS))
            .respond_with(|_: &buttress::Rejected| Response::new(Bytes::new()))
            .build(),
    ));
    // Without the builder: the layers alone, which need no `RespondLayer` if nothing refuses.
    let _: Router = routes().layer(
        tower::ServiceBuilder::new()
            .layer(buttress::http::RespondLayer::http())
            .layer(Metrics::new().layer_for(Http::new()))
            .layer(CircuitBreaker::new().layer_for(Http::new()))
            .layer(buttress::ErrorLayer::new()),
    );
}

#[tokio::test]
async fn tonic_takes_a_stack_on_both_sides() {
    let serve = async |stack: FullServer<Grpc>| {
        server::tonic(|incoming| {
            Server::builder()
                .layer(for_tonic_server(stack))
                .add_service(EchoServer::new(Echo))
                .serve_with_incoming(incoming)
        })
        .await
    };
    serve(server!(Stack::grpc_server("s")).build()).await;
    serve(Stack::grpc_server("s").full().build()).await;
    for_tonic_server(Stack::grpc_server("s").build());
    for_tonic_server(
        server!(Stack::grpc_server("s"))
            .outside(untouched())
            .inside(untouched())
            .build(),
    );

    let stack: FullClient<Grpc, _> = client!(Stack::grpc_client("s"))
        .request_body(tonic::body::Body::new)
        .full()
        .build();
    let service = for_interceptor(for_generated_client(for_all::<_, Request<tonic::body::Body>>(
        stack.clone().service(channel()),
    )));
    let _ = EchoClient::new(service);
    let off: FullClient<Grpc, _> = Stack::grpc_client("s").body_mode(bodies::tonic()).full().build();
    let _ = EchoClient::new(for_generated_client(off.service(channel())));
    let _ = EchoClient::new(for_generated_client(
        Stack::grpc_client("s").build().service(channel()),
    ));
    let outer = client!(Stack::grpc_client("outer"))
        .request_body(tonic::body::Body::new)
        .keep_error()
        .build();
    let _ = EchoClient::new(outer.service(stack.service(channel())));
}

#[tokio::test]
async fn http_clients_take_a_stack_and_hyper_serves_one() {
    // No policy that calls again: the body is what it was.
    let stack = || common!(Stack::http_client("s")).build();
    for_all::<_, Request<Full<Bytes>>>(stack().service(hyper::<Full<Bytes>>()));
    for_all::<_, Request<axum::body::Body>>(stack().service(hyper::<axum::body::Body>()));
    for_all::<_, Request<reqwest::Body>>(stack().service(ReqwestView::new(reqwest::Client::new())));
    for_all::<_, Request<String>>(stack().service(ReqwestView::new(reqwest::Client::new())));
    // With one, it is one of three.
    for_all::<_, Request<Full<Bytes>>>(
        client!(Stack::http_client("s"))
            .any_request_body()
            .build()
            .service(hyper::<ReplayBody<Full<Bytes>>>()),
    );
    for_all::<_, Request<axum::body::Body>>(
        client!(Stack::http_client("s"))
            .request_body(axum::body::Body::new)
            .build()
            .service(hyper::<axum::body::Body>()),
    );
    for_all::<_, Request<String>>(
        client!(Stack::http_client("s"))
            .request_body(reqwest::Body::wrap)
            .build()
            .service(ReqwestView::new(reqwest::Client::new())),
    );
    type Boxed = Pin<Box<dyn Body<Data = Bytes, Error = BoxError> + Send>>;
    for_all::<_, Request<Boxed>>(client!(Stack::http_client("s")).build().service(hyper::<Boxed>()));
    let answer = async |_: Request<hyper::body::Incoming>| Ok::<_, Infallible>(Response::new(String::new()));
    for_hyper_server(
        server!(Stack::http_server("s"))
            .build()
            .service(tower::service_fn(answer)),
    );
    // reqwest's own requests and responses are plain to us: no body is watched, but all else works. They cannot be
    // cloned, so there is no retry.
    let plain = common!(Stack::new("s")).build().service(reqwest::Client::new());
    for_all::<_, reqwest::Request>(plain);
}

type Replayed = ReplayBody<Full<Bytes>>;

type Answer =
    <<FullClient<Http, Bare> as Layer<Hyper<Replayed>>>::Service as Service<Request<Full<Bytes>>>>::Response;

#[test]
fn what_a_client_was_answered_can_be_passed_on_by_any_host() {
    fn unpin<T: Unpin>() {}
    unpin::<Answer>();
    let _: fn(Answer) -> Response<axum::body::Body> = |answer| answer.map(axum::body::Body::new);
    let _: fn(Answer) -> Response<tonic::body::Body> = |answer| answer.map(tonic::body::Body::new);
    // This one asks for `Sync` too.
    let _: fn(Answer) -> Response<reqwest::Body> = |answer| answer.map(reqwest::Body::wrap);
}

/// A judgement that has a name, so that the type of its stack has one.
#[derive(Clone, Copy)]
struct Lenient;

impl ClassifyHead for Lenient {
    fn classify(&self, head: ResponseHead<'_>) -> Outcome {
        match head.status.as_u16() {
            501 => Outcome::SUCCESS,
            _ => StatusVerdict::new().classify(head),
        }
    }
}

/// Everything in a struct, without a box.
struct Named {
    _grpc: <FullClient<Grpc, Taking<tonic::body::Body>> as Layer<Channel>>::Service,
    _hyper: <FullClient<Http<Lenient>, Bare> as Layer<Hyper<Replayed>>>::Service,
    _reqwest: <FullClient<Http, Taking<reqwest::Body, Full<Bytes>>> as Layer<ReqwestView>>::Service,
    _plain: <FullClient<Plain> as Layer<Answering>>::Service,
    _api: FullServer<Http>,
    _services: FullServer<Grpc>,
}

type Answering = tower::util::ServiceFn<fn(u32) -> std::future::Ready<Result<u32, Infallible>>>;

#[tokio::test]
async fn whole_stacks_have_types_that_can_be_named() {
    fn shared<T: Clone + Send + Sync + 'static>(_: &T) {}
    let answer: fn(u32) -> _ = |n| std::future::ready(Ok(n));
    let on = Named {
        _grpc: client!(Stack::grpc_client("s"))
            .body_mode(bodies::tonic())
            .full()
            .build()
            .service(channel()),
        _hyper: client!(Stack::http_client("s"))
            .protocol(Http::with(Lenient))
            .any_request_body()
            .full()
            .build()
            .service(hyper()),
        _reqwest: client!(Stack::http_client("s"))
            .request_body::<fn(_) -> _>(reqwest::Body::wrap)
            .full()
            .build()
            .service(ReqwestView::new(reqwest::Client::new())),
        _plain: client!(Stack::new("s"))
            .full()
            .build()
            .service(tower::service_fn(answer)),
        _api: server!(Stack::http_server("s")).build(),
        _services: server!(Stack::grpc_server("s")).build(),
    };
    shared(&on._grpc);
    shared(&on._hyper);
    shared(&on._reqwest);
    shared(&on._plain);
    shared(&on._api);
    shared(&on._services);
}

#[test]
fn a_plain_service_need_be_neither_send_nor_clone_nor_static() {
    let mut seen = Vec::new();
    let borrowed = &mut seen;
    let not_send = Rc::new(());
    let mut service = common!(Stack::new("s"))
        .build()
        .service(tower::service_fn(|text: &'static str| {
            borrowed.push(text);
            let not_send = not_send.clone();
            async move {
                drop(not_send);
                Ok::<_, Infallible>(())
            }
        }));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    runtime.block_on(service.call("once")).expect("an answer");
    drop(service);
    assert_eq!(seen, ["once"]);
}
