//! One limit and one queue, however many connections, routes and clones there are: under axum, under tonic's server, and
//! around clients that are cloned.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    time::Duration,
};

use axum::{Router, routing};
use buttress::{
    CallContext, Error, Grpc, Http, Rejected, RejectionKind, Stack,
    http::PeerAddr,
    priority::{Classifier, Hold, Priority, PriorityQueue},
    rate_limit::{KeyBy, RateLimiter},
    stack::FullServer,
};
use buttress_tests::{
    bodies,
    echo::{Echo, EchoClient, EchoServer, Message, say},
    scripted::{handler, status},
    server, soon,
};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint, Server},
};
use tower::ServiceExt;

type Client = legacy::Client<HttpConnector, Empty<Bytes>>;

fn client(http2: bool) -> Client {
    legacy::Client::builder(TokioExecutor::new())
        .http2_only(http2)
        .build_http()
}

fn get(path: &str, server: SocketAddr, fields: &[(&str, &str)]) -> Request<Empty<Bytes>> {
    let request = fields.iter().fold(
        Request::get(format!("http://{server}{path}")),
        |request, (name, value)| request.header(*name, *value),
    );
    request.body(Empty::new()).expect("a request")
}

async fn ask(client: &Client, request: Request<Empty<Bytes>>) -> Response<Incoming> {
    soon(client.request(request)).await.expect("a response")
}

/// So many an hour: none comes back while a test runs.
fn an_hour(permits: u64) -> RateLimiter {
    RateLimiter::per_hour(permits)
        .headers(true)
        .build()
        .expect("valid")
}

fn one_at_a_time() -> PriorityQueue {
    let options = PriorityQueue::builder().concurrency(1).queue(100);
    let claims = Classifier::new()
        .field("priority")
        .claims(Priority::new(0)..=Priority::CRITICAL);
    options.classifier(claims).build().expect("valid")
}

