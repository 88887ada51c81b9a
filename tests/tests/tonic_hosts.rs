//! What tonic can do, under a stack: refusals as statuses over the wire on both sides, layers by hand, interceptors,
//! the peer's address, health, a graceful end.

use std::{net::SocketAddr, time::Duration};

use buttress::{
    CallContext, ErrorLayer, Grpc, Rejected, RejectionKind, RequestProtocol,
    circuit_breaker::{CircuitBreaker, KeyedCircuitBreaker},
    http::RespondLayer,
    metrics::Metrics,
    pool::health::Check as _,
    rate_limit::{KeyBy, RateLimiter},
    retry::Retry,
    timeout::Timeout,
    trace_id::{TraceId, TraceParent},
};
use buttress_tests::{
    echo::{Echo, EchoClient, EchoServer, Message, say},
    server, soon,
};
use buttress_tonic::{
    PeerLayer, StatusLayer, StatusResponder,
    interceptor::{Chain, Check, Limit, TraceIds},
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Code, Request, Status,
    body::Body,
    service::interceptor::InterceptedService,
    transport::{Channel, Endpoint, Server},
};
use tower::{ServiceBuilder, ServiceExt};

fn channel(server: SocketAddr) -> Channel {
    Endpoint::from_shared(format!("http://{server}"))
        .expect("an address")
        .connect_lazy()
}

/// tonic's server as it is.
async fn bare() -> SocketAddr {
    server::tonic(|incoming| {
        Server::builder()
            .add_service(EchoServer::new(Echo))
            .serve_with_incoming(incoming)
    })
    .await
}

/// tonic's server under layers.
macro_rules! echo_behind {
    ($layers:expr) => {{
        let layers = $layers;
        server::tonic(|incoming| {
            Server::builder()
                .layer(layers)
                .add_service(EchoServer::new(Echo))
                .serve_with_incoming(incoming)
        })
    }};
}

fn limiter() -> RateLimiter {
    RateLimiter::per_hour(1).burst(1).build().expect("good options")
}

#[tokio::test]
async fn a_refusal_on_the_client_is_a_status_with_all_that_is_known() {
    let breaker = CircuitBreaker::new();
    let channel = buttress_tonic::client("secret-name")
        .metrics(Metrics::new())
        .circuit_breaker(breaker.clone())
        .build()
        .service(channel(bare().await));
    let mut client = EchoClient::new(channel);
    soon(client.unary(say("hello"))).await.expect("an answer");
    breaker.transition_to(buttress::circuit_breaker::State::Open);

    // In all four kinds of call.
    let messages = || tokio_stream::iter([say("hello")]);
    let statuses = [
        soon(client.unary(say("hello"))).await.expect_err("refused"),
        soon(client.client_stream(messages())).await.expect_err("refused"),
        soon(client.server_stream(say("hello")))
            .await
            .expect_err("refused"),
        soon(client.bidi(messages())).await.expect_err("refused"),
    ];
    for status in statuses {
        assert_eq!(status.code(), Code::Unavailable);
        assert!(!status.message().contains("secret-name"), "{}", status.message());
        let rejected = buttress_tonic::rejected(&status).expect("it is there");
        assert_eq!(
            (rejected.kind(), rejected.policy()),
            (RejectionKind::CircuitOpen, "secret-name")
        );
        assert!(buttress_tonic::retry_after(&status) > Some(Duration::from_secs(30)));
    }
}

#[tokio::test]
async fn a_refusal_on_the_server_says_when_to_come_again_in_metadata_and_details() {
    let breaker = CircuitBreaker::new();
    breaker.transition_to(buttress::circuit_breaker::State::Open);
    let stack = buttress_tonic::server("secret-name")
        .circuit_breaker(breaker)
        .build();
    let address = echo_behind!(stack).await;
    let status = soon(EchoClient::new(channel(address)).unary(say("hello")))
        .await
        .expect_err("refused");
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(
        status.message(),
        "The service is temporarily unavailable. Try again later."
    );
    assert!(status.metadata().contains_key("grpc-retry-pushback-ms"));
    assert!(status.metadata().contains_key("retry-after"));
    assert!(!status.details().is_empty());
    assert!(buttress_tonic::rejected(&status).is_none());
    let after = buttress_tonic::retry_after(&status).expect("it is said");
    assert!(
        after > Duration::from_secs(30) && after <= Duration::from_secs(90),
        "{after:?}"
    );
}

