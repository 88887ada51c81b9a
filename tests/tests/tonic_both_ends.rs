//! A generated client over a stack over tonic's channel, and tonic's server under a stack: all four kinds of call.

use buttress::{
    Grpc, Stack,
    circuit_breaker::{CircuitBreaker, State},
    recover::{Place, Recover},
    stack::{FullClient, FullServer},
};
use buttress_tests::{
    bodies::{self, Taking},
    books::{Books, CANCELLED, Ends, FAILURE, NEUTRAL, NOTHING},
    echo::{Echo, EchoClient, EchoServer, Message, say},
    scripted::message,
    server, soon,
    watch::watch,
};
use bytes::Bytes;
use http_body::Body as _;
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy, rt::TokioExecutor};
use tokio_stream::{StreamExt, wrappers::ReceiverStream};
use tonic::{
    Code, Status,
    service::interceptor::InterceptedService,
    transport::{Channel, Endpoint, Server},
};
use tower_layer::Layer;

type Client = EchoClient<<FullClient<Grpc, Taking<tonic::body::Body>> as Layer<Channel>>::Service>;

/// The service behind that stack.
async fn serve(stack: FullServer<Grpc>) -> std::net::SocketAddr {
    server::tonic(|incoming| {
        Server::builder()
            .layer(stack)
            .add_service(EchoServer::new(Echo))
            .serve_with_incoming(incoming)
    })
    .await
}

fn stack_of_server(books: &Books, recover: Option<Recover>) -> FullServer<Grpc> {
    Stack::grpc_server("echo")
        .metrics(books.metrics.clone())
        .circuit_breaker(books.breaker.clone())
        .recover_with(recover)
        .full()
        .build()
}

fn client(server: std::net::SocketAddr, books: &Books) -> Client {
    let channel = Endpoint::from_shared(format!("http://{server}"))
        .expect("an address")
        .connect_lazy();
    let stack: FullClient<Grpc, _> = Stack::grpc_client("echo")
        .metrics(books.metrics.clone())
        .circuit_breaker(books.breaker.clone())
        .recover_with(Recover::new())
        .body_mode(bodies::tonic())
        .full()
        .build();
    EchoClient::new(stack.service(channel))
}

async fn set_up() -> (Client, Books, Books) {
    let (here, there) = (Books::new(), Books::new());
    let server = serve(stack_of_server(&there, Some(Recover::new()))).await;
    (client(server, &here), here, there)
}

