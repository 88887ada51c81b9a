use axum::{
    body::Body,
    extract::rejection::PathRejection,
    http::{HeaderValue, Response, StatusCode, header::CONTENT_TYPE},
};
use buttress::value::{Table, Value};

/// JSON of that status.
pub(super) fn json(status: StatusCode, value: impl Into<Value>) -> Response<Body> {
    let mut response = Response::new(Body::from(format!("{}\n", value.into())));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

/// A refusal, in the form of a stack's own: `{"error":{"kind":..,"message":..}}`.
pub(super) fn refusal(status: StatusCode, kind: &'static str, message: impl Into<Value>) -> Response<Body> {
    let error = Table::new().with("kind", kind).with("message", message);
    json(status, Table::new().with("error", error))
}

/// The refusal of a path that is no text.
pub(super) fn malformed(rejection: &PathRejection) -> Response<Body> {
    refusal(rejection.status(), "bad_request", rejection.body_text())
}
