//! Stacks around plain functions, around and inside tower's `Buffer`, and around one another.

use std::{
    convert::Infallible,
    net::SocketAddr,
    num::ParseIntError,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

use buttress::{
    CallError, Error, Http, Rejected, RejectionKind, Stack,
    circuit_breaker::{CircuitBreaker, State},
    http::ReplayBody,
    metrics::Metrics,
    registry::{Drill, Registry},
    replay::Bare,
    stack::{ClientConfig, FullClient},
};
use buttress_tests::{
    scripted::{Upstream, Version, status},
    soon,
};
use bytes::Bytes;
use http::Request;
use http_body::Body;
use http_body_util::Full;
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use tower::{Service, ServiceBuilder, ServiceExt, buffer::Buffer, service_fn};
use tower_layer::Layer;

type Hyper<B = Full<Bytes>> = legacy::Client<HttpConnector, B>;

fn hyper<B>() -> Hyper<B>
where
    B: Body<Data = Bytes> + Send,
{
    legacy::Client::builder(TokioExecutor::new()).build_http()
}

fn get(address: SocketAddr) -> Request<Full<Bytes>> {
    Request::get(format!("http://{address}/"))
        .body(Full::default())
        .expect("a good request")
}

fn opened() -> CircuitBreaker {
    let breaker = CircuitBreaker::builder()
        .name("inner")
        .build()
        .expect("good options");
    breaker.force_open();
    breaker
}

#[tokio::test]
async fn a_function_is_protected_and_listed() {
    let registry = Registry::new();
    let mut parse = Stack::new("parser")
        .registry(&registry)
        .metrics(Metrics::new())
        .circuit_breaker(
            CircuitBreaker::builder()
                .consecutive_failures(2)
                .build()
                .expect("good options"),
        )
        .recover()
        .build()
        .service(service_fn(async |text: &'static str| text.parse::<u32>()));
    let mut call = async |text| parse.ready().await.expect("it is ready").call(text).await;

    assert_eq!(call("7").await, Ok(7));
    for _ in 0..2 {
        let not_a_number: Error<ParseIntError> = call("seven").await.expect_err("no number");
        assert!(matches!(not_a_number, Error::Inner(_)));
    }
    let refused = call("7").await.expect_err("refused");
    assert_eq!(
        refused.rejected().map(Rejected::kind),
        Some(RejectionKind::CircuitOpen)
    );

    let state = registry.snapshot();
    let at = |path: &[&str]| state.at(path).cloned().expect("a value");
    assert_eq!(at(&["parser", "circuitBreaker", "state"]).as_str(), Some("OPEN"));
    assert_eq!(at(&["parser", "outcomes", "failure"]).as_u64(), Some(2));
    assert_eq!(at(&["parser", "outcomes", "rejected"]).as_u64(), Some(1));

    registry.drill("parser", &Drill::Reset).expect("it can be reset");
    assert_eq!(call("8").await, Ok(8));
}

#[tokio::test]
async fn a_function_that_panics_is_an_error_of_its_call() {
    let calls = Arc::new(AtomicU32::new(0));
    let counted = calls.clone();
    let service = Stack::new("job")
        .recover()
        .build()
        .service(service_fn(move |(): ()| {
            let call = counted.fetch_add(1, Relaxed);
            async move {
                if call == 0 {
                    panic!("at first")
                } else {
                    Ok::<_, Infallible>(call)
                }
            }
        }));
    let panicked = service.clone().oneshot(()).await.expect_err("a panic");
    assert_eq!(
        panicked.rejected().map(Rejected::kind),
        Some(RejectionKind::Panicked)
    );
    assert_eq!(service.oneshot(()).await, Ok(1));
}

#[tokio::test]
async fn a_rejection_from_under_a_buffer_is_understood() {
    let mut upstream = Upstream::start(Version::Http1).await;
    let (inner, outer) = (
        CircuitBreaker::new(),
        CircuitBreaker::builder().consecutive_failures(1).build(),
    );
    let (outer, metrics) = (outer.expect("good options"), Metrics::new());
    let buffered = Buffer::new(
        Stack::http_client("inner")
            .circuit_breaker(inner.clone())
            .recover()
            .build()
            .service(hyper()),
        8,
    );
    let client = Stack::http_client("outer")
        .metrics(metrics.clone())
        .circuit_breaker(outer.clone())
        .keep_error()
        .build()
        .service(buffered);

    let call = tokio::spawn(client.clone().oneshot(get(upstream.address)));
    upstream.call().await.end(status(200));
    assert_eq!(
        soon(call).await.expect("no panic").expect("an answer").status(),
        200
    );

    inner.force_open();
    let refused = soon(client.clone().oneshot(get(upstream.address)))
        .await
        .expect_err("refused");
    assert_eq!(refused.rejected().map(Rejected::policy), Some("inner"));
    assert_eq!(metrics.snapshot().outcomes.rejected, 1);
    assert_eq!((outer.state(), outer.snapshot().neutral), (State::Closed, 1));

    // What is an error of the transport's still is one.
    inner.close();
    let nobody = buttress_tests::server::nobody().await;
    soon(client.oneshot(get(nobody)))
        .await
        .expect_err("nobody is there");
    assert_eq!(outer.state(), State::Open);
}

#[tokio::test]
async fn a_rejection_is_found_above_a_buffer() {
    let mut upstream = Upstream::start(Version::Http1).await;
    let breaker = CircuitBreaker::new();
    let stack = Stack::http_client("inner")
        .circuit_breaker(breaker.clone())
        .build();
    let mut client = ServiceBuilder::new().buffer(8).layer(stack).service(hyper());

    let call = tokio::spawn(
        client
            .ready()
            .await
            .expect("it is ready")
            .call(get(upstream.address)),
    );
    upstream.call().await.end(status(200));
    soon(call).await.expect("no panic").expect("an answer");

    breaker.force_open();
    let refused = client
        .ready()
        .await
        .expect("it is ready")
        .call(get(upstream.address));
    let refused = soon(refused).await.expect_err("refused");
    assert_eq!(
        Rejected::find(&*refused).map(Rejected::kind),
        Some(RejectionKind::CircuitOpen)
    );
}

#[tokio::test]
async fn an_outer_stack_understands_the_rejections_of_an_inner_one_if_it_keeps_the_error() {
    let nobody = buttress_tests::server::nobody().await;
    let inner = || {
        Stack::http_client("inner")
            .circuit_breaker(opened())
            .build()
            .service(hyper())
    };
    let outer = || {
        CircuitBreaker::builder()
            .consecutive_failures(1)
            .build()
            .expect("good options")
    };

    let (kept, metrics) = (outer(), Metrics::new());
    let client = Stack::http_client("outer")
        .metrics(metrics.clone())
        .circuit_breaker(kept.clone())
        .keep_error()
        .build()
        .service(inner());
    // One flat error, however many stacks.
    let refused: Error<legacy::Error> = soon(client.oneshot(get(nobody))).await.expect_err("refused");
    assert_eq!(refused.rejected().map(Rejected::policy), Some("inner"));
    assert_eq!(
        (kept.state(), metrics.snapshot().outcomes.rejected),
        (State::Closed, 1)
    );

    // Without it, what comes from below is an error like any other.
    let wrapped = outer();
    let client = Stack::http_client("outer")
        .circuit_breaker(wrapped.clone())
        .build()
        .service(inner());
    let refused: Error<Error<legacy::Error>> = soon(client.oneshot(get(nobody))).await.expect_err("refused");
    assert!(matches!(refused, Error::Inner(Error::Rejected(_))));
    assert_eq!(wrapped.state(), State::Open);
}

/// A service of one's own names its clients, whatever a file says is on.
struct Gateway {
    payments: <FullClient<Http, Bare> as Layer<Hyper<ReplayBody<Full<Bytes>>>>>::Service,
    orders: <FullClient<Http, Bare> as Layer<Hyper<ReplayBody<Full<Bytes>>>>>::Service,
}

#[tokio::test]
async fn stacks_from_a_file_have_one_type_whatever_is_on() {
    let mut upstream = Upstream::start(Version::Http1).await;
    let mut config = ClientConfig::default();
    config.circuit_breaker = Some(opened());
    let mut off = ClientConfig::default();
    (off.metrics, off.recover) = (None, None);
    let gateway = Gateway {
        payments: Stack::http_client("payments")
            .config(config)
            .any_request_body()
            .build()
            .service(hyper()),
        orders: Stack::http_client("orders")
            .config(off)
            .any_request_body()
            .build()
            .service(hyper()),
    };
    let refused = soon(gateway.payments.oneshot(get(upstream.address)))
        .await
        .expect_err("refused");
    assert!(refused.rejected().is_some());
    let call = tokio::spawn(gateway.orders.oneshot(get(upstream.address)));
    upstream.call().await.end(status(200));
    soon(call).await.expect("no panic").expect("an answer");
}