/// Waits until the queue is as a test wants it.
async fn until(queue: &PriorityQueue, running: u32, queued: usize) {
    soon(async {
        while (queue.status().running, queue.status().queued) != (running, queued) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// How many at the most were at work at a time.
#[derive(Clone, Debug, Default)]
struct Busy(Arc<(AtomicU32, AtomicU32)>);

impl Busy {
    async fn work(&self) {
        let now = self.0.0.fetch_add(1, SeqCst) + 1;
        self.0.1.fetch_max(now, SeqCst);
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        self.0.0.fetch_sub(1, SeqCst);
    }

    fn most(&self) -> u32 {
        self.0.1.load(SeqCst)
    }
}

// ===== axum =====

#[tokio::test(flavor = "multi_thread")]
async fn under_axum_thirty_connections_have_one_limit() {
    for http2 in [false, true] {
        let limiter = an_hour(5);
        let stack: FullServer<Http> = Stack::http_server("api")
            .rate_limit(limiter.clone())
            .full()
            .build();
        let hello = || routing::get(|| async { "hello" });
        let app = Router::new()
            .route("/a", hello())
            .route("/b", hello())
            .layer(stack);
        let server = server::axum(app).await;
        let calls = (0..30).map(|n| {
            tokio::spawn(async move {
                let path = if n % 2 == 0 { "/a" } else { "/b" };
                // A client of its own, and so a connection of its own.
                ask(&client(http2), get(path, server, &[])).await
            })
        });
        let mut passed = 0;
        for call in calls.collect::<Vec<_>>() {
            let answer = call.await.expect("no panic");
            let fields = answer.headers();
            assert_eq!(fields["ratelimit-policy"], r#""default";q=5;w=3600"#);
            match answer.status() {
                StatusCode::OK => passed += 1,
                status => {
                    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
                    let after: u64 = fields["retry-after"]
                        .to_str()
                        .expect("text")
                        .parse()
                        .expect("a number");
                    assert!((700..=720).contains(&after), "{after}");
                    assert_eq!(
                        fields["ratelimit"],
                        format!(r#""default";r=0;t={after}"#).as_str()
                    );
                }
            }
        }
        assert_eq!(passed, 5, "HTTP/2: {http2}");
        let books = limiter.snapshot();
        assert_eq!((books.allowed, books.limited), (5, 25));
    }
}

#[tokio::test]
async fn under_axum_a_key_is_the_peer_that_it_knows_whatever_a_request_says() {
    use axum::extract::ConnectInfo;

    let limiter = RateLimiter::per_hour(2)
        .key_by(KeyBy::PeerIp)
        .build()
        .expect("valid");
    let known = tower::util::MapRequestLayer::new(|mut request: axum::extract::Request| {
        let ConnectInfo(peer) = *request
            .extensions()
            .get::<ConnectInfo<SocketAddr>>()
            .expect("it is known");
        request.extensions_mut().insert(PeerAddr::from(peer));
        request
    });
    let stack = Stack::http_server("api")
        .rate_limit(limiter.clone())
        .outside(known)
        .build();
    let app = Router::new()
        .route("/", routing::get(|| async { "hello" }))
        .layer(stack);
    let (listener, server) = server::listener().await;
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, app).await });
    let mut answers = Vec::new();
    for n in 0..4 {
        let made_up = format!("198.51.100.{n}");
        let fields = [("x-forwarded-for", &*made_up), ("x-real-ip", &*made_up)];
        answers.push(
            ask(&client(false), get("/", server, &fields))
                .await
                .status()
                .as_u16(),
        );
    }
    assert_eq!(answers, [200, 200, 429, 429]);
    assert_eq!(limiter.snapshot().keys.expect("keyed").keys, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn under_axum_thirty_connections_have_one_queue() {
    for http2 in [false, true] {
        let (queue, busy) = (one_at_a_time(), Busy::default());
        let stack: FullServer<Http> = Stack::http_server("api").priority(queue.clone()).full().build();
        let works = busy.clone();
        let handler = move || {
            let works = works.clone();
            async move { works.work().await }
        };
        let server = server::axum(Router::new().route("/", routing::get(handler)).layer(stack)).await;
        let calls = (0..30)
            .map(|_| tokio::spawn(async move { ask(&client(http2), get("/", server, &[])).await.status() }));
        for call in calls.collect::<Vec<_>>() {
            assert_eq!(call.await.expect("no panic"), StatusCode::OK);
        }
        assert_eq!(busy.most(), 1, "HTTP/2: {http2}");
        until(&queue, 0, 0).await;
    }
}

/// A client's call on a connection of its own.
fn begin(server: SocketAddr, http2: bool, fields: &[(&str, &str)]) -> JoinHandle<Response<Incoming>> {
    let request = get("/", server, fields);
    tokio::spawn(async move { ask(&client(http2), request).await })
}

#[tokio::test]
async fn under_axum_a_slot_is_taken_to_the_end_of_the_body_and_the_critical_goes_next() {
    for http2 in [false, true] {
        let queue = one_at_a_time();
        let (handler, mut calls) = handler();
        let stack = Stack::http_server("api").priority(queue.clone()).build();
        let server = server::axum(Router::new().fallback_service(handler).layer(stack)).await;

        let first = begin(server, http2, &[]);
        let frames = calls.next().await.begin(status(200));
        let mut first = soon(first).await.expect("no panic").into_body();
        let mut waiting = Vec::new();
        for (n, class) in ["u=7", "u=3", "critical"].into_iter().enumerate() {
            waiting.push(begin(server, http2, &[("priority", class), ("x-class", class)]));
            until(&queue, 1, n + 1).await;
        }
        frames.data("first");
        let read = soon(first.frame()).await.expect("a frame").expect("no error");
        assert_eq!(read.into_data().expect("data"), "first");
        // The head is long gone, and data too; but the body goes on.
        until(&queue, 1, 3).await;
        drop(frames);
        let rest = soon(first.collect()).await.expect("its end");
        assert!(rest.to_bytes().is_empty());
        for class in ["critical", "u=3", "u=7"] {
            let call = calls.next().await;
            assert_eq!(call.request.headers()["x-class"], class, "HTTP/2: {http2}");
            call.end(status(200));
        }
        for call in waiting {
            assert_eq!(soon(call).await.expect("no panic").status(), StatusCode::OK);
        }
        until(&queue, 0, 0).await;
    }
}

#[tokio::test]
async fn under_axum_a_client_that_goes_away_leaves_the_line_and_its_slot() {
    for http2 in [false, true] {
        let queue = one_at_a_time();
        let (handler, mut calls) = handler();
        let stack = Stack::http_server("api").priority(queue.clone()).build();
        let server = server::axum(Router::new().fallback_service(handler).layer(stack)).await;
        let running = begin(server, http2, &[]);
        let call = calls.next().await;
        let waiting = begin(server, http2, &[]);
        until(&queue, 1, 1).await;
        waiting.abort();
        until(&queue, 1, 0).await;
        running.abort();
        soon(call.given_up()).await;
        until(&queue, 0, 0).await;
        let books = queue.status();
        assert_eq!((books.cancelled, books.left), (1, 1), "HTTP/2: {http2}");
    }
}

// ===== tonic =====

async fn tonic_server(stack: FullServer<Grpc>) -> SocketAddr {
    server::tonic(|incoming| {
        Server::builder()
            .layer(stack)
            .add_service(EchoServer::new(Echo))
            .serve_with_incoming(incoming)
    })
    .await
}

/// With a connection of its own.
fn echo(server: SocketAddr) -> EchoClient<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{server}")).expect("an address");
    EchoClient::new(endpoint.connect_lazy())
}

fn metadata(status: &Status, name: &str) -> u64 {
    let value = status
        .metadata()
        .get(name)
        .unwrap_or_else(|| panic!("no {name}: {status:?}"));
    value.to_str().expect("text").parse().expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn under_tonic_thirty_connections_have_one_limit() {
    let limiter = an_hour(5);
    let stack = Stack::grpc_server("echo")
        .rate_limit(limiter.clone())
        .full()
        .build();
    let server = tonic_server(stack).await;
    let calls = (0..30).map(|_| tokio::spawn(async move { soon(echo(server).unary(say("hello"))).await }));
    let mut passed = 0;
    for call in calls.collect::<Vec<_>>() {
        match call.await.expect("no panic") {
            Ok(answer) => {
                assert_eq!(
                    answer.metadata().get("ratelimit-policy").expect("metadata"),
                    r#""default";q=5;w=3600"#
                );
                passed += 1;
            }
            Err(status) => {
                assert_eq!(status.code(), Code::ResourceExhausted);
                let after = metadata(&status, "retry-after");
                assert!((700..=720).contains(&after), "{after}");
                let pushback = metadata(&status, "grpc-retry-pushback-ms");
                assert_eq!(pushback.div_ceil(1000), after);
                let said = status.metadata().get("ratelimit").expect("metadata");
                assert_eq!(said, format!(r#""default";r=0;t={after}"#).as_str());
            }
        }
    }
    assert_eq!((passed, limiter.snapshot().limited), (5, 25));
}

#[tokio::test]
async fn under_tonic_each_method_may_have_a_limit_of_its_own() {
    let limiter = RateLimiter::per_hour(1)
        .key_by(KeyBy::GrpcMethod)
        .build()
        .expect("valid");
    let server = tonic_server(
        Stack::grpc_server("echo")
            .rate_limit(limiter.clone())
            .full()
            .build(),
    )
    .await;
    let mut client = echo(server);
    soon(client.unary(say("hello"))).await.expect("the first");
    let asked = Message {
        text: "again".into(),
        times: 2,
    };
    soon(client.server_stream(asked))
        .await
        .expect("the first of another method");
    let refused = soon(client.unary(say("hello"))).await.expect_err("the second");
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert_eq!(limiter.snapshot().keys.expect("keyed").keys, 2);
}

#[tokio::test]
async fn under_tonic_thirty_connections_have_one_queue() {
    let queue = one_at_a_time();
    let server = tonic_server(Stack::grpc_server("echo").priority(queue.clone()).full().build()).await;
    // It is never answered.
    let running = tokio::spawn(async move { echo(server).unary(say("hang")).await });
    until(&queue, 1, 0).await;
    let waiting: Vec<_> = (0..29)
        .map(|_| tokio::spawn(async move { soon(echo(server).unary(say("hello"))).await }))
        .collect();
    until(&queue, 1, 29).await;
    queue.reconfigure(queue.options().queue(29)).expect("valid");
    let refused = soon(echo(server).unary(say("late")))
        .await
        .expect_err("there is no room");
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert!(metadata(&refused, "retry-after") >= 1);
    // By its metadata it is more important than one of those who wait, which is refused for it.
    let mut important = tonic::Request::new(say("hello"));
    important
        .metadata_mut()
        .insert("priority", "critical".parse().expect("ASCII"));
    let important = tokio::spawn(async move { soon(echo(server).unary(important)).await });
    until(&queue, 1, 29).await;
    soon(async {
        while queue.status().displaced == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(queue.status().queued_by_class[0], (Priority::CRITICAL, 1));

    running.abort();
    important.await.expect("no panic").expect("an answer");
    let mut refused = 0;
    for call in waiting {
        if let Err(status) = call.await.expect("no panic") {
            assert_eq!(status.code(), Code::ResourceExhausted);
            refused += 1;
        }
    }
    assert_eq!(refused, 1);
    until(&queue, 0, 0).await;
    let books = queue.status();
    assert_eq!(
        (books.completed, books.cancelled, books.rejected_full),
        (29, 1, 2)
    );
}

/// Nothing on the wire says whether a method streams, so it is to the headers unless the options say otherwise.
#[tokio::test]
async fn under_tonic_a_slot_is_taken_to_the_headers_or_if_so_configured_to_the_end() {
    for (hold, running) in [(Hold::Auto, 0), (Hold::End, 1)] {
        let queue = PriorityQueue::builder()
            .concurrency(1)
            .hold_route("/buttress.tests.echo.Echo/Bidi", hold);
        let queue = queue.build().expect("valid");
        let server = tonic_server(Stack::grpc_server("echo").priority(queue.clone()).full().build()).await;
        let (say_on, said) = mpsc::channel(1);
        say_on.send(say("hello")).await.expect("it is taken");
        let asked = tokio_stream::wrappers::ReceiverStream::new(said);
        let mut answers = soon(echo(server).bidi(asked))
            .await
            .expect("headers")
            .into_inner();
        assert_eq!(
            soon(answers.message()).await.expect("no error"),
            Some(say("hello"))
        );
        until(&queue, running, 0).await;
        drop(say_on);
        assert_eq!(soon(answers.message()).await.expect("no error"), None);
        until(&queue, 0, 0).await;
        assert_eq!(queue.status().completed, 1, "{hold:?}");
    }
}

// ===== clients =====

#[tokio::test(flavor = "multi_thread")]
async fn thirty_clones_of_a_client_have_one_limit_and_one_queue() {
    let busy = Busy::default();
    let works = busy.clone();
    let handler = move || {
        let works = works.clone();
        async move { works.work().await }
    };
    let server = server::axum(Router::new().route("/", routing::get(handler))).await;
    let (limiter, queue) = (an_hour(5), one_at_a_time());
    let service = Stack::http_client("upstream")
        .rate_limit(limiter.clone())
        .priority(queue.clone())
        .build()
        .service(client(false));
    let calls = (0..30).map(|_| {
        let service = service.clone();
        tokio::spawn(async move {
            let answer = soon(service.oneshot(get("/", server, &[]))).await?;
            // A slot is taken until the body has been read.
            let _ = answer.into_body().collect().await;
            Ok::<_, Error<legacy::Error>>(())
        })
    });
    let mut passed = 0;
    for call in calls.collect::<Vec<_>>() {
        match call.await.expect("no panic") {
            Ok(()) => passed += 1,
            Err(error) => {
                let Error::Rejected(rejected) = error else {
                    panic!("{error}");
                };
                assert_eq!(rejected.kind(), RejectionKind::RateLimited);
                assert!(
                    rejected
                        .retry_after()
                        .is_some_and(|after| after > Duration::from_secs(700))
                );
            }
        }
    }
    assert_eq!((passed, busy.most()), (5, 1));
    assert_eq!(limiter.snapshot().limited, 25);
    until(&queue, 0, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn thirty_clones_of_a_generated_client_have_one_limit() {
    let server = tonic_server(Stack::grpc_server("echo").full().build()).await;
    let limiter = an_hour(5);
    let channel = Endpoint::from_shared(format!("http://{server}"))
        .expect("an address")
        .connect_lazy();
    let stack = Stack::grpc_client("echo").rate_limit(limiter.clone());
    let client = EchoClient::new(stack.body_mode(bodies::tonic()).full().build().service(channel));
    let calls = (0..30).map(|_| {
        let mut client = client.clone();
        tokio::spawn(async move { soon(client.unary(say("hello"))).await })
    });
    let mut passed = 0;
    for call in calls.collect::<Vec<_>>() {
        match call.await.expect("no panic") {
            Ok(_) => passed += 1,
            Err(status) => assert!(Rejected::find(&status).is_some(), "{status:?}"),
        }
    }
    assert_eq!((passed, limiter.snapshot().limited), (5, 25));
}

/// Whoever waits asks nothing of the service, so what stands before it has no line of its own.
#[tokio::test]
async fn five_thousand_wait_in_a_stack_over_a_buffer_of_one_and_a_critical_call_goes_first() {
    let (called, mut calls) = mpsc::unbounded_channel::<(u32, oneshot::Sender<()>)>();
    let inner = tower::service_fn(move |n: u32| {
        let (answer, answered) = oneshot::channel();
        let _ = called.send((n, answer));
        async move { answered.await.map(|()| n) }
    });
    let queue = PriorityQueue::builder()
        .concurrency(1)
        .queue(6000)
        .build()
        .expect("valid");
    let service = Stack::new("db")
        .keep_error()
        .priority(queue.clone())
        .build()
        .service(tower::buffer::Buffer::new(inner, 1));
    let begin = |n: u32, class: Priority| {
        let service = service.clone();
        let mut context = CallContext::default();
        context.set_priority(class.get());
        tokio::spawn(context.scope(async move { service.oneshot(n).await }))
    };
    let mut running = vec![begin(0, Priority::NORMAL)];
    let (first, answer) = soon(calls.recv()).await.expect("a call");
    assert_eq!(first, 0);
    running.extend((1..=5000).map(|n| begin(n, Priority::NORMAL)));
    until(&queue, 1, 5000).await;
    running.push(begin(9999, Priority::CRITICAL));
    until(&queue, 1, 5001).await;
    answer.send(()).expect("it waits");
    let mut order = Vec::new();
    for _ in 0..=5000 {
        let (n, answer) = soon(calls.recv()).await.expect("a call");
        order.push(n);
        answer.send(()).expect("it waits");
    }
    assert_eq!(order[0], 9999);
    assert!(
        order[1..].iter().copied().eq(1..=5000),
        "and the others as they came"
    );
    for call in running {
        assert!(call.await.expect("no panic").is_ok());
    }
}
