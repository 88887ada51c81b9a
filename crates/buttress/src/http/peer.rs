use std::net::{IpAddr, SocketAddr};

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