fn messages<const N: usize>(texts: [&'static str; N]) -> impl tokio_stream::Stream<Item = Message> + Send {
    tokio_stream::iter(texts.map(say))
}

#[tokio::test]
async fn all_four_kinds_of_call_succeed_on_both_sides() {
    let (mut client, here, there) = set_up().await;

    let answer = soon(client.unary(say("hello"))).await.expect("an answer");
    assert_eq!(answer.into_inner().text, "hello");

    let asked = Message {
        text: "again".into(),
        times: 3,
    };
    let stream = soon(client.server_stream(asked))
        .await
        .expect("headers")
        .into_inner();
    let said: Vec<_> = soon(stream.map(|m| m.expect("a message").text).collect()).await;
    assert_eq!(said, ["first", "again", "again"]);

    let answer = soon(client.client_stream(messages(["a", "b", "c"])))
        .await
        .expect("an answer");
    assert_eq!(answer.into_inner().text, "abc");

    let stream = soon(client.bidi(messages(["a", "b"])))
        .await
        .expect("headers")
        .into_inner();
    let said: Vec<_> = soon(stream.map(|m| m.expect("a message").text).collect()).await;
    assert_eq!(said, ["a", "b"]);

    let four = Ends {
        success: 4,
        ..NOTHING
    };
    assert_eq!((here.ends(), there.ends()), (four, four));
}

#[tokio::test]
async fn a_status_of_the_service_is_a_failure_on_both_sides_wherever_it_comes() {
    let (mut client, here, there) = set_up().await;

    // In headers that end the stream.
    let status = soon(client.unary(say("fail"))).await.expect_err("as asked");
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!((here.ends(), there.ends()), (FAILURE, FAILURE));

    // In trailers, after a message.
    let asked = Message {
        text: "fail".into(),
        times: 2,
    };
    let mut stream = soon(client.server_stream(asked))
        .await
        .expect("headers")
        .into_inner();
    assert_eq!(
        soon(stream.message()).await.expect("a message"),
        Some(say("first"))
    );
    assert_eq!(
        soon(stream.message()).await.expect_err("as asked").code(),
        Code::Unavailable
    );
    let two = Ends {
        failure: 2,
        ..NOTHING
    };
    assert_eq!((here.ends(), there.ends()), (two, two));
}

#[tokio::test]
async fn requests_still_coming_when_the_answer_is_there_do_not_matter() {
    let (mut client, here, there) = set_up().await;
    let (send, requests) = tokio::sync::mpsc::channel(1);
    let mut stream = soon(client.bidi(ReceiverStream::new(requests)))
        .await
        .expect("headers")
        .into_inner();
    for text in ["one", "two"] {
        send.send(say(text)).await.expect("the call is running");
        assert_eq!(soon(stream.message()).await.expect("a message"), Some(say(text)));
    }
    send.send(say("fail")).await.expect("the call is running");
    soon(stream.message()).await.expect_err("as asked");
    assert_eq!((here.ends(), there.ends()), (FAILURE, FAILURE));
}

#[tokio::test]
async fn a_client_that_goes_away_is_cancelled_on_both_sides_and_its_probe_comes_back() {
    let (here, there) = (Books::new(), Books::new());
    let breaker = CircuitBreaker::builder()
        .half_open_probes(1)
        .success_threshold(1)
        .build()
        .expect("good options");
    breaker.transition_to(State::HalfOpen);
    let there = Books {
        breaker: breaker.clone(),
        ..there
    };
    let (watch, mut gone) = watch();
    let stack = Stack::grpc_server("echo")
        .metrics(there.metrics.clone())
        .circuit_breaker(breaker.clone())
        .recover()
        .outside(watch)
        .build();
    let address = server::tonic(|incoming| {
        Server::builder()
            .layer(stack)
            .add_service(EchoServer::new(Echo))
            .serve_with_incoming(incoming)
    })
    .await;
    let mut client = client(address, &here);

    // In mid-stream, before any message.
    let (requests, request) = tokio::sync::mpsc::channel(1);
    let stream = soon(client.bidi(ReceiverStream::new(request)))
        .await
        .expect("headers");
    drop(stream);
    drop(requests);
    gone.one().await;
    assert_eq!((here.ends(), there.ends()), (CANCELLED, CANCELLED));

    // Before the headers: the service waits for a request that never comes.
    let (_requests, request) = tokio::sync::mpsc::channel(1);
    let arrived = there.metrics.clone();
    tokio::select! {
        biased;
        answer = client.client_stream(ReceiverStream::new(request)) => panic!("{answer:?}"),
        () = soon(async { while arrived.snapshot().in_flight == 0 { tokio::task::yield_now().await } }) => {}
    }
    gone.one().await;
    let two = Ends {
        cancelled: 2,
        ..NOTHING
    };
    assert_eq!((here.ends(), there.ends()), (two, two));

    assert_eq!(breaker.state(), State::HalfOpen);
    soon(client.unary(say("hello"))).await.expect("the slot is free");
    assert_eq!(breaker.state(), State::Closed);
}

/// One call by a client that shows what is on the wire.
async fn on_the_wire(server: std::net::SocketAddr) -> http::Response<hyper::body::Incoming> {
    let client: legacy::Client<_, Full<Bytes>> = legacy::Client::builder(TokioExecutor::new())
        .http2_only(true)
        .build_http();
    let request = http::Request::post(format!("http://{server}/buttress.tests.echo.Echo/Unary"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::new(message(&say("hello"))))
        .expect("a good request");
    soon(client.request(request)).await.expect("a response")
}

#[tokio::test]
async fn a_refusal_is_a_response_of_trailers_only() {
    let there = Books::new();
    let server = serve(stack_of_server(&there, None)).await;
    let answered = on_the_wire(server).await;
    assert!(!answered.headers().contains_key("grpc-status"));
    assert!(!answered.body().is_end_stream());
    soon(answered.into_body().collect()).await.expect("a whole body");

    there.breaker.transition_to(State::Open);
    let refused = on_the_wire(server).await;
    assert_eq!(refused.status(), http::StatusCode::OK);
    assert_eq!(refused.headers()["grpc-status"], "14");
    assert_eq!(refused.headers()["content-type"], "application/grpc");
    assert!(refused.headers().contains_key("grpc-message"));
    let pushback = refused.headers()["grpc-retry-pushback-ms"]
        .to_str()
        .expect("text");
    assert!(
        (1..=60_000).contains(&pushback.parse::<u32>().expect("a number")),
        "{pushback}"
    );
    assert!(refused.body().is_end_stream(), "the headers end the stream");

    // And as a client of tonic's has it.
    let here = Books::new();
    let status = soon(client(server, &here).unary(say("hello")))
        .await
        .expect_err("refused");
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(here.ends(), FAILURE);
    assert_eq!(there.breaker.snapshot().rejected, 2);
}

#[tokio::test]
async fn a_service_that_panics_is_internal_and_the_server_lives() {
    let (here, there) = (Books::new(), Books::new());
    let recover = Recover::new();
    let server = serve(stack_of_server(&there, Some(recover.clone()))).await;
    let mut client = client(server, &here);

    let status = soon(client.unary(say("panic"))).await.expect_err("a panic");
    assert_eq!(
        (status.code(), status.message()),
        (Code::Internal, "Internal error.")
    );
    assert_eq!(recover.panics_in(Place::Future), 1);

    // Over the same connection, of which a panic in mid-stream takes one stream.
    let (requests, request) = tokio::sync::mpsc::channel(1);
    let mut stream = soon(client.bidi(ReceiverStream::new(request)))
        .await
        .expect("headers")
        .into_inner();
    requests.send(say("first")).await.expect("the call is running");
    assert_eq!(
        soon(stream.message()).await.expect("a message"),
        Some(say("first"))
    );
    requests.send(say("panic")).await.expect("the call is running");
    assert_eq!(
        soon(stream.message()).await.expect_err("broken off").code(),
        Code::Internal
    );
    assert_eq!(recover.panics_in(Place::Body), 1);

    let answer = soon(client.unary(say("hello"))).await.expect("it lives");
    assert_eq!(answer.into_inner().text, "hello");
    let expected = Ends {
        success: 1,
        failure: 2,
        ..NOTHING
    };
    assert_eq!((here.ends(), there.ends()), (expected, expected));
    // To the metrics the second is a body that broke: that it was a panic, only `Recover` knows.
    assert_eq!(there.metrics.snapshot().outcomes.panicked, 1);
}

#[tokio::test]
async fn an_interceptor_stands_above_the_stack_or_below() {
    let (above, below) = (Books::new(), Books::new());
    let server = serve(stack_of_server(&Books::new(), None)).await;
    let channel = Endpoint::from_shared(format!("http://{server}"))
        .expect("an address")
        .connect_lazy();
    let stack = |books: &Books| {
        Stack::grpc_client("echo")
            .metrics(books.metrics.clone())
            .circuit_breaker(books.breaker.clone())
            .recover()
            .build()
    };
    let refuse = |_: tonic::Request<()>| Err(Status::permission_denied("by the interceptor"));

    let mut client = EchoClient::with_interceptor(stack(&above).service(channel.clone()), refuse);
    soon(client.unary(say("hello"))).await.expect_err("refused");
    assert_eq!(above.ends(), NOTHING, "the stack was not asked");

    let mut client = EchoClient::new(stack(&below).service(InterceptedService::new(channel, refuse)));
    let status = soon(client.unary(say("hello"))).await.expect_err("refused");
    assert_eq!(status.code(), Code::PermissionDenied);
    assert_eq!(below.ends(), NEUTRAL);
}
