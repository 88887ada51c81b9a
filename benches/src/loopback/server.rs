use std::{
    env,
    error::Error,
    io::{self, BufRead, BufReader, Write},
    net::SocketAddr,
    process::{Child, ChildStdin, Command, Stdio},
    time::Duration,
};

use axum::{Router, routing::get};
use buttress::{
    Registry, circuit_breaker::CircuitBreaker, metrics::Metrics, timeout::Deadline, trace_id::TraceId,
};
use buttress_tests::echo::{Echo, EchoServer};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;

use super::{Kind, Side};

/// Fills every slot of a server's stack.
macro_rules! whole {
    ($start:expr, $metrics:expr) => {
        $start
            .registry(&Registry::new())
            .trace_id(TraceId::w3c())
            .metrics($metrics)
            .recover()
            .deadline(Deadline::new())
            .circuit_breaker(CircuitBreaker::new())
            .handler_timeout(Duration::from_secs(5))?
            .build()
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
        match (kind, side) {
            (Kind::AxumH1 | Kind::AxumH2, Side::Off) => {
                drop(tokio::spawn(axum::serve(listener, pages()).into_future()))
            }
            (Kind::AxumH1 | Kind::AxumH2, Side::On) => {
                let app = pages().layer(whole!(buttress_axum::server("api"), Metrics::by_route(100)));
                drop(tokio::spawn(axum::serve(listener, app).into_future()));
            }
            (Kind::TonicUnary, Side::Off) => {
                let server = Server::builder().add_service(EchoServer::new(Echo));
                drop(tokio::spawn(
                    server.serve_with_incoming(TcpListenerStream::new(listener)),
                ));
            }
            (Kind::TonicUnary, Side::On) => {
                let stack = whole!(buttress_tonic::server("echo"), Metrics::by_route(100));
                let server = Server::builder().layer(stack).add_service(EchoServer::new(Echo));
                drop(tokio::spawn(
                    server.serve_with_incoming(TcpListenerStream::new(listener)),
                ));
            }
        }
        writeln!(io::stdout(), "{address}")?;
        // Whoever started it is gone when this ends.
        tokio::task::spawn_blocking(|| io::copy(&mut io::stdin(), &mut io::sink())).await??;
        Ok(())
    })
}

fn pages() -> Router {
    Router::new().route("/users/{id}", get(async || "hello, world"))
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