#[tokio::test]
async fn layers_by_hand_are_as_good_with_a_status_layer_outermost() {
    let limiter = limiter();
    let layers = ServiceBuilder::new()
        .layer(StatusLayer::new())
        .layer(limiter.layer_for(Grpc::new()))
        .layer(ErrorLayer::new());
    let address = echo_behind!(layers.into_inner()).await;
    let mut client = EchoClient::new(channel(address));
    soon(client.unary(say("hello"))).await.expect("an answer");
    let status = soon(client.unary(say("hello"))).await.expect_err("refused");
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(buttress_tonic::retry_after(&status).is_some());
}

#[tokio::test]
async fn a_stream_that_is_cut_off_ends_in_the_status_that_says_so() {
    let silent = || {
        let (send, requests) = mpsc::channel::<Message>(1);
        (send, ReceiverStream::new(requests))
    };
    let limit = || {
        Timeout::builder()
            .body_idle(Duration::from_millis(50))
            .build()
            .expect("good options")
    };

    // By the server.
    let stack = buttress_tonic::server("echo")
        .metrics(Metrics::new())
        .handler_timeout(limit())
        .build();
    let mut client = EchoClient::new(channel(echo_behind!(stack).await));
    let (_send, requests) = silent();
    let mut stream = soon(client.bidi(requests)).await.expect("headers").into_inner();
    let status = soon(stream.message()).await.expect_err("too long silent");
    assert_eq!(
        (status.code(), status.message()),
        (Code::DeadlineExceeded, "The request took too long.")
    );

    // By the client.
    let channel = buttress_tonic::client("echo")
        .attempt_timeout(limit())
        .build()
        .service(channel(bare().await));
    let (_send, requests) = silent();
    let mut stream = soon(EchoClient::new(channel).bidi(requests))
        .await
        .expect("headers")
        .into_inner();
    let status = soon(stream.message()).await.expect_err("too long silent");
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert_eq!(
        buttress_tonic::rejected(&status).map(Rejected::kind),
        Some(RejectionKind::TimedOut)
    );
}

#[tokio::test]
async fn a_stream_whose_handler_panics_ends_in_a_status_too() {
    let stack = buttress_tonic::server("echo")
        .metrics(Metrics::new())
        .recover()
        .build();
    let mut client = EchoClient::new(channel(echo_behind!(stack).await));
    let (send, requests) = mpsc::channel::<Message>(1);
    send.send(say("one")).await.expect("there is room");
    let mut stream = soon(client.bidi(ReceiverStream::new(requests)))
        .await
        .expect("headers")
        .into_inner();
    assert_eq!(soon(stream.message()).await.expect("no error"), Some(say("one")));
    send.send(say("panic")).await.expect("the call is running");
    let status = soon(stream.message()).await.expect_err("a panic");
    assert_eq!(
        (status.code(), status.message()),
        (Code::Internal, "Internal error.")
    );
}

#[tokio::test]
async fn what_the_service_and_the_transport_say_stays_what_it_is() {
    let channel_to = |address| {
        buttress_tonic::client("echo")
            .retry(
                Retry::builder()
                    .initial_backoff(Duration::from_millis(1))
                    .build()
                    .expect("good options"),
            )
            .circuit_breaker(CircuitBreaker::new())
            .recover()
            .build()
            .service(channel(address))
    };
    let mut client = EchoClient::new(channel_to(bare().await));
    let status = soon(client.unary(say("fail"))).await.expect_err("as asked");
    assert_eq!((status.code(), status.message()), (Code::Unavailable, "as asked"));

    let mut client = EchoClient::new(channel_to(server::nobody().await));
    let status = soon(client.unary(say("hello")))
        .await
        .expect_err("nobody is there");
    assert_eq!(status.code(), Code::Unavailable);
    assert!(buttress_tonic::rejected(&status).is_none());
}

// ===== interceptors =====

