use std::{
    net::SocketAddr,
    task::{Context, Poll},
};

use axum::extract::ConnectInfo;
use buttress::http::PeerAddr;
use http::Request;
use tower_layer::Layer;
use tower_service::Service;

/// Tells the layers further in who is at the other end: the [`PeerAddr`] that a rate limit by address goes by, from the
/// `ConnectInfo<SocketAddr>` that axum leaves in requests if it is served with
/// `into_make_service_with_connect_info::<SocketAddr>()`.
///
/// ```
/// # fn main() -> Result<(), buttress::ConfigError> {
/// use axum::{Router, routing::get};
/// use buttress::{ErrorLayer, Http, http::RespondLayer, rate_limit::{KeyBy, RateLimiter}};
/// use buttress_axum::PeerLayer;
/// use tower::ServiceBuilder;
///
/// let limiter = RateLimiter::per_second(10).key_by(KeyBy::PeerIp).build()?;
/// let limited = ServiceBuilder::new()
///     .layer(PeerLayer::new())
///     .layer(RespondLayer::http())
///     .layer(limiter.layer_for(Http::new()))
///     .layer(ErrorLayer::new());
/// let app: Router = Router::new().route("/", get(async || "well")).layer(limited);
/// # let _ = app;
/// # Ok(()) }
/// ```
///
/// Around a stack it goes [outside](buttress::Stack::outside).
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
        if let Some(&ConnectInfo(peer)) = extensions.get::<ConnectInfo<SocketAddr>>() {
            extensions.insert(PeerAddr::from(peer));
        }
        self.inner.call(request)
    }
}
