use tower_layer::Layer;

use super::{GrpcResponder, HttpResponder, RespondService};

/// Turns rejections into responses at the edge of a server, and lets everything else through.
///
/// See the [module](super) for where it stands.
#[derive(Clone, Copy, Debug, Default)]
#[must_use]
pub struct RespondLayer<R = HttpResponder> {
    responder: R,
}

impl RespondLayer {
    /// Refuses in plain HTTP, as [`HttpResponder`] does.
    pub const fn http() -> Self {
        Self::with(HttpResponder::new())
    }
}

impl RespondLayer<GrpcResponder> {
    /// Refuses in gRPC, as [`GrpcResponder`] does.
    pub const fn grpc() -> Self {
        Self::with(GrpcResponder::new())
    }
}

impl<R> RespondLayer<R> {
    /// The layer whose responder `wrap` makes of this one's.
    pub fn map<T>(self, wrap: impl FnOnce(R) -> T) -> RespondLayer<T> {
        RespondLayer::with(wrap(self.responder))
    }

    /// Refuses in a form of your own.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use buttress::{Rejected, http::RespondLayer};
    ///
    /// let layer = RespondLayer::with(|rejected: &Rejected| {
    ///     let mut response = http::Response::new(Bytes::from_static(b"Back in a minute."));
    ///     *response.status_mut() = http::StatusCode::from_u16(rejected.http_status()).expect("a status");
    ///     response
    /// });
    /// # let _ = layer;
    /// ```
    pub const fn with(responder: R) -> Self {
        Self { responder }
    }
}

impl<S, R: Clone> Layer<S> for RespondLayer<R> {
    type Service = RespondService<S, R>;

    fn layer(&self, inner: S) -> Self::Service {
        RespondService::new(inner, self.responder.clone())
    }
}
