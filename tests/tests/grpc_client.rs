//! What a gRPC call comes to in the books of the client's stack: a tonic channel under it, on the other end of the
//! socket an upstream that is played frame by frame.

use std::time::Duration;

use buttress::{
    Grpc, Rejected, RejectionKind, Stack,
    circuit_breaker::{CircuitBreaker, State},
    metrics::Metrics,
    recover::Recover,
    stack::FullClient,
};
use buttress_tests::{
    bodies::{self, Taking},
    books::{Books, CANCELLED, Ends, FAILURE, NEUTRAL, SUCCESS, THROTTLED},
    echo::{EchoClient, Message, say},
    scripted::{Call, Upstream, Version, grpc, message, status},
    soon,
};
use bytes::Bytes;
use tokio::task::JoinHandle;
use tonic::{
    Code, Status, Streaming,
    transport::{Channel, Endpoint},
};
use tower_layer::Layer;

type Client = EchoClient<<FullClient<Grpc, Taking<tonic::body::Body>> as Layer<Channel>>::Service>;

fn client(upstream: &Upstream, breaker: &CircuitBreaker, metrics: &Metrics) -> Client {
    let channel = Endpoint::from_shared(format!("http://{}", upstream.address))
        .expect("an address")
        .connect_lazy();
    let stack: FullClient<Grpc, _> = Stack::grpc_client("upstream")
        .metrics(metrics.clone())
        .recover_with(Recover::new())
        .circuit_breaker(breaker.clone())
        .body_mode(bodies::tonic())
        .full()
        .build();
    EchoClient::new(stack.service(channel))
}

/// An upstream, books, and a client whose calls are counted in them.
async fn set_up() -> (Upstream, Books, Client) {
    let upstream = Upstream::start(Version::Http2).await;
    let books = Books::new();
    let client = client(&upstream, &books.breaker, &books.metrics);
    (upstream, books, client)
}

type Unary = JoinHandle<Result<Message, Status>>;
type Streamed = JoinHandle<Result<Streaming<Message>, Status>>;

fn unary(client: &Client) -> Unary {
    let mut client = client.clone();
    tokio::spawn(async move { Ok(client.unary(say("hello")).await?.into_inner()) })
}

fn streamed(client: &Client) -> Streamed {
    let mut client = client.clone();
    tokio::spawn(async move { Ok(client.server_stream(say("hello")).await?.into_inner()) })
}

async fn code_of<T: std::fmt::Debug>(call: JoinHandle<Result<T, Status>>) -> Code {
    soon(call).await.expect("no panic").expect_err("a status").code()
}

/// Plays `answer` to one unary call, which gets a status, and tells how the books have it.
async fn books_of(answer: impl FnOnce(Call)) -> (Ends, Code) {
    let (mut upstream, books, client) = set_up().await;
    let call = unary(&client);
    answer(upstream.call().await);
    let code = code_of(call).await;
    (books.ends(), code)
}

#[tokio::test]
async fn a_status_of_ok_in_the_trailers_is_a_success() {
    let (mut upstream, books, client) = set_up().await;
    let call = unary(&client);
    let frames = upstream.call().await.begin(grpc());
    frames.data(message(&say("hello")));
    frames.trailers([("grpc-status", "0")]);
    assert_eq!(
        soon(call).await.expect("no panic").expect("an answer").text,
        "hello"
    );
    assert_eq!(books.ends(), SUCCESS);
}

#[tokio::test]
async fn a_status_of_unavailable_in_the_trailers_is_a_failure() {
    let (mut upstream, books, client) = set_up().await;
    let call = streamed(&client);
    let frames = upstream.call().await.begin(grpc());
    let mut stream = soon(call).await.expect("no panic").expect("headers");
    frames.data(message(&say("first")));
    assert_eq!(
        soon(stream.message()).await.expect("a message"),
        Some(say("first"))
    );
    assert_eq!(
        books.metrics.snapshot().in_flight,
        1,
        "neither headers nor data decide"
    );
    frames.trailers([("grpc-status", "14")]);
    assert_eq!(
        soon(stream.message()).await.expect_err("a status").code(),
        Code::Unavailable
    );
    assert_eq!(books.ends(), FAILURE);

    let answer = |call: Call| {
        let frames = call.begin(grpc());
        frames.data(message(&say("hello")));
        frames.trailers([("grpc-status", "14")]);
    };
    assert_eq!(books_of(answer).await, (FAILURE, Code::Unavailable));
}

#[tokio::test]
async fn a_body_that_breaks_midway_is_a_failure() {
    // Between two messages, and in the middle of one.
    for rest in [Bytes::new(), message(&say("second")).slice(..7)] {
        let (mut upstream, books, client) = set_up().await;
        let call = streamed(&client);
        let frames = upstream.call().await.begin(grpc());
        frames.data([message(&say("first")), rest].concat());
        // A reset overtakes what is not sent yet, so the message has to be there first.
        let mut stream = soon(call).await.expect("no panic").expect("headers");
        assert_eq!(
            soon(stream.message()).await.expect("a message"),
            Some(say("first"))
        );
        assert_eq!(books.metrics.snapshot().in_flight, 1);
        frames.break_off();
        assert_eq!(
            soon(stream.message()).await.expect_err("it broke").code(),
            Code::Internal
        );
        assert_eq!(books.ends(), FAILURE);
    }
}

