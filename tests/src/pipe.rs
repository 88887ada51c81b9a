//! HTTP without sockets: hyper's client and hyper's server on the two ends of a pipe in memory.
//!
//! Nothing but the runtime moves the bytes, so a test runs on the paused clock: seconds of load, of backoff and of
//! outage pass at once, and the same way each time.

use std::{
    convert::Infallible,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body::Body;
use hyper::{
    body::Incoming,
    rt::{Read, ReadBufCursor, Write},
    server::conn,
};
use hyper_util::{
    client::legacy::{
        Client,
        connect::{Connected, Connection},
    },
    rt::{TokioExecutor, TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::io::DuplexStream;
use tower::BoxError;
use tower_service::Service;

use crate::scripted::Version;

/// How much a pipe holds that nobody has read.
const PIPE: usize = 64 << 10;

/// hyper's client of an upstream in the same process.
pub type PipeClient<S, B> = Client<Pipes<S>, B>;

/// Connects to the same service, whatever the address says.
#[derive(Clone, Debug)]
pub struct Pipes<S> {
    service: S,
    version: Version,
    opened: Arc<AtomicUsize>,
}

/// hyper's client of `service`, which answers at the other end of as many pipes as the client opens. An error of the
/// service ends its connection.
pub fn client<S, A, B>(version: Version, service: S) -> PipeClient<S, B>
where
    S: Service<Request<Incoming>, Response = Response<A>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    A: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    B: Body<Data: Send> + Send,
{
    let pipes = Pipes {
        service,
        version,
        opened: Arc::default(),
    };
    Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .http2_only(version == Version::Http2)
        .build(pipes)
}

impl<S> Pipes<S> {
    /// How many connections were opened.
    #[must_use]
    pub fn opened(&self) -> usize {
        self.opened.load(Relaxed)
    }
}

impl<S, A> Service<Uri> for Pipes<S>
where
    S: Service<Request<Incoming>, Response = Response<A>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    A: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    type Response = Pipe;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Pipe, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        self.opened.fetch_add(1, Relaxed);
        let (near, far) = tokio::io::duplex(PIPE);
        let (service, version) = (TowerToHyperService::new(self.service.clone()), self.version);
        tokio::spawn(async move {
            let io = TokioIo::new(far);
            // How a connection ends is the client's doing.
            let _ = match version {
                Version::Http1 => conn::http1::Builder::new().serve_connection(io, service).await,
                Version::Http2 => {
                    conn::http2::Builder::new(TokioExecutor::new())
                        .serve_connection(io, service)
                        .await
                }
            };
        });
        std::future::ready(Ok(Pipe(TokioIo::new(near))))
    }
}

/// The client's end of a pipe.
#[derive(Debug)]
pub struct Pipe(TokioIo<DuplexStream>);

impl Connection for Pipe {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Pipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl Write for Pipe {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
