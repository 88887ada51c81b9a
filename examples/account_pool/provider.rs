//! A provider of language models, as far as a pool of accounts has to do with it: keys are good, slow, out of quota or out
//! of order.

use std::{io, net::SocketAddr, time::Duration};

use axum::{
    Router,
    response::{IntoResponse, Response},
    routing::post,
};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header::RETRY_AFTER};
use serde_json::{Value, json};
use tokio::{net::TcpListener, time::sleep};

use crate::account::KEY;

/// Starts it on a free port of loopback.
pub(crate) async fn start() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let routes = Router::new().route("/v1/messages", post(message));
    tokio::spawn(async { axum::serve(listener, routes).await });
    Ok(address)
}

async fn message(headers: HeaderMap, body: Bytes) -> Response {
    let key = headers
        .get(&KEY)
        .and_then(|key| key.to_str().ok())
        .unwrap_or_default();
    // What kind of account it is, is in its key: this is no real provider.
    match key.rsplit('-').next() {
        Some("good") => sleep(Duration::from_millis(20)).await,
        Some("slow") => sleep(Duration::from_millis(1500)).await,
        Some("quota") => {
            let error = json!({"error": {"type": "rate_limit_error"}});
            return (
                StatusCode::TOO_MANY_REQUESTS,
                [(RETRY_AFTER, "30")],
                error.to_string(),
            )
                .into_response();
        }
        Some("broken") => {
            let error = json!({"error": {"type": "overloaded_error"}});
            return (StatusCode::SERVICE_UNAVAILABLE, error.to_string()).into_response();
        }
        _ => {
            let error = json!({"error": {"type": "authentication_error"}});
            return (StatusCode::UNAUTHORIZED, error.to_string()).into_response();
        }
    }
    let request: Value = serde_json::from_slice(&body).unwrap_or_default();
    let asked = request["messages"][0]["content"].as_str().unwrap_or_default();
    let answer = json!({
        "type": "message",
        "role": "assistant",
        "content": [{"type": "text", "text": format!("You said: {asked}")}],
    });
    answer.to_string().into_response()
}
