#![allow(clippy::disallowed_types)] // what times the servers is no part of the crate

use std::{
    error::Error,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use buttress_tests::echo::{EchoClient, say};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{net::TcpStream, runtime::Runtime, sync::watch, task::JoinHandle};
use tonic::transport::Endpoint;

use super::Kind;

/// Connections of HTTP/1, one request at a time on each.
const H1: usize = 32;
/// Connections of HTTP/2, and requests at a time on each.
const H2: usize = 4;
const STREAMS: usize = 8;

type BoxError = Box<dyn Error + Send + Sync>;

/// Clients in a closed loop, which work when they are told to.
pub(super) struct Load {
    runtime: Runtime,
    working: watch::Sender<bool>,
    done: Arc<AtomicU64>,
    failed: Arc<AtomicBool>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    /// Connects.
    pub(super) fn start(kind: Kind, address: SocketAddr) -> Result<Self, Box<dyn Error>> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        let (working, _) = watch::channel(false);
        let mut load = Self {
            runtime,
            working,
            done: Arc::default(),
            failed: Arc::default(),
            clients: Vec::new(),
        };
        let uri = format!("http://{address}/users/7");
        match kind {
            Kind::AxumH1 => {
                for _ in 0..H1 {
                    let sender = load.runtime.block_on(async {
                        let io = TokioIo::new(TcpStream::connect(address).await?);
                        let (sender, connection) = http1::handshake(io).await?;
                        tokio::spawn(connection);
                        Ok::<_, Box<dyn Error>>(sender)
                    })?;
                    let request = Request::get("/users/7").header("host", address.to_string());
                    let request = request.body(Empty::<Bytes>::new())?;
                    load.client((sender, request), async |(mut sender, request)| {
                        sender.ready().await?;
                        answered(sender.send_request(request.clone()).await?).await?;
                        Ok((sender, request))
                    });
                }
            }
            Kind::AxumH2 => {
                for _ in 0..H2 {
                    let sender = load.runtime.block_on(async {
                        let io = TokioIo::new(TcpStream::connect(address).await?);
                        let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
                        tokio::spawn(connection);
                        Ok::<_, Box<dyn Error>>(sender)
                    })?;
                    for _ in 0..STREAMS {
                        let request = Request::get(&uri).body(Empty::<Bytes>::new())?;
                        load.client((sender.clone(), request), async |(mut sender, request)| {
                            sender.ready().await?;
                            answered(sender.send_request(request.clone()).await?).await?;
                            Ok((sender, request))
                        });
                    }
                }
            }
            Kind::TonicUnary => {
                for _ in 0..H2 {
                    let endpoint = Endpoint::from_shared(format!("http://{address}"))?;
                    let channel = load.runtime.block_on(endpoint.connect())?;
                    for _ in 0..STREAMS {
                        load.client(EchoClient::new(channel.clone()), async |mut client| {
                            client.unary(say("hello, world")).await?;
                            Ok(client)
                        });
                    }
                }
            }
        }
        Ok(load)
    }

    /// A client that calls whenever there is work. `call` gives back what it calls with.
    fn client<T, F, R>(&mut self, mut with: T, call: F)
    where
        T: Send + 'static,
        F: Fn(T) -> R + Send + 'static,
        R: Future<Output = Result<T, BoxError>> + Send,
    {
        let mut working = self.working.subscribe();
        let (done, failed) = (self.done.clone(), self.failed.clone());
        self.clients.push(self.runtime.spawn(async move {
            loop {
                if !*working.borrow_and_update() {
                    if working.changed().await.is_err() {
                        return;
                    }
                    continue;
                }
                with = match call(with).await {
                    Ok(with) => with,
                    Err(_) => return failed.store(true, Relaxed),
                };
                done.fetch_add(1, Relaxed);
            }
        }));
    }

    /// Has them work for that long. How many requests were answered, and in which time.
    pub(super) fn turn(&self, long: Duration) -> Result<(u64, Duration), Box<dyn Error>> {
        let before = self.done.load(Relaxed);
        let begun = Instant::now();
        self.working.send_replace(true);
        std::thread::sleep(long);
        let (done, took) = (self.done.load(Relaxed) - before, begun.elapsed());
        self.working.send_replace(false);
        // What is on its way arrives, so that it is not in the other's turn.
        std::thread::sleep(Duration::from_millis(20));
        match self.failed.load(Relaxed) {
            true => Err("a request failed".into()),
            false => Ok((done, took)),
        }
    }
}

async fn answered(response: http::Response<hyper::body::Incoming>) -> Result<(), BoxError> {
    if response.status() != 200 {
        return Err(format!("answered with {}", response.status()).into());
    }
    response.into_body().collect().await?;
    Ok(())
}
