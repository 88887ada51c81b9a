//! Stacks for single routes, and refusals in a form of one's own.
//!
//! `/search` leans on an index that may be down, so it has a breaker. `/login` is limited by the address of who asks.
//! What both have in common is around all routes.
//!
//! `cargo run -p buttress-examples --bin axum_per_route`
#![allow(clippy::print_stdout)]

use std::{error::Error, net::SocketAddr};

use axum::{
    Router,
    handler::Handler,
    http::StatusCode,
    response::{Html, IntoResponse},
    routing::{get, post},
};
use buttress::{
    ErrorLayer, Http, Rejected,
    circuit_breaker::CircuitBreaker,
    http::RespondLayer,
    metrics::Metrics,
    rate_limit::{KeyBy, RateLimiter},
};
use buttress_axum::{PeerLayer, RejectionLayer};
use tokio::net::TcpListener;
use tower::ServiceBuilder;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let breaker = CircuitBreaker::builder().consecutive_failures(3).build()?;
    let search = buttress_axum::server("search").circuit_breaker(breaker).build();

    let logins = RateLimiter::per_minute(2)
        .burst(2)
        .key_by(KeyBy::PeerIp)
        .build()?;
    let login = ServiceBuilder::new()
        .layer(PeerLayer::new())
        .layer(RespondLayer::http())
        .layer(logins.layer_for(Http::new()))
        .layer(ErrorLayer::new());

    let all = buttress_axum::server("api")
        .metrics(Metrics::by_route(100))
        .recover()
        .build();
    let app = Router::new()
        .route("/search", get((async || StatusCode::BAD_GATEWAY).layer(search)))
        .route("/login", post(async || "welcome").layer(login))
        .layer(RejectionLayer::new(sorry))
        .layer(all);

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let api = format!("http://{}", listener.local_addr()?);
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, app).await });

    // A client, for the demonstration.
    let client = reqwest::Client::new();
    for status in [502, 502, 502, 503] {
        let response = client.get(format!("{api}/search")).send().await?;
        println!("search: {}", response.status());
        assert_eq!(response.status(), status);
    }
    for status in [200, 200, 429] {
        let response = client.post(format!("{api}/login")).send().await?;
        println!(
            "login: {} {:?}",
            response.status(),
            response.headers().get("retry-after")
        );
        assert_eq!(response.status(), status);
    }
    Ok(())
}

/// What people see in a browser.
fn sorry(rejected: &Rejected) -> impl IntoResponse + use<> {
    let status = StatusCode::from_u16(rejected.http_status()).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    (
        status,
        Html("<h1>Not now</h1><p>Please come back in a minute.</p>"),
    )
}
