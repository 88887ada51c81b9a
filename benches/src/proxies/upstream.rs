use std::{
    convert::Infallible,
    env,
    error::Error,
    io::{self, BufRead, BufReader, Write},
    net::SocketAddr,
    process::{Child, ChildStdin, Command, Stdio},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

const BODY: &[u8] = b"hello, world\n";

/// The upstream: serves on two free ports, says which on standard output, and ends when standard input does.
///
/// # Errors
///
/// If it cannot listen.
pub fn serve() -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        for _ in 0..2 {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            writeln!(io::stdout(), "{}", listener.local_addr()?)?;
            tokio::spawn(accept(listener));
        }
        // Whoever started it is gone when this ends.
        tokio::task::spawn_blocking(|| io::copy(&mut io::stdin(), &mut io::sink())).await??;
        Ok(())
    })
}

async fn accept(listener: TcpListener) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let answer = service_fn(async |_: Request<Incoming>| {
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(BODY))))
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
    }
}

/// The upstream in a process of its own, which ends with this.
pub(super) struct Process {
    child: Child,
    pub(super) addresses: [SocketAddr; 2],
    _lives: ChildStdin,
}

impl Process {
    pub(super) fn start() -> Result<Self, Box<dyn Error>> {
        let mut child = Command::new(env::current_exe()?)
            .arg("--upstream")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (Some(lives), Some(says)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("an upstream without pipes".into());
        };
        let mut lines = BufReader::new(says).lines();
        let mut address = || -> Result<SocketAddr, Box<dyn Error>> {
            Ok(lines.next().ok_or("an upstream that says nothing")??.parse()?)
        };
        Ok(Self {
            addresses: [address()?, address()?],
            child,
            _lives: lives,
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
