//! The operators' port: how things are, figures for Prometheus, and drills.

use axum::{
    Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::get,
};
use buttress::{Registry, export::Export, pool::Pool, value::Table};
use buttress_axum::admin::AdminToken;
use http::{HeaderValue, StatusCode, header::CACHE_CONTROL, uri::Authority};

use crate::{answer, server::Stopping};

/// The routes of the operators' port.
pub(crate) fn router(
    registry: &Registry,
    pool: Option<&Pool<Authority>>,
    export: Export,
    token: Option<AdminToken>,
    stopping: Stopping,
) -> Router {
    let mut office = buttress_axum::admin(registry).export(export).token(token);
    if let Some(pool) = pool {
        office = office.pool(pool);
    }
    Router::new()
        .route("/healthz", get(health))
        .with_state(stopping)
        .merge(office.into_router())
        .fallback(async || {
            let known = "GET /healthz, GET /state, GET /metrics, POST /circuit-breakers/{name}/{drill}, POST \
                         /endpoints/{name}/{drill}";
            answer::refusal(StatusCode::NOT_FOUND, "not_found", format!("There is {known}.")).into_response()
        })
        .method_not_allowed_fallback(async || {
            let message = "This path does not know the method.";
            answer::refusal(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message).into_response()
        })
}

/// Whether it runs; while it drains, it wants no more traffic.
async fn health(State(stopping): State<Stopping>) -> Response {
    let (status, word) = match stopping.is() {
        false => (StatusCode::OK, "ok"),
        true => (StatusCode::SERVICE_UNAVAILABLE, "draining"),
    };
    let mut response = answer::json(status, Table::new().with("status", word)).into_response();
    let no_store = HeaderValue::from_static("no-store");
    response.headers_mut().insert(CACHE_CONTROL, no_store);
    response
}
