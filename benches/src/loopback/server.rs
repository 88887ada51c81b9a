use std::{
    env,
    error::Error,
    io::{self, BufRead, BufReader, Write},
    net::SocketAddr,
    process::{Child, ChildStdin, Command, Stdio},
    time::Duration,
};

use axum::{Router, http::StatusCode, routing::get, serve::Listener};
use buttress::{
    Registry, circuit_breaker::CircuitBreaker, metrics::Metrics, timeout::Deadline, trace_id::TraceId,
};
use buttress_tests::echo::{Echo, EchoServer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
};
use tokio_stream::{Stream, wrappers::TcpListenerStream};
use tonic::transport::{Server, server::Connected};

use tower::ServiceBuilder;
use tower_http::{
    catch_panic::CatchPanicLayer,
    request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer},
    timeout::TimeoutLayer,
    trace::TraceLayer,
};

use super::{Kind, Side, passed::PassedLayer};
use crate::catalogue::recorder;

/// Gives `$with` a server's stack with the slots of a side filled.
macro_rules! with_stack {
    ($side:expr, $start:expr, $with:expr) => {{
        let start = $start.registry(&Registry::new());
        match $side {
            Side::Empty => $with(start.build()),
            Side::TraceId => $with(start.trace_id(TraceId::w3c()).build()),
            Side::Metrics => $with(start.metrics(Metrics::by_route(100)).build()),
            Side::Recover => $with(start.recover().build()),
            Side::Deadline => $with(start.deadline(Deadline::new()).build()),
            Side::CircuitBreaker => $with(start.circuit_breaker(CircuitBreaker::new()).build()),
            Side::HandlerTimeout => $with(start.handler_timeout(Duration::from_secs(5))?.build()),
            _ => $with(
                start
                    .trace_id(TraceId::w3c())
                    .metrics(Metrics::by_route(100))
                    .recover()
                    .deadline(Deadline::new())
                    .circuit_breaker(CircuitBreaker::new())
                    .handler_timeout(Duration::from_secs(5))?
                    .build(),
            ),
        }
    }};
}

/// An id in request and answer, a span, counts and durations by route in Prometheus' form, panics caught, a time limit.
/// Of what the stack has there is no breaker, no deadline of the client's, and nobody who looks at a body's end.
macro_rules! peers {
    ($trace:expr) => {
        ServiceBuilder::new()
            .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
            .layer($trace)
            .layer(PropagateRequestIdLayer::x_request_id())
            .layer(recorder::axum_prometheus())
            .layer(CatchPanicLayer::new())
            .layer(TimeoutLayer::with_status_code(
                StatusCode::GATEWAY_TIMEOUT,
                Duration::from_secs(5),
            ))
    };
}

/// Serves on a free port, says which on standard output, and ends when standard input does.
///
/// # Errors
///
/// If it cannot listen.
pub fn serve(kind: Kind, side: Side) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        match kind {
            Kind::AxumH1 | Kind::AxumH2 => pages(side, listener)?,
            Kind::TonicUnary => echo(side, TcpListenerStream::new(listener))?,
        }
        writeln!(io::stdout(), "{address}")?;
        // Whoever started it is gone when this ends.
        tokio::task::spawn_blocking(|| io::copy(&mut io::stdin(), &mut io::sink())).await??;
        Ok(())
    })
}

/// axum, in tasks of its own.
pub(super) fn pages<L: Listener<Addr: std::fmt::Debug>>(side: Side, on: L) -> Result<(), Box<dyn Error>> {
    let routes = Router::new().route("/users/{id}", get(async || "hello, world"));
    let app = match side {
        Side::Off => routes,
        Side::Passed => routes.layer(PassedLayer),
        Side::Peers => routes.layer(peers!(TraceLayer::new_for_http())),
        _ => with_stack!(side, buttress_axum::server("api"), |stack| routes.layer(stack)),
    };
    drop(tokio::spawn(axum::serve(on, app).into_future()));
    Ok(())
}

/// tonic, in tasks of its own.
pub(super) fn echo<I, T>(side: Side, incoming: I) -> Result<(), Box<dyn Error>>
where
    I: Stream<Item = io::Result<T>> + Send + 'static,
    T: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
{
    // A closure has no type parameters.
    macro_rules! spawned {
        ($stack:expr) => {{
            let server = Server::builder().layer($stack).add_service(EchoServer::new(Echo));
            drop(tokio::spawn(server.serve_with_incoming(incoming)));
        }};
    }
    match side {
        Side::Off => {
            let server = Server::builder().add_service(EchoServer::new(Echo));
            drop(tokio::spawn(server.serve_with_incoming(incoming)));
        }
        Side::Passed => spawned!(PassedLayer),
        Side::Peers => spawned!(peers!(TraceLayer::new_for_grpc())),
        _ => with_stack!(side, buttress_tonic::server("echo"), |stack| spawned!(stack)),
    }
    Ok(())
}

/// A server in a process of its own, which ends with this.
pub(super) struct Process {
    child: Child,
    pub(super) address: SocketAddr,
    _lives: ChildStdin,
}

impl Process {
    pub(super) fn start(kind: Kind, side: Side) -> Result<Self, Box<dyn Error>> {
        let mut child = Command::new(env::current_exe()?)
            .args(["--serve", &kind.to_string(), &side.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (Some(lives), Some(says)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("a server without pipes".into());
        };
        let mut address = String::new();
        BufReader::new(says).read_line(&mut address)?;
        Ok(Self {
            address: address.trim().parse()?,
            child,
            _lives: lives,
        })
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