#[tokio::test]
async fn interceptors_check_and_limit_each_method_by_itself() {
    let policy = CircuitBreaker::builder().consecutive_failures(1);
    let breakers = KeyedCircuitBreaker::builder("echo")
        .policy(policy)
        .build()
        .expect("good options");
    let limiter = RateLimiter::per_hour(2)
        .burst(2)
        .keyed()
        .build()
        .expect("good options");
    let observed = ServiceBuilder::new()
        .layer(StatusLayer::new())
        .layer(breakers.layer_by(Grpc::new(), |request: &http::Request<Body>| {
            Grpc::new().route(request)
        }))
        .layer(ErrorLayer::new())
        .service(channel(bare().await));
    let interceptor = Chain(
        Check::by_method(breakers.clone()),
        Limit::by_method(limiter.clone()),
    );
    let mut client = EchoClient::new(InterceptedService::new(observed, interceptor));

    soon(client.unary(say("fail"))).await.expect_err("as asked");
    let before = breakers.get("/buttress.tests.echo.Echo/Unary").snapshot();
    let open = soon(client.unary(say("hello"))).await.expect_err("refused");
    assert_eq!(open.code(), Code::Unavailable);
    assert!(buttress_tonic::retry_after(&open).is_some());
    // It was only read: the breaker has refused nothing, and its limit was not touched.
    let after = breakers.get("/buttress.tests.echo.Echo/Unary").snapshot();
    assert_eq!(
        (before.rejected, after.rejected, after.total),
        (0, 0, before.total)
    );
    assert_eq!(limiter.peek_for("/buttress.tests.echo.Echo/Unary").remaining, 1);

    // Another method has a breaker and a limit of its own.
    for _ in 0..2 {
        let messages = tokio_stream::iter([say("a")]);
        soon(client.client_stream(messages)).await.expect("an answer");
    }
    let limited = soon(client.client_stream(tokio_stream::iter([say("a")])))
        .await
        .expect_err("refused");
    assert_eq!(limited.code(), Code::ResourceExhausted);
    assert!(buttress_tonic::retry_after(&limited).is_some());
}

#[tokio::test]
async fn one_breaker_and_one_limit_for_all_methods_work_on_servers_too() {
    let breaker = CircuitBreaker::new();
    let limiter = RateLimiter::per_hour(2).burst(2).build().expect("good options");
    let interceptor = Chain(Check::new(breaker.clone()), Limit::new(limiter));
    let address = server::tonic(|incoming| {
        Server::builder()
            .add_service(EchoServer::with_interceptor(Echo, interceptor))
            .serve_with_incoming(incoming)
    })
    .await;
    let mut client = EchoClient::new(channel(address));
    soon(client.unary(say("hello"))).await.expect("an answer");
    breaker.force_open();
    assert_eq!(
        soon(client.unary(say("hello")))
            .await
            .expect_err("refused")
            .code(),
        Code::Unavailable
    );
    breaker.close();
    soon(client.unary(say("hello"))).await.expect("an answer");
    let limited = soon(client.unary(say("hello"))).await.expect_err("refused");
    assert_eq!(limited.code(), Code::ResourceExhausted);
}

#[tokio::test]
async fn a_trace_goes_from_interceptor_to_interceptor() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let inbound = TraceIds::inbound(TraceId::w3c());
    let look = move |request: Request<()>| -> Result<Request<()>, Status> {
        let sent = request.metadata().get("traceparent").expect("it was sent");
        let sent = TraceParent::parse(sent.as_bytes()).expect("it is one");
        let context = request
            .extensions()
            .get::<CallContext>()
            .expect("it was put there");
        tell.send((sent, context.trace().expect("a trace").clone()))
            .expect("the test listens");
        Ok(request)
    };
    let address = server::tonic(|incoming| {
        Server::builder()
            .add_service(EchoServer::with_interceptor(Echo, Chain(inbound, look)))
            .serve_with_incoming(incoming)
    })
    .await;
    let outbound = TraceIds::new(TraceId::w3c());
    let mut client = EchoClient::with_interceptor(channel(address), outbound);

    // Inside of a call, and outside of any.
    let trace = buttress::context::Trace::new();
    let mut context = CallContext::new();
    context.set_trace(trace.clone());
    soon(context.scope(client.unary(say("hello"))))
        .await
        .expect("an answer");
    let (sent, seen) = told.recv().await.expect("it was seen");
    assert_eq!((sent.trace_id, seen.id()), (trace.id(), trace.id()));
    assert_ne!(sent.parent_id, trace.span());
    assert_eq!(seen.parent(), Some(sent.parent_id));

    soon(client.unary(say("hello"))).await.expect("an answer");
    let (sent, seen) = told.recv().await.expect("it was seen");
    assert_ne!(sent.trace_id, trace.id());
    assert_eq!(seen.id(), sent.trace_id);
}

