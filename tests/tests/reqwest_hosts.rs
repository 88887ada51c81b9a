//! reqwest under a stack: as a service, in a middleware, and around connecting.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{Request as AxumRequest, State},
    http::HeaderMap,
    response::{IntoResponse, Redirect},
    routing::{any, get, post},
};
use buttress::{
    Error, Rejected, RejectionKind, Stack,
    circuit_breaker::{CircuitBreaker, State as BreakerState},
    fallback::Fallback,
    metrics::Metrics,
    recover::Recover,
    retry::Retry,
    trace_id::TraceId,
};
use buttress_reqwest::Middleware;
use buttress_tests::{
    books::{Books, Ends, NOTHING},
    scripted::{Upstream, Version, status},
    server, soon,
};
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, Next};
use tower::{Service, ServiceExt};

fn client(version: Version) -> reqwest::Client {
    let builder = reqwest::Client::builder().no_proxy();
    match version {
        Version::Http1 => builder,
        Version::Http2 => builder.http2_prior_knowledge(),
    }
    .build()
    .expect("a client")
}

fn quick() -> Retry {
    Retry::builder()
        .initial_backoff(Duration::from_millis(1))
        .attempt_header(true)
        .build()
        .expect("good options")
}

/// Every slot filled.
macro_rules! whole {
    ($books:expr) => {
        buttress_reqwest::client("upstream")
            .trace_id(TraceId::w3c())
            .metrics($books.metrics.clone())
            .recover_with(Recover::new())
            .total_timeout(Duration::from_secs(20))
            .expect("a good limit")
            .retry(quick())
            .circuit_breaker($books.breaker.clone())
            .attempt_timeout(Duration::from_secs(10))
            .expect("a good limit")
            .build()
    };
}

/// What a server saw of a request.
#[derive(Clone, Default)]
struct Seen(Arc<AtomicU32>);

