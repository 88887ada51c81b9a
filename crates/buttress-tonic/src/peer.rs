use std::task::{Context, Poll};

use buttress::http::PeerAddr;
use http::Request;
use tonic::transport::server::TcpConnectInfo;
use tower_layer::Layer;
use tower_service::Service;

/// Tells the layers further in who is at the other end: the [`PeerAddr`] that a rate limit by address goes by, from the
/// `TcpConnectInfo` that tonic's server leaves in requests.
///
/// It stands [outside](buttress::Stack::outside) of the stack. Behind TLS, or with a listener of your own, the
/// information is of another type, and this layer finds nothing: put a [`PeerAddr`] there yourself.
#[derive(Clone, Copy, Debug, Default)]
pub struct PeerLayer {
    _private: (),
}

impl PeerLayer {
    /// The layer.
    #[must_use]
    pub const fn new() -> Self {
        Self { _private: () }
    }
}

impl<S> Layer<S> for PeerLayer {
    type Service = PeerService<S>;

    fn layer(&self, inner: S) -> PeerService<S> {
        PeerService { inner }
    }
}

/// The service that [`PeerLayer`] makes.
#[derive(Clone, Copy, Debug)]
pub struct PeerService<S> {
    inner: S,
}

impl<S: Service<Request<B>>, B> Service<Request<B>> for PeerService<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> S::Future {
        let extensions = request.extensions_mut();
        if let Some(peer) = extensions.get().and_then(TcpConnectInfo::remote_addr) {
            extensions.insert(PeerAddr::from(peer));
        }
        self.inner.call(request)
    }
}
