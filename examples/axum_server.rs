//! An axum server with one line more: limits of time and rate, trace-ids, metrics, panics as 500, and a port for operators.
//!
//! `cargo run -p buttress-examples --bin axum_server`
#![allow(clippy::print_stdout)]

use std::{error::Error, time::Duration};

use axum::{Router, routing::get};
use buttress::{Registry, metrics::Metrics, trace_id::TraceId};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let registry = Registry::new();
    let stack = buttress_axum::server("api")
        .registry(&registry)
        .trace_id(TraceId::w3c())
        .metrics(Metrics::by_route(100))
        .handler_timeout(Duration::from_millis(200))?
        .recover()
        .build();
    let app = Router::new()
        .route("/users/{id}", get(async || "Ann"))
        .route(
            "/slow",
            get(async || tokio::time::sleep(Duration::from_secs(60)).await),
        )
        .route("/bug", get(bug))
        .layer(stack);
    let api = serve(app).await?;
    let operators = serve(buttress_axum::admin(&registry).into_router()).await?;

    // A client, for the demonstration.
    for (path, status) in [
        ("/users/7", 200),
        ("/users/8", 200),
        ("/slow", 504),
        ("/bug", 500),
    ] {
        let response = reqwest::get(format!("{api}{path}")).await?;
        println!("{path}: {}", response.status());
        assert_eq!(response.status(), status);
    }
    let metrics = reqwest::get(format!("{operators}/metrics")).await?.text().await?;
    for line in metrics
        .lines()
        .filter(|line| line.contains("requests_total{") && !line.ends_with(" 0"))
    {
        println!("{line}");
    }
    assert!(metrics.contains(r#"route="/users/{id}""#) && !metrics.contains("/users/7"));
    Ok(())
}

async fn bug() -> &'static str {
    panic!("out of cheese")
}

/// Serves it on a free port, and says where.
async fn serve(app: Router) -> Result<String, std::io::Error> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(format!("http://{address}"))
}