/// Fails the first two calls, then says what came.
async fn flaky(
    State(Seen(calls)): State<Seen>,
    headers: HeaderMap,
    request: AxumRequest,
) -> axum::response::Response {
    let body = request
        .into_body()
        .collect()
        .await
        .expect("a whole body")
        .to_bytes();
    if calls.fetch_add(1, Relaxed) < 2 {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let attempt = headers.get("x-retry-attempt").cloned();
    let mut response = body.into_response();
    assert!(headers.contains_key("traceparent"));
    if let Some(attempt) = attempt {
        response.headers_mut().insert("x-seen-attempt", attempt);
    }
    response
}

fn flaky_server() -> (Router, Seen) {
    let seen = Seen::default();
    (
        Router::new().route("/", any(flaky)).with_state(seen.clone()),
        seen,
    )
}

#[tokio::test]
async fn a_body_is_sent_again_and_the_answer_is_reqwests_own_again() {
    for version in [Version::Http1, Version::Http2] {
        let (app, seen) = flaky_server();
        let address = server::axum(app).await;
        let books = Books::new();
        let mut service = whole!(books).service(buttress_reqwest::service(client(version)));
        let url = format!("http://{address}/?q=1");
        let request = Request::put(&url)
            .body(reqwest::Body::from("a book"))
            .expect("a request");
        let response = soon(soon(service.ready()).await.expect("it is ready").call(request)).await;
        let response = buttress_reqwest::response(response.expect("an answer"));
        assert_eq!(response.url().as_str(), url);
        assert_eq!(response.headers()["x-seen-attempt"], "3");
        assert_eq!(soon(response.text()).await.expect("text"), "a book");
        assert_eq!(seen.0.load(Relaxed), 3);
        assert_eq!(books.metrics.snapshot().outcomes.success, 1);
    }
}

#[tokio::test]
async fn a_redirect_takes_the_body_along_and_the_url_is_the_last() {
    let app = Router::new()
        .route("/old", post(async || Redirect::temporary("/new")))
        .route("/new", post(async |body: Bytes| body));
    let address = server::axum(app).await;
    let service = whole!(Books::new()).service(buttress_reqwest::service(client(Version::Http1)));
    let request = Request::post(format!("http://{address}/old"))
        .header("idempotency-key", "7")
        .body(reqwest::Body::from("a book"))
        .expect("a request");
    let response = buttress_reqwest::response(soon(service.oneshot(request)).await.expect("an answer"));
    assert_eq!(response.url().path(), "/new");
    assert_eq!(soon(response.text()).await.expect("text"), "a book");
}

#[tokio::test]
async fn streams_trailers_and_cancellation_are_seen_to_their_end() {
    let mut upstream = Upstream::start(Version::Http2).await;
    let books = Books::new();
    let service = whole!(books).service(buttress_reqwest::service(client(Version::Http2)));
    let get = || {
        let request = Request::get(format!("http://{}/", upstream.address)).body(reqwest::Body::default());
        tokio::spawn(service.clone().oneshot(request.expect("a request")))
    };

    let (call, given_up) = (get(), get());
    let frames = upstream.call().await.begin(status(200));
    let other = upstream.call().await.begin(status(200));
    let mut body = soon(call).await.expect("no panic").expect("headers").into_body();
    let response = soon(given_up).await.expect("no panic").expect("headers");
    frames.data("half");
    assert_eq!(
        soon(body.frame())
            .await
            .expect("a frame")
            .expect("data")
            .into_data()
            .expect("data"),
        "half"
    );
    assert_eq!(books.metrics.snapshot().in_flight, 2);
    frames.trailers([("x-sum", "4")]);
    let trailers = soon(body.frame())
        .await
        .expect("a frame")
        .expect("no error")
        .into_trailers();
    assert_eq!(trailers.expect("trailers")["x-sum"], "4");
    assert_eq!(books.metrics.snapshot().outcomes.success, 1);
    drop(response);
    soon(other.dropped()).await;
    let ends = Ends {
        success: 1,
        cancelled: 1,
        ..NOTHING
    };
    assert_eq!(books.ends(), ends);
}

#[tokio::test]
async fn a_request_that_reqwest_cannot_send_is_an_error_of_its_call() {
    let service = buttress_reqwest::service(client(Version::Http1));
    let request = Request::get("/nowhere")
        .body(reqwest::Body::default())
        .expect("a request");
    let error = soon(service.oneshot(request))
        .await
        .expect_err("there is no host");
    assert!(error.is_builder());
}

// ===== in a middleware =====

fn middleware<M: reqwest_middleware::Middleware>(stack: M) -> ClientWithMiddleware {
    ClientBuilder::new(client(Version::Http1))
        .with(Outer::default())
        .with(stack)
        .with(Inner)
        .build()
}

/// Asked once a call. Sees what the attempt that was answered has left in the extensions.
#[derive(Clone, Default)]
struct Outer(Arc<AtomicU32>);

/// How many attempts the inner middleware has seen, as its extension says.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Attempt(u32);

#[async_trait::async_trait]
impl reqwest_middleware::Middleware for Outer {
    async fn handle(
        &self,
        request: reqwest::Request,
        extensions: &mut http::Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<reqwest::Response> {
        assert_eq!(self.0.fetch_add(1, Relaxed), 0, "once a call");
        extensions.insert(self.clone());
        let response = next.run(request, extensions).await?;
        assert_eq!(
            extensions.get(),
            Some(&Attempt(1)),
            "each attempt begins with what was given"
        );
        Ok(response)
    }
}

struct Inner;

#[async_trait::async_trait]
impl reqwest_middleware::Middleware for Inner {
    async fn handle(
        &self,
        request: reqwest::Request,
        extensions: &mut http::Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<reqwest::Response> {
        assert!(extensions.get::<Outer>().is_some());
        let before = extensions.get().map_or(0, |Attempt(n)| *n);
        extensions.insert(Attempt(before + 1));
        next.run(request, extensions).await
    }
}

#[tokio::test]
async fn a_whole_stack_is_a_middleware() {
    let (app, seen) = flaky_server();
    let address = server::axum(app).await;
    let books = Books::new();
    let client = middleware(Middleware::new(whole!(books)));
    let url = format!("http://{address}/");
    let response = soon(client.put(&url).body("a book").send())
        .await
        .expect("an answer");
    assert_eq!(response.url().as_str(), url);
    assert_eq!(response.headers()["x-seen-attempt"], "3");
    assert_eq!(soon(response.text()).await.expect("text"), "a book");
    assert_eq!(seen.0.load(Relaxed), 3);
    assert_eq!(books.metrics.snapshot().outcomes.success, 1);
}

#[tokio::test]
async fn a_refusal_in_a_middleware_is_found_and_its_time_limit_is_kept() {
    let hangs = Router::new().route("/", get(async || std::future::pending::<()>().await));
    let address = server::axum(hangs).await;
    let breaker = CircuitBreaker::new();
    let stack = buttress_reqwest::client("upstream")
        .circuit_breaker(breaker.clone())
        .attempt_timeout(Duration::from_millis(20))
        .expect("a good limit")
        .build();
    let client = ClientBuilder::new(client(Version::Http1))
        .with(Middleware::new(stack))
        .build();
    let url = format!("http://{address}/");
    let error = soon(client.get(&url).send()).await.expect_err("too slow");
    assert_eq!(
        Rejected::find(&error).map(Rejected::kind),
        Some(RejectionKind::TimedOut)
    );
    assert_eq!(breaker.snapshot().failure, 1);
    breaker.force_open();
    let error = soon(client.get(&url).send()).await.expect_err("refused");
    assert_eq!(
        Rejected::find(&error).map(Rejected::kind),
        Some(RejectionKind::CircuitOpen)
    );
    assert!(error.is_middleware());

    // What is reqwest's own stays so.
    breaker.close();
    let nobody = server::nobody().await;
    let error = soon(client.get(format!("http://{nobody}/")).send())
        .await
        .expect_err("nobody is there");
    assert!(error.is_connect());
}

#[tokio::test]
async fn a_middleware_that_falls_back_needs_no_attempt() {
    let breaker = CircuitBreaker::new();
    breaker.force_open();
    let stack = buttress_reqwest::client("upstream")
        .circuit_breaker(breaker)
        .fallback(
            Fallback::response(http::Response::new("instead"))
                .build()
                .expect("good options"),
        )
        .build();
    let client = ClientBuilder::new(client(Version::Http1))
        .with(Middleware::new(stack))
        .build();
    let response = soon(client.get("http://127.0.0.1:9/").send())
        .await
        .expect("an answer");
    assert_eq!(soon(response.text()).await.expect("text"), "instead");
}

// ===== around connecting =====

#[tokio::test]
async fn a_breaker_around_connecting_leaves_alone_who_cannot_be_reached() {
    let breaker = CircuitBreaker::builder()
        .consecutive_failures(2)
        .build()
        .expect("good options");
    let connecting = Stack::new("connecting")
        .circuit_breaker(breaker.clone())
        .attempt_timeout(Duration::from_secs(5))
        .expect("a good limit")
        .keep_error()
        .build();
    let client = reqwest::Client::builder()
        .no_proxy()
        .connector_layer(connecting)
        .build()
        .expect("a client");
    let nobody = server::nobody().await;
    for _ in 0..2 {
        let error = soon(client.get(format!("http://{nobody}/")).send())
            .await
            .expect_err("nobody is there");
        assert!(error.is_connect() && Rejected::find(&error).is_none());
    }
    assert_eq!(breaker.state(), BreakerState::Open);
    let error = soon(client.get(format!("http://{nobody}/")).send())
        .await
        .expect_err("refused");
    assert_eq!(
        Rejected::find(&error).map(Rejected::kind),
        Some(RejectionKind::CircuitOpen)
    );

    breaker.reset();
    let address = server::axum(Router::new().route("/", get(async || Body::from("well")))).await;
    let response = soon(client.get(format!("http://{address}/")).send())
        .await
        .expect("an answer");
    assert_eq!(soon(response.text()).await.expect("text"), "well");
    assert_eq!(breaker.snapshot().success, 1);
}

#[tokio::test]
async fn connecting_that_takes_too_long_is_given_up() {
    let breaker = CircuitBreaker::new();
    let connecting = Stack::new("connecting")
        .circuit_breaker(breaker.clone())
        .attempt_timeout(Duration::from_millis(20))
        .expect("a good limit")
        .keep_error()
        .build();
    // An address is looked for without end.
    let client = reqwest::Client::builder()
        .no_proxy()
        .dns_resolver(NoAnswer)
        .connector_layer(connecting)
        .build()
        .expect("a client");
    let error = soon(client.get("http://nobody.invalid/").send())
        .await
        .expect_err("too slow");
    assert_eq!(
        Rejected::find(&error).map(Rejected::kind),
        Some(RejectionKind::TimedOut)
    );
    assert_eq!(breaker.snapshot().failure, 1);
}

#[derive(Debug)]
struct NoAnswer;

impl reqwest::dns::Resolve for NoAnswer {
    fn resolve(&self, _: reqwest::dns::Name) -> reqwest::dns::Resolving {
        Box::pin(std::future::pending())
    }
}

#[tokio::test]
async fn an_error_of_the_service_is_told_from_a_refusal() {
    let nobody = server::nobody().await;
    let breaker = CircuitBreaker::builder()
        .consecutive_failures(1)
        .build()
        .expect("good options");
    let service = buttress_reqwest::client("upstream")
        .metrics(Metrics::new())
        .circuit_breaker(breaker)
        .build()
        .service(buttress_reqwest::service(client(Version::Http1)));
    let get = || {
        Request::get(format!("http://{nobody}/"))
            .body(reqwest::Body::default())
            .expect("a request")
    };
    let error = soon(service.clone().oneshot(get()))
        .await
        .expect_err("nobody is there");
    assert!(matches!(error, Error::Inner(error) if error.is_connect()));
    let refused = soon(service.oneshot(get())).await.expect_err("refused");
    assert!(refused.rejected().is_some());
}
