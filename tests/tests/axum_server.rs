//! A stack as a layer of axum's routers, with no `HandleErrorLayer`, asked over sockets.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::Request,
    response::Response,
    routing::{self, MethodRouter},
};
use buttress::{
    Http, Rejected, RejectionKind, Stack,
    circuit_breaker::{CircuitBreaker, State},
    metrics::Metrics,
    recover::{Place, Recover},
    stack::FullServer,
};
use buttress_tests::{
    books::{Books, Ends, NOTHING},
    server, soon,
};
use bytes::Bytes;
use http::StatusCode;
use http_body_util::{BodyExt, Empty};
use hyper_util::{client::legacy, rt::TokioExecutor};
use tokio::sync::mpsc;
use tower::{ServiceBuilder, layer::layer_fn, util::MapResponseLayer};

type Client = legacy::Client<legacy::connect::HttpConnector, Empty<Bytes>>;

fn http1() -> Client {
    legacy::Client::builder(TokioExecutor::new()).build_http()
}

fn http2() -> Client {
    legacy::Client::builder(TokioExecutor::new())
        .http2_only(true)
        .build_http()
}

/// The response with its body read.
async fn get(client: &Client, address: std::net::SocketAddr, path: &str) -> http::Response<Bytes> {
    let uri = format!("http://{address}{path}").parse().expect("a uri");
    let response = soon(client.get(uri)).await.expect("a response");
    let (head, body) = response.into_parts();
    let body = soon(body.collect()).await.expect("a whole body").to_bytes();
    http::Response::from_parts(head, body)
}

/// Two routes of a server that has had better days.
fn down() -> Router {
    let down = || async { (StatusCode::SERVICE_UNAVAILABLE, "down") };
    Router::new()
        .route("/a", routing::get(down))
        .route("/b", routing::get(down))
}

fn hello() -> MethodRouter {
    routing::get(|| async { "hello" })
}

fn opened_by(failures: u32) -> CircuitBreaker {
    CircuitBreaker::builder()
        .consecutive_failures(failures)
        .open_for(Duration::from_secs(60))
        .open_jitter(0.0)
        .build()
        .expect("good options")
}

#[tokio::test]
async fn a_refusal_is_503_with_retry_after_and_json() {
    let breaker = opened_by(1);
    breaker.transition_to(State::Open);
    let stack = Stack::http_server("secret-name").circuit_breaker(breaker).build();
    let server = server::axum(Router::new().route("/", hello()).layer(stack)).await;

    for client in [http1(), http2()] {
        let refused = get(&client, server, "/").await;
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(refused.headers()["retry-after"], "60");
        assert_eq!(refused.headers()["content-type"], "application/json");
        assert_eq!(
            refused.headers()["content-length"],
            refused.body().len().to_string().as_str()
        );
        let body = std::str::from_utf8(refused.body()).expect("text");
        assert!(
            body.starts_with(r#"{"error":{"kind":"circuit_open","message":""#),
            "{body}"
        );
        assert!(!body.contains("secret-name"), "{body}");
    }
}

#[tokio::test]
async fn one_breaker_serves_all_routes_and_all_connections() {
    let breaker = opened_by(4);
    let layered = Arc::new(AtomicUsize::new(0));
    let counted = layered.clone();
    let count = layer_fn(move |service| {
        counted.fetch_add(1, Relaxed);
        service
    });
    let stack = Stack::http_server("api")
        .circuit_breaker(breaker.clone())
        .inside(count)
        .build();
    let server = server::axum(down().layer(stack)).await;

    for path in ["/a", "/b", "/a", "/b"] {
        assert_eq!(breaker.state(), State::Closed);
        // A client of its own, and so a connection of its own.
        assert_eq!(get(&http1(), server, path).await.body(), "down");
    }
    assert_eq!(breaker.state(), State::Open);
    assert!(layered.load(Relaxed) > 4, "the layer was applied anew and anew");
    let refused = get(&http2(), server, "/a").await;
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(breaker.snapshot().rejected, 1);
}

#[tokio::test]
async fn a_method_router_and_a_route_layer_share_it_too() {
    let breaker = opened_by(3);
    let stack = || Stack::http_server("api").circuit_breaker(breaker.clone()).build();
    let down = || routing::get(|| async { (StatusCode::BAD_GATEWAY, "down") });
    let app = Router::new()
        .route("/a", down().layer(stack()))
        .merge(Router::new().route("/b", down()).route_layer(stack()))
        .nest_service("/c", ServiceBuilder::new().layer(stack()).service(down()));
    let server = server::axum(app).await;
    for path in ["/a", "/b", "/c"] {
        assert_eq!(breaker.state(), State::Closed);
        assert_eq!(get(&http1(), server, path).await.body(), "down");
    }
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test]
async fn a_handler_that_panics_is_500_and_its_connection_lives() {
    let books = Books::new();
    let recover = Recover::new();
    let stack: FullServer<Http> = Stack::http_server("api")
        .metrics(books.metrics.clone())
        .circuit_breaker(books.breaker.clone())
        .recover_with(recover.clone())
        .full()
        .build();
    let app = Router::new()
        .route("/", hello())
        .route("/panic", routing::get(|| async { unlucky() }))
        .layer(stack);
    let server = server::axum(app).await;

    for (i, client) in [http1(), http2()].iter().enumerate() {
        assert_eq!(get(client, server, "/").await.body(), "hello");
        let panicked = get(client, server, "/panic").await;
        assert_eq!(panicked.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(
            !panicked.body().windows(7).any(|w| w == b"unlucky"),
            "what it said stays inside"
        );
        assert_eq!(get(client, server, "/").await.body(), "hello");
        assert_eq!(recover.panics_in(Place::Future), i as u64 + 1);
    }
    assert_eq!(
        books.ends(),
        Ends {
            success: 4,
            failure: 2,
            ..NOTHING
        }
    );
    assert_eq!(books.metrics.snapshot().outcomes.panicked, 2);
}

fn unlucky() -> &'static str {
    panic!("unlucky")
}

#[tokio::test]
async fn what_refused_is_known_to_the_layers_outside() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let breaker = CircuitBreaker::builder()
        .name("orders")
        .build()
        .expect("good options");
    breaker.force_open();
    let stack = Stack::http_server("api")
        .circuit_breaker(breaker.clone())
        .outside(watch("of the stack", &tell))
        .build();
    // A layer of axum's own kind outside, whose bodies are other bodies.
    let app = Router::new()
        .route("/", hello())
        .layer(stack)
        .layer(watch("of axum", &tell));
    let server = server::axum(app).await;

    assert_eq!(
        get(&http1(), server, "/").await.status(),
        StatusCode::SERVICE_UNAVAILABLE
    );
    let by_orders = Some((RejectionKind::CircuitOpen, "orders".to_owned()));
    assert_eq!(told.recv().await, Some(("of the stack", by_orders.clone())));
    assert_eq!(told.recv().await, Some(("of axum", by_orders)));

    breaker.close();
    assert_eq!(get(&http1(), server, "/").await.body(), "hello");
    assert_eq!(told.recv().await, Some(("of the stack", None)));
}

