//! A listener that serves until it is told to stop, and then lets what is in flight end.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use buttress::{BoxError, http::PeerAddr};
use http::{Request, Response};
use http_body::Body;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{
        conn::auto,
        graceful::{GracefulShutdown, Watcher},
    },
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::{sleep, timeout},
};
use tower::{Service, ServiceExt};

/// How long a client may take over the head of a request, and how long a connection may be idle.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often an HTTP/2 client that says nothing is asked whether it is there.
const PING_EVERY: Duration = Duration::from_secs(20);

/// A server that runs.
#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
    stop: watch::Sender<Option<Duration>>,
    task: JoinHandle<bool>,
}

impl Server {
    /// Listens on `address` and serves HTTP/1.1 and HTTP/2 there.
    ///
    /// # Errors
    ///
    /// If the address cannot be had.
    pub(crate) async fn start<S, B>(address: SocketAddr, service: S) -> io::Result<Self>
    where
        S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Into<BoxError>,
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let (stop, stopped) = watch::channel(None);
        let task = tokio::spawn(serve(listener, service, stopped));
        Ok(Self { address, stop, task })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Tells whether it is stopping.
    pub(crate) fn watch(&self) -> Stopping {
        Stopping(self.stop.subscribe())
    }

    /// Accepts nothing more, lets what is in flight end for at most `grace`, and cuts off the rest. Returns whether
    /// all has ended by itself.
    pub(crate) async fn stop(self, grace: Duration) -> bool {
        self.stop.send_replace(Some(grace));
        self.task.await.unwrap_or(false)
    }
}

/// Whether a server is stopping.
#[derive(Clone, Debug)]
pub(crate) struct Stopping(watch::Receiver<Option<Duration>>);

impl Stopping {
    pub(crate) fn is(&self) -> bool {
        self.0.borrow().is_some()
    }
}

async fn serve<S, B>(
    listener: TcpListener,
    service: S,
    mut stopped: watch::Receiver<Option<Duration>>,
) -> bool
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    let grace = loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    connections.spawn(connection(stream, peer, service.clone(), graceful.watcher()));
                }
                // Out of file descriptors, or a client that was gone at once: the next may fare better.
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    sleep(Duration::from_millis(50)).await;
                }
            },
            Some(_) = connections.join_next() => {}
            grace = told(&mut stopped) => break grace,
        }
    };
    // From here on the port refuses.
    drop(listener);
    timeout(grace, graceful.shutdown()).await.is_ok()
}

/// Waits until the server is told to stop, and for how long what is in flight may go on.
async fn told(stopped: &mut watch::Receiver<Option<Duration>>) -> Duration {
    // An error is a `Server` that was dropped.
    let told = stopped.wait_for(Option::is_some).await;
    told.ok().and_then(|grace| *grace).unwrap_or_default()
}

async fn connection<S, B>(stream: TcpStream, peer: SocketAddr, service: S, watcher: Watcher)
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    // A small answer should not wait for the acknowledgement of the one before it.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%peer, %error, "no TCP_NODELAY");
    }
    let heard = Arc::new(AtomicBool::new(false));
    let hears = heard.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        hears.store(true, Relaxed);
        request
            .extensions_mut()
            .insert(PeerAddr::from(peer.ip().to_canonical()));
        service.clone().oneshot(request)
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_EVERY);
    let served = watcher.watch(
        builder
            .serve_connection(TokioIo::new(stream), service)
            .into_owned(),
    );
    tokio::select! {
        result = served => if let Err(error) = result {
            tracing::debug!(%peer, error, "a connection ended early");
        },
        // hyper's own timeout for headers begins once it is clear which HTTP a client speaks.
        () = silence(&heard) => tracing::debug!(%peer, "a connection on which nobody asked for anything"),
    }
}

/// Is over if after a while nothing has been heard, else never.
async fn silence(heard: &AtomicBool) {
    sleep(PATIENCE).await;
    if heard.load(Relaxed) {
        std::future::pending().await
    }
}