#[tokio::test]
async fn a_stream_that_is_reset_before_its_headers_is_a_failure() {
    let answer = |call: Call| call.begin(grpc()).break_off();
    assert_eq!(books_of(answer).await, (FAILURE, Code::Internal));
}

#[tokio::test]
async fn a_connection_that_is_cut_in_mid_stream_is_a_failure() {
    let (mut upstream, books, client) = set_up().await;
    let call = streamed(&client);
    let frames = upstream.call().await.begin(grpc());
    frames.data(message(&say("first")));
    let mut stream = soon(call).await.expect("no panic").expect("headers");
    assert_eq!(
        soon(stream.message()).await.expect("a message"),
        Some(say("first"))
    );
    upstream.cut_connections();
    soon(stream.message()).await.expect_err("the connection is gone");
    assert_eq!(books.ends(), FAILURE);
}

#[tokio::test]
async fn a_body_that_is_dropped_unread_is_cancelled() {
    let (mut upstream, books, client) = set_up().await;
    let call = streamed(&client);
    let frames = upstream.call().await.begin(grpc());
    let stream = soon(call).await.expect("no panic").expect("headers");
    assert_eq!(books.metrics.snapshot().in_flight, 1);
    drop(stream);
    assert_eq!(books.ends(), CANCELLED);
    // And the upstream hears of it.
    frames.dropped().await;
}

#[tokio::test]
async fn a_stream_that_is_dropped_midway_is_cancelled() {
    let (mut upstream, books, client) = set_up().await;
    let call = streamed(&client);
    let frames = upstream.call().await.begin(grpc());
    frames.data(message(&say("first")));
    let mut stream = soon(call).await.expect("no panic").expect("headers");
    assert!(soon(stream.message()).await.expect("a message").is_some());
    drop(stream);
    assert_eq!(books.ends(), CANCELLED);
    frames.dropped().await;
}

#[tokio::test]
async fn a_call_that_is_given_up_before_its_headers_is_cancelled() {
    let (mut upstream, books, client) = set_up().await;
    let call = unary(&client);
    let arrived = upstream.call().await;
    call.abort();
    assert!(call.await.expect_err("aborted").is_cancelled());
    assert_eq!(books.ends(), CANCELLED);
    arrived.given_up().await;
}

#[tokio::test]
async fn a_stream_that_ends_without_a_status_is_a_failure() {
    // A body that ends without trailers; trailers without a status; headers that end the stream.
    let ends: [fn(Call); 3] = [
        |call| {
            call.begin(grpc()).data(message(&say("hello")));
        },
        |call| {
            let frames = call.begin(grpc());
            frames.data(message(&say("hello")));
            frames.trailers([("x-checksum", "1")]);
        },
        |call| call.end(grpc()),
    ];
    for (i, answer) in ends.into_iter().enumerate() {
        let (mut upstream, books, client) = set_up().await;
        let call = unary(&client);
        answer(upstream.call().await);
        // What tonic makes of it is tonic's affair: of the first it makes an `Ok`.
        let _ = soon(call).await.expect("no panic");
        assert_eq!(books.ends(), FAILURE, "{i}");
    }
}

#[tokio::test]
async fn a_status_in_headers_that_end_the_stream_decides() {
    for (code, expected) in [
        ("5", NEUTRAL),
        ("1", NEUTRAL),
        ("12", NEUTRAL),
        ("8", THROTTLED),
        ("4", FAILURE),
        ("13", FAILURE),
        ("14", FAILURE),
        ("99", FAILURE),
    ] {
        let answer = |call: Call| call.end(grpc().header("grpc-status", code));
        assert_eq!(books_of(answer).await.0, expected, "{code}");
    }
}

#[tokio::test]
async fn the_same_codes_decide_in_trailers() {
    for (code, expected) in [("5", NEUTRAL), ("8", THROTTLED), ("2", FAILURE), ("15", FAILURE)] {
        let answer = |call: Call| call.begin(grpc()).trailers([("grpc-status", code)]);
        assert_eq!(books_of(answer).await.0, expected, "{code}");
    }
}

#[tokio::test]
async fn a_proxy_that_answers_in_plain_http_is_judged_by_its_status() {
    for (http, expected, code) in [
        (503, FAILURE, Code::Unavailable),
        (502, FAILURE, Code::Unavailable),
        (429, FAILURE, Code::Unavailable),
        (404, NEUTRAL, Code::Unimplemented),
        (401, NEUTRAL, Code::Unauthenticated),
    ] {
        let page = |call: Call| {
            call.begin(status(http).header("content-type", "text/html"))
                .data("<h1>sorry</h1>");
        };
        assert_eq!(books_of(page).await.0, expected, "{http}");
        let bare = |call: Call| call.end(status(http));
        assert_eq!(books_of(bare).await, (expected, code), "{http}");
    }
}

