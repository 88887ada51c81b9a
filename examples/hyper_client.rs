//! hyper-util's client, protected. The server of the demonstration fails every second call.
//!
//! `cargo run -p buttress-examples --bin hyper_client`
#![allow(clippy::print_stdout)]

use std::{
    convert::Infallible,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::Duration,
};

use buttress::{BoxError, Registry, Stack, circuit_breaker::CircuitBreaker, metrics::Metrics, retry::Retry};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioIo},
};
use tokio::net::TcpListener;
use tower::{Service, ServiceExt};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let registry = Registry::new();
    let mut client = Stack::http_client("weather")
        .registry(&registry)
        .metrics(Metrics::new())
        .total_timeout(Duration::from_secs(10))?
        .retry(
            Retry::builder()
                .initial_backoff(Duration::from_millis(1))
                .build()?,
        )
        .circuit_breaker(CircuitBreaker::new())
        .attempt_timeout(Duration::from_secs(2))?
        .any_request_body() // hyper's client takes the body that can be sent again
        .build()
        .service(Client::builder(TokioExecutor::new()).build_http());

    let weather = flaky_server().await?;
    for _ in 0..5 {
        let request = Request::get(&weather).body(Empty::<Bytes>::new())?;
        let response = client.ready().await?.call(request).await?;
        assert_eq!(response.status(), 200);
        let body = response.into_body().collect().await?.to_bytes();
        assert_eq!(body, "rain");
    }
    let state = registry.snapshot();
    let retries = state
        .at(&["weather", "retry", "retries"])
        .and_then(|n| n.as_u64());
    println!("five answers, {} of them at the second try", retries.unwrap_or(0));
    assert_eq!(retries, Some(5));
    Ok(())
}

/// Says 503 at the first, third, fifth, .. call.
async fn flaky_server() -> Result<String, std::io::Error> {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let answer = |_| async {
        let mut response = Response::new(Full::new(Bytes::from_static(b"rain")));
        if CALLS.fetch_add(1, Relaxed).is_multiple_of(2) {
            *response.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
        }
        Ok::<_, Infallible>(response)
    };
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = hyper::service::service_fn(answer);
            let connection =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            tokio::spawn(connection);
        }
    });
    Ok(format!("http://{address}/"))
}