type Seen = (&'static str, Option<(RejectionKind, String)>);

/// A layer that tells of the rejection in each response that passes.
fn watch<B>(
    place: &'static str,
    tell: &mpsc::UnboundedSender<Seen>,
) -> MapResponseLayer<impl Fn(http::Response<B>) -> http::Response<B> + Clone + use<B>> {
    let tell = tell.clone();
    MapResponseLayer::new(move |response: http::Response<B>| {
        let rejected = response.extensions().get::<Rejected>();
        let rejected = rejected.map(|r| (r.kind(), r.policy().to_owned()));
        tell.send((place, rejected)).expect("it is listened to");
        response
    })
}

#[tokio::test]
async fn a_users_own_form_of_refusal_goes_over_the_wire() {
    let breaker = CircuitBreaker::new();
    breaker.force_open();
    let stack = Stack::http_server("api")
        .circuit_breaker(breaker)
        .respond_with(|rejected: &Rejected| {
            http::Response::builder()
                .status(rejected.http_status())
                .header("x-kind", rejected.kind().as_str())
                .body(Bytes::from_static(b"closed for today"))
                .expect("a good response")
        })
        .build();
    let server = server::axum(Router::new().route("/", hello()).layer(stack)).await;
    let refused = get(&http1(), server, "/").await;
    assert_eq!(refused.headers()["x-kind"], "circuit_open");
    assert_eq!(refused.body(), "closed for today");
}

#[tokio::test]
async fn verdicts_over_a_socket_are_those_of_the_status() {
    let books = Books::new();
    let stack = Stack::http_server("api")
        .metrics(books.metrics.clone())
        .circuit_breaker(books.breaker.clone())
        .build();
    let answer = |request: Request| async move {
        let status = request.uri().path()[1..].parse::<u16>().expect("a status");
        Response::builder()
            .status(status)
            .body(Body::from("x"))
            .expect("a good response")
    };
    let server = server::axum(Router::new().fallback(answer).layer(stack)).await;
    let client = http1();
    for path in ["/200", "/204", "/302", "/404", "/400", "/429", "/500", "/503"] {
        get(&client, server, path).await;
    }
    let expected = Ends {
        success: 3,
        neutral: 2,
        throttled: 1,
        failure: 2,
        ..NOTHING
    };
    assert_eq!(books.ends(), expected);
}

#[tokio::test]
async fn stacks_stand_one_inside_the_other() {
    let (outer, inner) = (Metrics::new(), Metrics::new());
    let app = Router::new()
        .route("/", hello())
        .layer(
            Stack::http_server("inner")
                .metrics(inner.clone())
                .recover()
                .build(),
        )
        .layer(
            Stack::http_server("outer")
                .metrics(outer.clone())
                .circuit_breaker(opened_by(5))
                .recover()
                .build(),
        );
    let server = server::axum(app).await;
    assert_eq!(get(&http1(), server, "/").await.body(), "hello");
    assert_eq!(
        (
            outer.snapshot().outcomes.success,
            inner.snapshot().outcomes.success
        ),
        (1, 1)
    );
}
