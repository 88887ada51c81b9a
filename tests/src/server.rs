//! Servers, each on a port of its own.

use std::{convert::Infallible, net::SocketAddr};

use axum::Router;
use tokio::net::TcpListener;

/// A listener on a free port of this machine alone.
///
/// # Panics
///
/// If there is none.
pub async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    (listener, address)
}

/// An address at which nobody listens.
///
/// # Panics
///
/// If there is none.
pub async fn nobody() -> SocketAddr {
    // The port was free a moment ago, and the system does not hand it out again so soon.
    let (_listener, address) = listener().await;
    address
}

/// Serves an axum router, HTTP/1 and HTTP/2, as `axum::serve` does it.
pub async fn axum(router: Router) -> SocketAddr {
    let (listener, address) = listener().await;
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// Serves a router of tonic's; the future is its `serve_with_incoming`.
pub async fn tonic<F, E>(serve: impl FnOnce(tokio_stream::wrappers::TcpListenerStream) -> F) -> SocketAddr
where
    F: Future<Output = Result<(), E>> + Send + 'static,
    E: Send + 'static,
{
    let (listener, address) = listener().await;
    let serving = serve(tokio_stream::wrappers::TcpListenerStream::new(listener));
    tokio::spawn(serving);
    address
}

/// Serves each connection with what `serve` makes of it.
pub async fn connections<F>(serve: impl Fn(tokio::net::TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    let (listener, address) = listener().await;
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            tokio::spawn(serve(connection));
        }
        Ok::<_, Infallible>(())
    });
    address
}
