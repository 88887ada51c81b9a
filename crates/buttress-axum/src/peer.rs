use std::net::SocketAddr;

use ::http::Extensions;
use axum::extract::ConnectInfo;
use buttress::http::{self, FindPeer};

/// Tells the layers further in who is at the other end: the [`PeerAddr`](buttress::http::PeerAddr) that a rate limit by address goes by, from the
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
pub type PeerLayer = http::PeerLayer<Connected>;

/// axum's `ConnectInfo<SocketAddr>`.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Connected;

impl FindPeer for Connected {
    fn find(extensions: &Extensions) -> Option<SocketAddr> {
        let connected = extensions.get::<ConnectInfo<SocketAddr>>();
        connected.map(|ConnectInfo(peer)| *peer)
    }
}
