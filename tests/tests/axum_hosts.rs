//! What axum can do, under a stack: routes by name in every place that a layer can have, upgrades, event streams,
//! `Expect: 100-continue`, a graceful end.

use std::{net::SocketAddr, time::Duration};

use axum::{
    Router,
    extract::ws::{Message, WebSocketUpgrade},
    handler::Handler,
    response::{IntoResponse, Sse, sse::Event},
    routing::{get, post},
};
use buttress::{
    ErrorLayer, Http, Registry, Rejected,
    circuit_breaker::CircuitBreaker,
    export::{Export, Point},
    http::{ClassifyHead, RespondLayer, StatusVerdict},
    metrics::Metrics,
    rate_limit::{KeyBy, RateLimiter},
    stack::FullServer,
    timeout::Deadline,
    trace_id::TraceId,
};
use buttress_axum::{ByRoute, PeerLayer, RejectionLayer};
use buttress_tests::{server, soon};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
};
use tokio_stream::{StreamExt, wrappers::ReceiverStream};
use tower::{ServiceBuilder, service_fn};

type Client = legacy::Client<HttpConnector, Full<Bytes>>;

/// HTTP/1 and HTTP/2.
fn clients() -> [Client; 2] {
    [false, true].map(|http2| {
        legacy::Client::builder(TokioExecutor::new())
            .http2_only(http2)
            .build_http()
    })
}

async fn get_at(client: &Client, address: SocketAddr, path: &str) -> Response<Incoming> {
    let uri = format!("http://{address}{path}").parse().expect("a uri");
    soon(client.get(uri)).await.expect("a response")
}

async fn text(response: Response<Incoming>) -> String {
    let body = soon(response.into_body().collect()).await.expect("a whole body");
    String::from_utf8(body.to_bytes().to_vec()).expect("text")
}

/// Every slot filled.
fn whole(metrics: &Metrics) -> FullServer<Http<ByRoute>> {
    buttress_axum::server("api")
        .registry(&Registry::new())
        .trace_id(TraceId::w3c())
        .metrics(metrics.clone())
        .recover()
        .deadline(Deadline::new())
        .circuit_breaker(CircuitBreaker::new())
        .handler_timeout(Duration::from_secs(20))
        .expect("a good limit")
        .full()
        .build()
}

/// The routes by which calls succeeded, with how many there were.
fn successes(metrics: &Metrics) -> Vec<(String, u64)> {
    let registry = Registry::new();
    registry.register("api", metrics);
    let reading = Export::of(&registry).read();
    let requests = reading
        .metrics()
        .iter()
        .find(|metric| metric.full_name().contains("requests_total"));
    let mut routes = Vec::new();
    for series in &requests.expect("it is counted").series {
        let label = |name: &str| {
            series
                .labels
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value.to_string())
        };
        if let (Some("success"), Some(route), Point::Counter(count @ 1..)) =
            (label("outcome").as_deref(), label("route"), &series.point)
        {
            routes.push((route, *count));
        }
    }
    routes.sort();
    routes
}

fn counted<const N: usize>(routes: [(&str, u64); N]) -> Vec<(String, u64)> {
    routes.map(|(route, count)| (route.to_owned(), count)).into()
}

// ===== routes =====

#[tokio::test]
async fn calls_are_counted_by_the_route_that_was_matched_and_never_by_the_path() {
    let metrics = Metrics::by_route(10);
    let users = Router::new().route("/{id}", get(async || "a user"));
    let app = Router::new()
        .route("/", get(async || "home"))
        .nest("/users", users)
        .nest_service(
            "/files",
            service_fn(async |_: axum::extract::Request| {
                Ok::<_, std::convert::Infallible>("a file".into_response())
            }),
        )
        .fallback(async || "something else")
        .layer(whole(&metrics));
    let address = server::axum(app).await;
    for client in clients() {
        for path in [
            "/",
            "/users/1",
            "/users/2",
            "/files/a/b",
            "/nowhere",
            "/nowhere/else",
        ] {
            text(get_at(&client, address, path).await).await;
        }
    }
    let found = successes(&metrics);
    // axum tells no route of what a service is nested under.
    assert_eq!(found, counted([("/", 2), ("/users/{id}", 4), ("unmatched", 6)]));
}

#[tokio::test]
async fn a_route_layer_leaves_out_what_matches_no_route() {
    let metrics = Metrics::by_route(10);
    let app = Router::new()
        .route("/a", get(async || "a"))
        .route_layer(whole(&metrics))
        .route("/b", get(async || "b"));
    let address = server::axum(app).await;
    let [client, _] = clients();
    for (path, status) in [("/a", 200), ("/b", 200), ("/c", 404)] {
        assert_eq!(get_at(&client, address, path).await.status(), status);
    }
    assert_eq!(successes(&metrics), counted([("/a", 1)]));
}

