//! A stack as a middleware of `reqwest_middleware`: where requests are made, nothing changes.
//!
//! `cargo run -p buttress-examples --bin reqwest_middleware`
#![allow(clippy::print_stdout)]

use std::{error::Error, time::Duration};

use axum::{Router, routing::get};
use buttress::{Rejected, circuit_breaker::CircuitBreaker, metrics::Metrics, retry::Retry};
use buttress_reqwest::Middleware;
use reqwest_middleware::ClientBuilder;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let breaker = CircuitBreaker::builder().consecutive_failures(3).build()?;
    let metrics = Metrics::new();
    let stack = buttress_reqwest::client("payments")
        .metrics(metrics.clone())
        .retry(
            Retry::builder()
                .initial_backoff(Duration::from_millis(1))
                .build()?,
        )
        .circuit_breaker(breaker)
        .attempt_timeout(Duration::from_secs(2))?
        .build();
    let client = ClientBuilder::new(reqwest::Client::new())
        .with(Middleware::new(stack))
        .build();

    let server = server().await?;
    let text = client
        .get(format!("{server}/balance"))
        .send()
        .await?
        .text()
        .await?;
    println!("/balance: {text}");

    // Three attempts, three failures: the breaker opens.
    let failed = client.get(format!("{server}/down")).send().await?;
    println!("/down: {}", failed.status());
    let error = client
        .get(format!("{server}/balance"))
        .send()
        .await
        .expect_err("refused");
    let refusal = Rejected::find(&error).ok_or("the breaker should have refused")?;
    println!("not asked: {refusal}");
    assert_eq!(metrics.snapshot().outcomes.success, 1);
    assert_eq!(metrics.snapshot().outcomes.rejected, 1);
    Ok(())
}

async fn server() -> Result<String, std::io::Error> {
    let down = async || http::StatusCode::SERVICE_UNAVAILABLE;
    let app = Router::new()
        .route("/balance", get(async || "42"))
        .route("/down", get(down));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(format!("http://{address}"))
}
