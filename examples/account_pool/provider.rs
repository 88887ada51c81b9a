//! A provider of language models, as far as a pool of accounts has to do with it: keys are good, slow, out of quota or out
//! of order.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::post,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header::RETRY_AFTER};
use serde_json::{Value, json};
use tokio::{net::TcpListener, time::sleep};

use crate::account::KEY;

/// The header by which the provider knows a message that it has answered.
pub(crate) static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// What was answered to messages with a key: whoever sends one again gets it again.
type Answered = Arc<Mutex<HashMap<HeaderValue, String>>>;

/// Starts it on a free port of loopback.
pub(crate) async fn start() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let routes = Router::new()
        .route("/v1/messages", post(message))
        .with_state(Answered::default());
    tokio::spawn(async { axum::serve(listener, routes).await });
    Ok(address)
}

async fn message(State(answered): State<Answered>, headers: HeaderMap, body: Bytes) -> Response {
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
    let Some(idempotency_key) = headers.get(&IDEMPOTENCY_KEY) else {
        return answer(&body).into_response();
    };
    let mut answered = answered.lock().unwrap_or_else(PoisonError::into_inner);
    let answer = answered
        .entry(idempotency_key.clone())
        .or_insert_with(|| answer(&body));
    answer.clone().into_response()
}

fn answer(body: &[u8]) -> String {
    let request: Value = serde_json::from_slice(body).unwrap_or_default();
    let asked = request["messages"][0]["content"].as_str().unwrap_or_default();
    let answer = json!({
        "type": "message",
        "role": "assistant",
        "content": [{"type": "text", "text": format!("You said: {asked}")}],
    });
    answer.to_string()
}
