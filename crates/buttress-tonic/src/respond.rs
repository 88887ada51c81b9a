use buttress::{
    Rejected,
    http::{GrpcResponder, Responder},
};
use bytes::Bytes;
use tonic::Status;

use crate::retry_info;

/// Refuses in gRPC as [`GrpcResponder`] does, with a `google.rpc.Status` in the details besides: where it is known when
/// to come again, that has a `RetryInfo`, which is where clients in other languages look.
#[derive(Clone, Copy, Debug, Default)]
pub struct StatusResponder {
    _private: (),
}

impl StatusResponder {
    /// The responder.
    #[must_use]
    pub const fn new() -> Self {
        Self { _private: () }
    }
}

impl Responder for StatusResponder {
    fn respond(&self, rejected: &Rejected) -> http::Response<Bytes> {
        let mut response = GrpcResponder::new().respond(rejected);
        let Some(after) = rejected.retry_after() else {
            return response;
        };
        // What the message is was settled there.
        if let Some(status) = Status::from_header_map(response.headers()) {
            let details = retry_info::details(status.code(), status.message(), after);
            let status = Status::with_details(status.code(), status.message(), details);
            // Only a message that is no header value could fail, and this one was one already.
            let _ = status.add_header(response.headers_mut());
        }
        response
    }
}