// ===== and besides =====

#[tokio::test]
async fn a_limit_by_address_knows_the_peer() {
    let limiter = RateLimiter::per_hour(1)
        .burst(1)
        .key_by(KeyBy::PeerIp)
        .build()
        .expect("good options");
    let layers = ServiceBuilder::new()
        .layer(PeerLayer::new())
        .layer(RespondLayer::with(StatusResponder::new()))
        .layer(limiter.layer_for(Grpc::new()))
        .layer(ErrorLayer::new());
    let address = echo_behind!(layers.into_inner()).await;
    let mut client = EchoClient::new(channel(address));
    soon(client.unary(say("hello"))).await.expect("an answer");
    assert_eq!(limiter.peek_for(address.ip()).remaining, 0);
    assert_eq!(
        soon(client.unary(say("hello")))
            .await
            .expect_err("refused")
            .code(),
        Code::ResourceExhausted
    );
}

#[tokio::test]
async fn health_is_asked_over_the_channel_itself() {
    let (mut reporter, health) = tonic_health::server::health_reporter();
    reporter = set(reporter, true).await;
    let address = server::tonic(|incoming| {
        Server::builder()
            .add_service(health)
            .serve_with_incoming(incoming)
    })
    .await;
    let channel = channel(address);
    let ask = |service: &str| buttress_tonic::health_check(service).check(channel.clone());
    assert!(soon(ask("")).await);
    assert!(soon(ask("buttress.tests.echo.Echo")).await);
    assert!(!soon(ask("unheard.Of")).await);
    set(reporter, false).await;
    assert!(!soon(ask("buttress.tests.echo.Echo")).await);
    assert!(!soon(buttress_tonic::health_check("").check(self::channel(bare().await))).await);
}

async fn set(
    reporter: tonic_health::server::HealthReporter,
    serves: bool,
) -> tonic_health::server::HealthReporter {
    match serves {
        true => reporter.set_serving::<EchoServer<Echo>>().await,
        false => reporter.set_not_serving::<EchoServer<Echo>>().await,
    }
    reporter
}

#[tokio::test]
async fn a_server_that_stops_lets_calls_that_have_begun_end() {
    let metrics = Metrics::new();
    let stack = buttress_tonic::server("echo")
        .metrics(metrics.clone())
        .recover()
        .build();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let (listener, address) = server::listener().await;
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    let serving = tokio::spawn(
        Server::builder()
            .layer(stack)
            .add_service(EchoServer::new(Echo))
            .serve_with_incoming_shutdown(incoming, async move { drop(stopped.await) }),
    );
    let mut client = EchoClient::new(channel(address));
    let (send, requests) = mpsc::channel(1);
    let mut stream = soon(client.bidi(ReceiverStream::new(requests)))
        .await
        .expect("headers")
        .into_inner();
    stop.send(()).expect("it is listening");
    tokio::task::yield_now().await;
    send.send(say("still here")).await.expect("the call is running");
    assert_eq!(
        soon(stream.message()).await.expect("no error"),
        Some(say("still here"))
    );
    drop(send);
    assert_eq!(soon(stream.message()).await.expect("no error"), None);
    drop((client, stream));
    soon(serving).await.expect("no panic").expect("it has ended well");
    assert_eq!(metrics.snapshot().outcomes.success, 1);
}

/// A channel under a stack is a service like any other.
#[tokio::test]
async fn a_protected_channel_can_be_shared_by_clients_of_several_services() {
    let channel = buttress_tonic::client("echo")
        .recover()
        .build()
        .service(channel(bare().await));
    let (mut one, mut other) = (
        EchoClient::new(channel.clone()),
        EchoClient::new(channel.boxed_clone()),
    );
    soon(one.unary(say("a"))).await.expect("an answer");
    soon(other.unary(say("b"))).await.expect("an answer");
}
