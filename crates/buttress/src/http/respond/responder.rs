use std::fmt::Write as _;

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER},
};

use super::super::grpc::{GRPC_STATUS, PUSHBACK};
use crate::{
    error::{Rejected, RejectionKind},
    http::{Grpc, Http},
};

static GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// How a server tells a client that it was refused: a closure `Fn(&Rejected) -> http::Response<Bytes>`,
/// [`HttpResponder`], [`GrpcResponder`], or a type of your own.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot turn a rejection into a response",
    note = "a closure `|rejected: &buttress::Rejected| -> http::Response<bytes::Bytes>` can; it also has to be `Clone`"
)]
pub trait Responder {
    /// The response to give in place of the one that was refused.
    ///
    /// It goes to a client: say nothing in it that only the operator should know, such as the
    /// [name of the policy](Rejected::policy).
    fn respond(&self, rejected: &Rejected) -> http::Response<Bytes>;
}

impl<F: Fn(&Rejected) -> http::Response<Bytes>> Responder for F {
    fn respond(&self, rejected: &Rejected) -> http::Response<Bytes> {
        self(rejected)
    }
}

/// A protocol that knows how a server refuses in it.
pub trait Edge {
    /// What makes the responses.
    type Responder: Responder + Clone;

    /// What makes the responses, as the protocol has them by default.
    fn responder(&self) -> Self::Responder;
}

impl<C> Edge for Http<C> {
    type Responder = HttpResponder;

    fn responder(&self) -> HttpResponder {
        HttpResponder::new()
    }
}

impl<C> Edge for Grpc<C> {
    type Responder = GrpcResponder;

    fn responder(&self) -> GrpcResponder {
        GrpcResponder::new()
    }
}

/// Refuses in plain HTTP: the rejection's [status](Rejected::http_status), `Retry-After` where the policy knows
/// it, and a small JSON body.
///
/// ```json
/// {"error":{"kind":"rate_limited","message":"Too many requests. Try again later.","retry_after_ms":1500}}
/// ```
///
/// The message is the same for all rejections of a kind, but for calls that ask for more than there can
/// [ever](Rejected::beyond) be, and names no policy. `retry_after_ms` is left out where
/// nothing is known, and rounded up, as `Retry-After` is.
#[derive(Clone, Copy, Debug, Default)]
pub struct HttpResponder {
    _private: (),
}

impl HttpResponder {
    /// The responder.
    #[must_use]
    pub const fn new() -> Self {
        Self { _private: () }
    }
}

impl Responder for HttpResponder {
    fn respond(&self, rejected: &Rejected) -> http::Response<Bytes> {
        let mut body = format!(
            r#"{{"error":{{"kind":"{}","message":"{}""#,
            rejected.kind(),
            message(rejected)
        );
        if let Some(millis) = retry_after_millis(rejected) {
            // Writing to a `String` cannot fail.
            let _ = write!(body, r#","retry_after_ms":{millis}"#);
        }
        body.push_str("}}");

        let mut response = http::Response::new(Bytes::from(body));
        *response.status_mut() =
            StatusCode::from_u16(rejected.http_status()).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(secs) = rejected.retry_after_secs() {
            headers.insert(RETRY_AFTER, secs.into());
        }
        response
    }
}

/// Refuses in gRPC: a response of headers only, HTTP status 200, with the rejection's
/// [code](Rejected::grpc_code) as `grpc-status` and a message that names no policy.
///
/// Where the policy knows when to come again, `grpc-retry-pushback-ms` says it ([gRFC A6]): a client with a
/// retry policy that covers the code waits that long instead of its own backoff. It is right for
/// `RESOURCE_EXHAUSTED` and `UNAVAILABLE` alike; what a client's policy does not retry, it does not make
/// retryable. `retry-after` says the same in seconds, for people and for proxies.
///
/// [gRFC A6]: https://github.com/grpc/proposal/blob/master/A6-client-retries.md
#[derive(Clone, Copy, Debug, Default)]
pub struct GrpcResponder {
    _private: (),
}

impl GrpcResponder {
    /// The responder.
    #[must_use]
    pub const fn new() -> Self {
        Self { _private: () }
    }

    /// A gRPC response of headers only, for a responder of your own: the code, and the message in the percent
    /// encoding that gRPC demands.
    #[must_use]
    pub fn refusal(code: u8, message: &str) -> http::Response<Bytes> {
        let mut response = http::Response::new(Bytes::new());
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(&GRPC_STATUS, HeaderValue::from(u16::from(code)));
        if let Ok(message) = HeaderValue::try_from(percent_encoded(message)) {
            headers.insert(&GRPC_MESSAGE, message);
        }
        response
    }
}

impl Responder for GrpcResponder {
    fn respond(&self, rejected: &Rejected) -> http::Response<Bytes> {
        let mut response = Self::refusal(rejected.grpc_code(), message(rejected));
        let headers = response.headers_mut();
        if let Some(millis) = retry_after_millis(rejected) {
            // A signed 32-bit number on the wire.
            let millis = millis.min(i32::MAX as u64);
            headers.insert(&PUSHBACK, millis.into());
        }
        if let Some(secs) = rejected.retry_after_secs() {
            headers.insert(RETRY_AFTER, secs.into());
        }
        response
    }
}

/// What the public may know. Plain ASCII without quotes, so that it stands in JSON as it is.
fn message(rejected: &Rejected) -> &'static str {
    if rejected.most().is_some() {
        return "The request asks for more than its limit ever allows at once. Ask for less.";
    }
    match rejected.kind() {
        RejectionKind::CircuitOpen | RejectionKind::NoEndpoint => {
            "The service is temporarily unavailable. Try again later."
        }
        RejectionKind::RateLimited => "Too many requests. Try again later.",
        RejectionKind::QueueFull | RejectionKind::QueueTimeout | RejectionKind::Shed => {
            "The service is overloaded. Try again later."
        }
        RejectionKind::DeadlineExpired => "The deadline passed before the request was started.",
        RejectionKind::TimedOut => "The request took too long.",
        RejectionKind::Panicked => "Internal error.",
        RejectionKind::Custom => "The request was refused.",
    }
}

/// Rounded up: nobody is asked back too early.
fn retry_after_millis(rejected: &Rejected) -> Option<u64> {
    let millis = rejected.retry_after()?.as_nanos().div_ceil(1_000_000);
    Some(u64::try_from(millis).unwrap_or(u64::MAX))
}

/// As gRPC has it: printable ASCII but for the percent sign stays, every other byte is `%XX`.
fn percent_encoded(message: &str) -> String {
    let mut encoded = String::with_capacity(message.len());
    for byte in message.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => encoded.push(char::from(byte)),
            _ => {
                // Writing to a `String` cannot fail.
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
    }
    encoded
}
