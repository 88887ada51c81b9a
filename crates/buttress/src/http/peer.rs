use std::{
    fmt,
    marker::PhantomData,
    net::{IpAddr, SocketAddr},
    task::{Context, Poll},
};

use http::{Extensions, Request};
use tower_layer::Layer;
use tower_service::Service;

/// The address of the peer of a connection, in the extensions of its requests.
///
/// Only who accepts the connection knows it, so only he can put it there: a server's accept loop, or a layer that
/// translates what the host has (axum's `ConnectInfo<SocketAddr>`, tonic's `TcpConnectInfo`).
///
/// ```
/// use buttress::http::PeerAddr;
///
/// let peer: std::net::SocketAddr = "192.0.2.1:443".parse()?;
/// let mut request = http::Request::new(());
/// request.extensions_mut().insert(PeerAddr::from(peer));
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PeerAddr(pub IpAddr);

impl From<SocketAddr> for PeerAddr {
    fn from(address: SocketAddr) -> Self {
        Self(address.ip())
    }
}

impl From<IpAddr> for PeerAddr {
    fn from(address: IpAddr) -> Self {
        Self(address)
    }
}

/// Where a host leaves the address of a connection's peer.
pub trait FindPeer {
    /// The address, if it is there.
    fn find(extensions: &Extensions) -> Option<SocketAddr>;
}

/// Tells the layers further in who is at the other end, as a [`PeerAddr`], from where the host `H` has it. Each host's
/// crate has its own name for it.
///
/// ```
/// use std::net::SocketAddr;
/// use buttress::http::{FindPeer, PeerLayer};
///
/// /// An accept loop that puts the bare address into requests.
/// struct Bare;
///
/// impl FindPeer for Bare {
///     fn find(extensions: &http::Extensions) -> Option<SocketAddr> {
///         extensions.get().copied()
///     }
/// }
///
/// let layer = PeerLayer::<Bare>::new();
/// # let _ = layer;
/// ```
pub struct PeerLayer<H> {
    host: PhantomData<fn() -> H>,
}

impl<H> PeerLayer<H> {
    /// The layer.
    #[must_use]
    pub const fn new() -> Self {
        Self { host: PhantomData }
    }
}

impl<S, H> Layer<S> for PeerLayer<H> {
    type Service = PeerService<S, H>;

    fn layer(&self, inner: S) -> PeerService<S, H> {
        PeerService { inner, layer: *self }
    }
}

impl<H> Clone for PeerLayer<H> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<H> Copy for PeerLayer<H> {}

impl<H> Default for PeerLayer<H> {
    fn default() -> Self {
        Self::new()
    }
}

impl<H> fmt::Debug for PeerLayer<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PeerLayer")
    }
}

/// The service that [`PeerLayer`] makes.
pub struct PeerService<S, H> {
    inner: S,
    layer: PeerLayer<H>,
}

impl<S: Clone, H> Clone for PeerService<S, H> {
    fn clone(&self) -> Self {
        self.layer.layer(self.inner.clone())
    }
}

impl<S: fmt::Debug, H> fmt::Debug for PeerService<S, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerService").field("inner", &self.inner).finish()
    }
}

impl<S: Service<Request<B>>, B, H: FindPeer> Service<Request<B>> for PeerService<S, H> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> S::Future {
        if let Some(peer) = H::find(request.extensions()) {
            request.extensions_mut().insert(PeerAddr::from(peer));
        }
        self.inner.call(request)
    }
}
