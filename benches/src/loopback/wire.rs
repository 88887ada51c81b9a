//! The same servers over a pipe in memory, client and server in one thread, for callgrind.

use std::{
    env,
    error::Error,
    io::{self, Write},
    process::Command,
};

use axum::serve::Listener;
use buttress_tests::echo::{EchoClient, say};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::DuplexStream;
use tokio_stream::StreamExt;
use tonic::transport::{Endpoint, Uri};

use super::{ALL, Kind, SIDES, Side, server};

const FEW: u64 = 500;
const MANY: u64 = 2_500;

/// A listener to which somebody comes once.
struct Once(Option<DuplexStream>);

impl Listener for Once {
    type Io = DuplexStream;
    type Addr = ();

    async fn accept(&mut self) -> (DuplexStream, ()) {
        match self.0.take() {
            Some(stream) => (stream, ()),
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<()> {
        Ok(())
    }
}

/// Asks a server of that kind so many times, one after the other.
///
/// # Errors
///
/// If a request fails.
pub fn ask(kind: Kind, side: Side, requests: u64) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        match kind {
            Kind::AxumH1 | Kind::AxumH2 => server::pages(side, Once(Some(theirs)))?,
            Kind::TonicUnary => {
                let incoming = tokio_stream::once(Ok(theirs)).chain(tokio_stream::pending());
                server::echo(side, incoming)?;
            }
        }
        match kind {
            Kind::AxumH1 => {
                let (mut sender, connection) = http1::handshake(TokioIo::new(ours)).await?;
                tokio::spawn(connection);
                let request = Request::get("/users/7").header("host", "wire");
                let request = request.body(Empty::<Bytes>::new())?;
                for _ in 0..requests {
                    sender.ready().await?;
                    answered(sender.send_request(request.clone()).await?).await?;
                }
            }
            Kind::AxumH2 => {
                let (mut sender, connection) =
                    http2::handshake(TokioExecutor::new(), TokioIo::new(ours)).await?;
                tokio::spawn(connection);
                let request = Request::get("http://wire/users/7").body(Empty::<Bytes>::new())?;
                for _ in 0..requests {
                    sender.ready().await?;
                    answered(sender.send_request(request.clone()).await?).await?;
                }
            }
            Kind::TonicUnary => {
                let mut ours = Some(TokioIo::new(ours));
                let connect = tower::service_fn(move |_: Uri| {
                    let ours = ours.take().ok_or_else(|| io::Error::other("connected already"));
                    async { ours }
                });
                let channel = Endpoint::from_static("http://wire")
                    .connect_with_connector(connect)
                    .await?;
                let mut client = EchoClient::new(channel);
                for _ in 0..requests {
                    client.unary(say("hello, world")).await?;
                }
            }
        }
        Ok(())
    })
}

async fn answered(response: http::Response<hyper::body::Incoming>) -> Result<(), Box<dyn Error>> {
    if response.status() != 200 {
        return Err(format!("answered with {}", response.status()).into());
    }
    response.into_body().collect().await?;
    Ok(())
}

/// Instructions a request, client and server together, of every side of those kinds; and what each is over a layer that
/// does nothing.
///
/// # Errors
///
/// If valgrind cannot be run.
pub fn instructions(kinds: &[Kind], out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let kinds = if kinds.is_empty() { &ALL } else { kinds };
    for &kind in kinds {
        writeln!(out, "{kind}")?;
        let mut passed = None;
        for side in SIDES {
            let count = (counted(kind, side, MANY)? - counted(kind, side, FEW)?) / (MANY - FEW) as f64;
            let over = passed.map_or_else(String::new, |passed| format!("{:+.0}", count - passed));
            writeln!(out, "  {:<16} {count:>8.0} {over:>8}", side.to_string())?;
            if side == Side::Passed {
                passed = Some(count);
            }
        }
    }
    Ok(())
}

fn counted(kind: Kind, side: Side, requests: u64) -> Result<f64, Box<dyn Error>> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(env::current_exe()?)
        .args([
            "--ask",
            &kind.to_string(),
            &side.to_string(),
            &requests.to_string(),
        ])
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    let count = said
        .lines()
        .find_map(|line| line.split_once("Collected : "))
        .and_then(|(_, count)| count.trim().parse().ok());
    count.ok_or_else(|| format!("no count in what valgrind said: {said}").into())
}
