use std::net::SocketAddr;

use ::http::Extensions;
use buttress::http::{self, FindPeer};
use tonic::transport::server::TcpConnectInfo;

/// Tells the layers further in who is at the other end: the [`PeerAddr`](buttress::http::PeerAddr) that a rate limit by address goes by, from the
/// `TcpConnectInfo` that tonic's server leaves in requests.
///
/// It stands [outside](buttress::Stack::outside) of the stack. Behind TLS, or with a listener of your own, the
/// information is of another type, and this layer finds nothing: put a `PeerAddr` there yourself.
pub type PeerLayer = http::PeerLayer<Connected>;

/// tonic's `TcpConnectInfo`.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Connected;

impl FindPeer for Connected {
    fn find(extensions: &Extensions) -> Option<SocketAddr> {
        extensions.get().and_then(TcpConnectInfo::remote_addr)
    }
}
