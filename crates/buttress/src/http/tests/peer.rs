//! Who is at the other end of a connection.

use std::{
    convert::Infallible,
    net::{IpAddr, SocketAddr},
};

use http::{Extensions, Request};
use tower::{Layer, ServiceExt, service_fn};

use crate::http::{FindPeer, PeerAddr, PeerLayer};

/// Leaves the bare address in the request.
struct Bare;

impl FindPeer for Bare {
    fn find(extensions: &Extensions) -> Option<SocketAddr> {
        extensions.get().copied()
    }
}

/// The peer as the handler sees it.
async fn seen(request: Request<()>) -> Option<IpAddr> {
    let handler = service_fn(async |request: Request<()>| {
        Ok::<_, Infallible>(request.extensions().get::<PeerAddr>().map(|peer| peer.0))
    });
    let answer = PeerLayer::<Bare>::new().layer(handler).oneshot(request).await;
    answer.expect("it never fails")
}

#[tokio::test]
async fn the_host_says_who_the_peer_is_and_nobody_else() {
    let told: SocketAddr = "192.0.2.1:443".parse().unwrap();
    let other: IpAddr = "198.51.100.7".parse().unwrap();
    let mut request = Request::new(());
    request.extensions_mut().insert(told);
    assert_eq!(seen(request.clone()).await, Some(told.ip()));
    // Whatever stood there before: a proxy in the same process may hand on a request with its extensions.
    request.extensions_mut().insert(PeerAddr(other));
    assert_eq!(seen(request).await, Some(told.ip()));
    assert_eq!(seen(Request::new(())).await, None, "the host does not know");
}
