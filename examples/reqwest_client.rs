//! reqwest with every layer around requests, and a breaker and a limit of time around connecting.
//!
//! `cargo run -p buttress-examples --bin reqwest_client`
#![allow(clippy::print_stdout)]

use std::{error::Error, time::Duration};

use axum::{Router, routing::get};
use buttress::{
    Error as CallError, Stack, circuit_breaker::CircuitBreaker, fallback::Fallback, retry::Retry,
};
use http::Request;
use tokio::net::TcpListener;
use tower::{Service, ServiceExt};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let connecting = Stack::new("connecting")
        .circuit_breaker(CircuitBreaker::new())
        .attempt_timeout(Duration::from_secs(1))?
        .keep_error()
        .build();
    let client = reqwest::Client::builder().connector_layer(connecting).build()?;

    let breaker = CircuitBreaker::builder().consecutive_failures(3).build()?;
    let mut payments = buttress_reqwest::client("payments")
        .total_timeout(Duration::from_secs(10))?
        .retry(
            Retry::builder()
                .initial_backoff(Duration::from_millis(1))
                .build()?,
        )
        .circuit_breaker(breaker.clone())
        .attempt_timeout(Duration::from_secs(2))?
        .build()
        .service(buttress_reqwest::service(client.clone()));

    let server = server().await?;
    let request = |path: &str| Request::get(format!("{server}{path}")).body(reqwest::Body::default());

    let response = payments.ready().await?.call(request("/balance")?).await?;
    let response = buttress_reqwest::response(response); // reqwest's own
    println!("/balance: {}", response.text().await?);

    // Three attempts, three failures: the breaker opens.
    let failed = payments.ready().await?.call(request("/down")?).await?;
    println!("/down: {}", failed.status());
    match payments.ready().await?.call(request("/balance")?).await {
        Err(CallError::Rejected(refusal)) => println!("not asked: {refusal}"),
        other => return Err(format!("the breaker should have refused: {other:?}").into()),
    }

    // With something to fall back on.
    let unknown = http::Response::new("unknown");
    let balances = buttress_reqwest::client("balances")
        .circuit_breaker(breaker)
        .fallback(Fallback::response(unknown).build()?)
        .build()
        .service(buttress_reqwest::service(client));
    let response = balances.oneshot(request("/balance")?).await?;
    println!("/balance: {}", buttress_reqwest::response(response).text().await?);
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