#[tokio::test]
async fn a_connection_that_is_refused_is_a_failure() {
    let nobody = buttress_tests::server::nobody().await;
    let books = Books::new();
    let channel = Endpoint::from_shared(format!("http://{nobody}"))
        .expect("an address")
        .connect_lazy();
    let stack = Stack::grpc_client("nobody")
        .metrics(books.metrics.clone())
        .circuit_breaker(books.breaker.clone())
        .build();
    let mut client = EchoClient::new(stack.service(channel));
    let status = soon(client.unary(say("hello")))
        .await
        .expect_err("nobody is there");
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(books.ends(), FAILURE);
}

#[tokio::test]
async fn failures_in_trailers_open_the_breaker_and_the_upstream_is_left_in_peace() {
    let mut upstream = Upstream::start(Version::Http2).await;
    let breaker = CircuitBreaker::builder()
        .consecutive_failures(3)
        .build()
        .expect("good options");
    let metrics = Metrics::new();
    let client = client(&upstream, &breaker, &metrics);
    for _ in 0..3 {
        assert_eq!(breaker.state(), State::Closed);
        let call = unary(&client);
        upstream
            .call()
            .await
            .begin(grpc())
            .trailers([("grpc-status", "14")]);
        assert_eq!(code_of(call).await, Code::Unavailable);
    }
    assert_eq!(breaker.state(), State::Open);
    // Refused with no upstream to answer: it would hang if it were asked.
    let status = soon(unary(&client))
        .await
        .expect("no panic")
        .expect_err("refused");
    let rejected = Rejected::find(&status).expect("the generated client keeps the cause");
    assert_eq!(rejected.kind(), RejectionKind::CircuitOpen);
    assert_eq!(metrics.snapshot().outcomes.rejected, 1);
    assert_eq!(metrics.snapshot().outcomes.failure, 3);
}

fn half_open(probes: u32, successes: u32) -> CircuitBreaker {
    let breaker = CircuitBreaker::builder()
        .half_open_probes(probes)
        .success_threshold(successes)
        .open_for(Duration::from_secs(200))
        .build()
        .expect("good options");
    breaker.transition_to(State::HalfOpen);
    breaker
}

#[tokio::test]
async fn streams_without_an_end_close_a_half_open_breaker() {
    let mut upstream = Upstream::start(Version::Http2).await;
    let breaker = half_open(1, 2);
    let metrics = Metrics::new();
    let client = client(&upstream, &breaker, &metrics);
    let mut running = Vec::new();
    for _ in 0..2 {
        assert_eq!(breaker.state(), State::HalfOpen);
        let call = streamed(&client);
        let frames = upstream.call().await.begin(grpc());
        let mut stream = soon(call).await.expect("no panic").expect("headers");
        assert_eq!(
            breaker.state(),
            State::HalfOpen,
            "headers alone prove nothing in gRPC"
        );
        frames.data(message(&say("first")));
        assert!(soon(stream.message()).await.expect("a message").is_some());
        running.push((frames, stream));
    }
    assert_eq!(breaker.state(), State::Closed);
    assert_eq!(metrics.snapshot().in_flight, 2);
}

#[tokio::test]
async fn a_stream_that_failed_at_once_reopens_a_half_open_breaker() {
    let mut upstream = Upstream::start(Version::Http2).await;
    let breaker = half_open(1, 1);
    let client = client(&upstream, &breaker, &Metrics::new());
    let call = streamed(&client);
    upstream
        .call()
        .await
        .begin(grpc())
        .trailers([("grpc-status", "14")]);
    let mut stream = soon(call).await.expect("no panic").expect("headers");
    soon(stream.message()).await.expect_err("unavailable");
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test]
async fn a_probe_that_is_dropped_gives_its_slot_back() {
    let mut upstream = Upstream::start(Version::Http2).await;
    let breaker = half_open(1, 1);
    let client = client(&upstream, &breaker, &Metrics::new());

    // Before the headers.
    let call = unary(&client);
    let arrived = upstream.call().await;
    soon(unary(&client))
        .await
        .expect("no panic")
        .expect_err("the only slot is taken");
    call.abort();
    assert!(call.await.expect_err("aborted").is_cancelled());
    arrived.given_up().await;
    assert_eq!(breaker.state(), State::HalfOpen);

    // After the headers, before any data.
    let call = streamed(&client);
    let frames = upstream.call().await.begin(grpc());
    drop(soon(call).await.expect("no panic").expect("headers"));
    frames.dropped().await;
    assert_eq!(breaker.state(), State::HalfOpen);

    // The slot is there for one that succeeds.
    let call = unary(&client);
    let frames = upstream.call().await.begin(grpc());
    frames.data(message(&say("hello")));
    frames.trailers([("grpc-status", "0")]);
    soon(call).await.expect("no panic").expect("an answer");
    assert_eq!(breaker.state(), State::Closed);
}
