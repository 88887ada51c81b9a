//! A gRPC deadline on its way: a client's stack lowers it, a server's stack ends with it. tonic on both ends, HTTP/2
//! between them, and the paused clock.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use buttress::{
    Stack,
    metrics::Metrics,
    retry::{Jitter, Retry},
    timeout::{Deadline, Timeout},
};
use buttress_tests::{
    echo::{Echo, EchoClient, EchoServer, say},
    pipe,
    scripted::Version,
};
use http::Uri;
use hyper::body::Incoming;
use tokio::time::Instant;
use tonic::{Code, Request, service::Routes};
use tower::{ServiceExt, service_fn};

fn origin() -> Uri {
    Uri::from_static("http://echo")
}

fn within<T>(time: Duration, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(time);
    request
}

#[tokio::test(start_paused = true)]
async fn a_server_stops_work_when_its_clients_deadline_passes() {
    let metrics = Metrics::new();
    let server = Stack::grpc_server("echo")
        .metrics(metrics.clone())
        .deadline(Deadline::new())
        .recover()
        .build()
        .service(Routes::new(EchoServer::new(Echo)).prepare());
    // A client that says how long it waits, and would wait longer.
    let mut client = EchoClient::with_origin(pipe::client(Version::Http2, server), origin());

    let began = Instant::now();
    let call = tokio::spawn(async move {
        client
            .unary(within(Duration::from_millis(300), say("hang")))
            .await
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(metrics.snapshot().in_flight, 1);
    let status = call.await.expect("no panic").expect_err("a status");
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert!(
        (300..310).contains(&began.elapsed().as_millis()),
        "{:?}",
        began.elapsed()
    );
    let books = metrics.snapshot();
    assert_eq!((books.in_flight, books.outcomes.timed_out), (0, 1));
}

/// What an upstream was told of the time that it had, call by call, as it stands in the header.
type Told = Arc<Mutex<Vec<Duration>>>;

fn told(header: &http::HeaderValue) -> Duration {
    let (digits, unit) = header.to_str().expect("text").split_at(header.len() - 1);
    let n: u64 = digits.parse().expect("a number");
    match unit {
        "n" => Duration::from_nanos(n),
        "u" => Duration::from_micros(n),
        "m" => Duration::from_millis(n),
        "S" => Duration::from_secs(n),
        other => panic!("{other} is more than any of these tests sends"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_sends_on_what_is_left_attempt_by_attempt() {
    let times = Told::default();
    let server = {
        let times = times.clone();
        service_fn(move |request: http::Request<Incoming>| {
            let header = request.headers().get("grpc-timeout").expect("a timeout");
            times.lock().expect("nobody panics").push(told(header));
            async {
                let unavailable = http::Response::builder()
                    .header("content-type", "application/grpc")
                    .header("grpc-status", "14");
                unavailable
                    .body(tonic::body::Body::empty())
                    .map_err(std::io::Error::other)
            }
        })
    };
    let retry = Retry::builder()
        .jitter(Jitter::None)
        .initial_backoff(Duration::from_millis(700))
        .multiplier(1.0)
        .build()
        .expect("good options");
    let client = |total| {
        let transport = pipe::client(Version::Http2, server.clone());
        let stack = Stack::grpc_client("echo")
            .total_timeout(Deadline::after(total).build().expect("good options"))
            .retry(retry.clone())
            .attempt_timeout(
                Timeout::after(Duration::from_secs(2))
                    .build()
                    .expect("good options"),
            )
            .request_body(tonic::body::Body::new)
            .build()
            .service(transport)
            .map_err(tower::BoxError::from);
        EchoClient::with_origin(stack, origin())
    };

    // What is left of the request's: an attempt's own limit ends with the headers, and is not sent on.
    let request = within(Duration::from_millis(2500), say("hello"));
    let status = client(Duration::from_secs(10))
        .unary(request)
        .await
        .expect_err("a status");
    assert_eq!(status.code(), Code::Unavailable);
    let millis = || {
        times
            .lock()
            .expect("nobody panics")
            .drain(..)
            .map(|t| t.as_millis())
            .collect::<Vec<_>>()
    };
    let [first, second, third] = millis()[..] else {
        panic!("three attempts")
    };
    assert_eq!((first, second), (2500, 1800), "2500, and 2500 - 700");
    assert!((1095..=1100).contains(&third), "{third}: 2500 - 2 x 700");

    // The stack's total is less than what the request would allow.
    let request = within(Duration::from_millis(2500), say("hello"));
    client(Duration::from_secs(1))
        .unary(request)
        .await
        .expect_err("a status");
    let [first, second] = millis()[..] else {
        panic!("the third would come too late")
    };
    assert!((first, second) == (1000, 300), "{first}, {second}");
}
