//! What the gateway itself says, in the form of the stack's own refusals.

use buttress::value::{Table, Value};
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::Full;

/// JSON of that status.
pub(crate) fn json(status: StatusCode, value: impl Into<Value>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(format!("{}\n", value.into())));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

/// A refusal: `{"error":{"kind":..,"message":..}}`.
pub(crate) fn refusal(
    status: StatusCode,
    kind: &'static str,
    message: impl Into<Value>,
) -> Response<Full<Bytes>> {
    let error = Table::new().with("kind", kind).with("message", message);
    json(status, Table::new().with("error", error))
}

/// The upstream's failure.
pub(crate) fn bad_gateway(kind: &'static str, message: &'static str) -> Response<Full<Bytes>> {
    refusal(StatusCode::BAD_GATEWAY, kind, message)
}