#[tokio::test]
async fn one_method_and_one_handler_can_have_a_stack_of_their_own() {
    let (of_route, of_handler) = (Metrics::by_route(10), Metrics::by_route(10));
    let app = Router::new()
        .route(
            "/a",
            get(async || "got")
                .layer(whole(&of_route))
                .post(async || "posted"),
        )
        .route(
            "/b",
            get((async || "got").layer(whole(&of_handler))).post(async || "posted"),
        );
    let address = server::axum(app).await;
    let [client, _] = clients();
    for path in ["/a", "/b"] {
        assert_eq!(text(get_at(&client, address, path).await).await, "got");
        let post = Request::post(format!("http://{address}{path}"))
            .body(Full::default())
            .expect("a request");
        assert_eq!(
            text(soon(client.request(post)).await.expect("a response")).await,
            "posted"
        );
    }
    assert_eq!(successes(&of_route), counted([("/a", 1)]));
    assert_eq!(successes(&of_handler), counted([("/b", 1)]));
}

#[tokio::test]
async fn a_judgement_of_ones_own_keeps_the_routes() {
    let metrics = Metrics::by_route(10);
    let lenient = |head: buttress::http::ResponseHead<'_>| match head.status.as_u16() {
        503 => buttress::Outcome::SUCCESS,
        _ => StatusVerdict::new().classify(head),
    };
    let stack = buttress_axum::server("api")
        .protocol(Http::with(ByRoute::new(lenient)))
        .metrics(metrics.clone())
        .build();
    let app = Router::new()
        .route("/busy", get(async || StatusCode::SERVICE_UNAVAILABLE))
        .layer(stack);
    let address = server::axum(app).await;
    text(get_at(&clients()[0], address, "/busy").await).await;
    assert_eq!(successes(&metrics), counted([("/busy", 1)]));
}

// ===== refusals =====

#[tokio::test]
async fn a_refusal_is_whatever_the_user_makes_of_it() {
    let breaker = CircuitBreaker::new();
    let stack = buttress_axum::server("secret-name")
        .trace_id(TraceId::w3c())
        .circuit_breaker(breaker.clone())
        .build();
    let sorry = |rejected: &Rejected| {
        (
            StatusCode::IM_A_TEAPOT,
            [("x-kind", rejected.kind().as_str())],
            "sorry",
        )
    };
    let app = Router::new()
        .route("/", get(async || "well"))
        .layer(stack)
        .layer(RejectionLayer::new(sorry));
    let address = server::axum(app).await;
    for client in clients() {
        breaker.reset();
        assert_eq!(text(get_at(&client, address, "/").await).await, "well");
        breaker.transition_to(buttress::circuit_breaker::State::Open);
        let refused = get_at(&client, address, "/").await;
        assert_eq!(refused.status(), StatusCode::IM_A_TEAPOT);
        assert_eq!(refused.headers()["x-kind"], "circuit_open");
        assert!(refused.headers().contains_key("retry-after"));
        // What the layers inside have said besides.
        assert!(refused.headers().contains_key("x-request-id"));
        assert!(
            refused.headers()["content-type"]
                .to_str()
                .expect("text")
                .starts_with("text/plain")
        );
        assert_eq!(text(refused).await, "sorry");
    }
}

#[tokio::test]
async fn a_limit_by_address_knows_the_peer() {
    let limiter = RateLimiter::per_hour(2)
        .burst(2)
        .key_by(KeyBy::PeerIp)
        .build()
        .expect("good options");
    let limited = ServiceBuilder::new()
        .layer(PeerLayer::new())
        .layer(RespondLayer::http())
        .layer(limiter.layer_for(Http::new()))
        .layer(ErrorLayer::new());
    let app = Router::new().route("/", get(async || "well")).layer(limited);
    let (listener, address) = server::listener().await;
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, app).await });
    let [http1, http2] = clients();
    for (client, status) in [(&http1, 200), (&http2, 200), (&http1, 429)] {
        assert_eq!(get_at(client, address, "/").await.status(), status);
    }
    // It is this address that is used up, and no other.
    let here: std::net::IpAddr = address.ip();
    assert!(limiter.peek_for(here).remaining == 0);
    assert!(limiter.peek_for(std::net::IpAddr::from([192, 0, 2, 1])).remaining > 0);
}

// ===== what is no plain answer =====

/// A frame of a client, masked with zeroes.
fn frame(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81, 0x80 | u8::try_from(text.len()).expect("short"), 0, 0, 0, 0];
    frame.extend(text.as_bytes());
    frame
}

#[tokio::test]
async fn a_web_socket_goes_through_and_its_call_is_over_at_the_handshake() {
    let metrics = Metrics::by_route(10);
    let chat = async |upgrade: WebSocketUpgrade| {
        upgrade.on_upgrade(async |mut socket| {
            while let Some(Ok(Message::Text(text))) = socket.recv().await {
                let answer = Message::text(format!("you said {text}"));
                socket.send(answer).await.expect("the client is there");
            }
        })
    };
    let app = Router::new().route("/chat", get(chat)).layer(whole(&metrics));
    let address = server::axum(app).await;

    let mut socket = TcpStream::connect(address).await.expect("a connection");
    let handshake = format!(
        "GET /chat HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    socket.write_all(handshake.as_bytes()).await.expect("it is taken");
    let head = head(&mut socket).await;
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    // RFC 6455, section 1.3.
    assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
    assert_eq!(successes(&metrics), counted([("/chat", 1)]));
    assert_eq!(metrics.snapshot().in_flight, 0);

    for word in ["hello", "again"] {
        socket.write_all(&frame(word)).await.expect("it is taken");
        let mut answer = vec![0; 2 + "you said ".len() + word.len()];
        soon(socket.read_exact(&mut answer)).await.expect("an answer");
        assert_eq!(&answer[2..], format!("you said {word}").as_bytes());
    }
}

/// What comes up to an empty line.
async fn head(socket: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(soon(socket.read_u8()).await.expect("more of the head"));
    }
    String::from_utf8(head).expect("text")
}

#[tokio::test]
async fn server_sent_events_come_one_by_one() {
    let metrics = Metrics::by_route(10);
    let (send, events) = mpsc::channel::<&str>(1);
    let events = std::sync::Mutex::new(Some(events));
    let stream = move || {
        let events = events.lock().expect("no panic").take().expect("one client");
        std::future::ready(Sse::new(
            ReceiverStream::new(events)
                .map(|text| Ok::<_, std::convert::Infallible>(Event::default().data(text))),
        ))
    };
    let stream = std::sync::Arc::new(stream);
    let app = Router::new()
        .route("/events", get(move || stream()))
        .layer(whole(&metrics));
    let address = server::axum(app).await;
    let response = get_at(&clients()[0], address, "/events").await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut body = response.into_body();
    for word in ["one", "two"] {
        send.send(word).await.expect("somebody listens");
        let frame = soon(body.frame()).await.expect("a frame").expect("no error");
        assert_eq!(frame.into_data().expect("data"), format!("data: {word}\n\n"));
        assert_eq!(metrics.snapshot().in_flight, 1);
    }
    drop(send);
    assert!(soon(body.frame()).await.is_none());
    assert_eq!(successes(&metrics), counted([("/events", 1)]));
}

#[tokio::test]
async fn a_client_that_waits_for_100_continue_is_told_by_who_reads_and_spared_by_who_refuses() {
    let breaker = CircuitBreaker::new();
    let stack = buttress_axum::server("api")
        .trace_id(TraceId::w3c())
        .metrics(Metrics::new())
        .recover()
        .circuit_breaker(breaker.clone())
        .build();
    let app = Router::new()
        .route(
            "/reads",
            post(async |body: Bytes| format!("{} bytes", body.len())),
        )
        .route("/does-not", post(async || StatusCode::PAYLOAD_TOO_LARGE))
        .layer(stack);
    let address = server::axum(app).await;
    let ask = async |path: &str| {
        let mut socket = TcpStream::connect(address).await.expect("a connection");
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 5\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
        );
        socket.write_all(request.as_bytes()).await.expect("it is taken");
        let first = head(&mut socket).await;
        (socket, first)
    };
    let (mut socket, first) = ask("/reads").await;
    assert!(first.starts_with("HTTP/1.1 100"), "{first}");
    socket.write_all(b"hello").await.expect("it is taken");
    assert!(head(&mut socket).await.starts_with("HTTP/1.1 200"));
    let mut body = String::new();
    soon(socket.read_to_string(&mut body)).await.expect("text");
    assert_eq!(body, "5 bytes");

    let (_, first) = ask("/does-not").await;
    assert!(first.starts_with("HTTP/1.1 413"), "{first}");
    breaker.force_open();
    let (_, first) = ask("/reads").await;
    assert!(first.starts_with("HTTP/1.1 503"), "{first}");
}

#[tokio::test]
async fn a_server_that_stops_lets_calls_that_have_begun_end() {
    for client in clients() {
        let metrics = Metrics::by_route(10);
        let (begun, mut has_begun) = mpsc::channel(1);
        let (go, gone) = tokio::sync::watch::channel(false);
        let slow = move || {
            let (begun, mut gone) = (begun.clone(), gone.clone());
            async move {
                begun.send(()).await.expect("the test waits");
                gone.wait_for(|gone| *gone).await.expect("the test says so");
                "done"
            }
        };
        let app = Router::new().route("/slow", get(slow)).layer(whole(&metrics));
        let (listener, address) = server::listener().await;
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let serving = tokio::spawn(
            axum::serve(listener, app)
                .with_graceful_shutdown(async move { drop(stopped.await) })
                .into_future(),
        );
        let uri = format!("http://{address}/slow").parse().expect("a uri");
        let call = tokio::spawn(client.get(uri));
        soon(has_begun.recv()).await.expect("it has begun");
        stop.send(()).expect("it is listening");
        tokio::task::yield_now().await;
        assert!(!serving.is_finished());
        go.send(true).expect("it waits");
        let response = soon(call).await.expect("no panic").expect("a response");
        assert_eq!(text(response).await, "done");
        drop(client);
        soon(serving).await.expect("no panic").expect("it has ended well");
        assert_eq!(successes(&metrics), counted([("/slow", 1)]));
    }
}
