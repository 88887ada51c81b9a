//! A handler, or a whole upstream, that a test plays itself, frame by frame.
//!
//! The upstream is hyper's server with nothing in between, so it can say what no well-behaved framework would: a
//! gRPC stream without a status, a body that breaks in the middle, a connection that is gone.

use std::{
    convert::Infallible,
    future::pending,
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, response};
use http_body::{Body, Frame};
use hyper::{body::Incoming, server::conn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    service::TowerToHyperService,
};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};
use tower_service::Service;

/// A service that is played: it hands each request to the test and waits for what it says.
#[derive(Debug)]
pub struct Handler<B> {
    called: mpsc::UnboundedSender<Call<B>>,
}

/// The requests that have come to a [`Handler`].
#[derive(Debug)]
pub struct Calls<B> {
    calls: mpsc::UnboundedReceiver<Call<B>>,
}

/// A request that has come and waits for its answer. Dropped, it is never answered.
#[derive(Debug)]
pub struct Call<B = Incoming> {
    /// The request.
    pub request: Request<B>,
    answer: oneshot::Sender<Response<Script>>,
}

/// The rest of a response whose head is sent. Dropped, it ends, without trailers.
#[derive(Debug)]
pub struct Frames {
    steps: mpsc::UnboundedSender<Step>,
}

/// A response body that is yet to be played.
#[derive(Debug)]
pub struct Script {
    steps: Option<mpsc::UnboundedReceiver<Step>>,
}

#[derive(Debug)]
enum Step {
    Frame(Frame<Bytes>),
    BreakOff,
    Panic,
}

/// The service and its requests.
#[must_use]
pub fn handler<B>() -> (Handler<B>, Calls<B>) {
    let (called, calls) = mpsc::unbounded_channel();
    (Handler { called }, Calls { calls })
}

impl<B> Clone for Handler<B> {
    fn clone(&self) -> Self {
        Self {
            called: self.called.clone(),
        }
    }
}

impl<B> Service<Request<B>> for Handler<B> {
    type Response = Response<Script>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (answer, answered) = oneshot::channel();
        // A test that has ended answers nothing.
        let _ = self.called.send(Call { request, answer });
        Box::pin(async {
            match answered.await {
                Ok(response) => Ok(response),
                Err(_) => pending().await,
            }
        })
    }
}

impl<B> Calls<B> {
    /// The next request.
    ///
    /// # Panics
    ///
    /// If none comes.
    pub async fn next(&mut self) -> Call<B> {
        crate::soon(self.calls.recv()).await.expect("a request")
    }
}

/// A server with a [`Handler`] and nothing else.
#[derive(Debug)]
pub struct Upstream {
    /// Where it listens.
    pub address: SocketAddr,
    calls: Calls<Incoming>,
    connections: mpsc::UnboundedReceiver<JoinHandle<()>>,
}

/// Which HTTP an [`Upstream`] speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 without TLS, by prior knowledge.
    Http2,
}

impl Upstream {
    /// Starts to listen.
    ///
    /// # Panics
    ///
    /// If it cannot.
    pub async fn start(version: Version) -> Self {
        let (listener, address) = crate::server::listener().await;
        let (handler, calls) = handler();
        let (connected, connections) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let service = TowerToHyperService::new(handler.clone());
                let io = TokioIo::new(connection);
                let serving = tokio::spawn(async move {
                    // How a connection ends is the test's own doing.
                    let _ = match version {
                        Version::Http1 => conn::http1::Builder::new().serve_connection(io, service).await,
                        Version::Http2 => {
                            conn::http2::Builder::new(TokioExecutor::new())
                                .serve_connection(io, service)
                                .await
                        }
                    };
                });
                if connected.send(serving).is_err() {
                    return;
                }
            }
        });
        Self {
            address,
            calls,
            connections,
        }
    }

    /// The next request.
    ///
    /// # Panics
    ///
    /// If none comes.
    pub async fn call(&mut self) -> Call {
        self.calls.next().await
    }

    /// Cuts off every connection there is.
    pub fn cut_connections(&mut self) {
        while let Ok(serving) = self.connections.try_recv() {
            serving.abort();
        }
    }
}

impl<B> Call<B> {
    /// Sends the head of a response that goes on.
    ///
    /// # Panics
    ///
    /// If nobody waits for it any more.
    pub fn begin(self, head: response::Builder) -> Frames {
        let (steps, script) = mpsc::unbounded_channel();
        self.respond(head, Some(script));
        Frames { steps }
    }

    /// Sends a response that ends with its head: on HTTP/2 the headers end the stream.
    ///
    /// # Panics
    ///
    /// If nobody waits for it any more.
    pub fn end(self, head: response::Builder) {
        self.respond(head, None);
    }

    fn respond(self, head: response::Builder, steps: Option<mpsc::UnboundedReceiver<Step>>) {
        let response = head.body(Script { steps }).expect("a good head");
        if self.answer.send(response).is_err() {
            panic!("the caller has gone");
        }
    }

    /// Waits until the caller has gone before the answer has begun.
    pub async fn given_up(mut self) {
        crate::soon(self.answer.closed()).await;
    }
}

impl Frames {
    /// Sends data.
    ///
    /// # Panics
    ///
    /// If nobody reads it any more.
    pub fn data(&self, data: impl Into<Bytes>) {
        self.send(Step::Frame(Frame::data(data.into())));
    }

    /// Sends trailers, the end.
    ///
    /// # Panics
    ///
    /// If nobody reads them any more.
    pub fn trailers<const N: usize>(self, trailers: [(&'static str, &'static str); N]) {
        let trailers: HeaderMap = trailers
            .into_iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        self.send(Step::Frame(Frame::trailers(trailers)));
    }

    /// Breaks the body off by an error: a reset of the stream in HTTP/2, the end of the connection in HTTP/1.
    ///
    /// # Panics
    ///
    /// If nobody reads it any more.
    pub fn break_off(self) {
        self.send(Step::BreakOff);
    }

    /// Has the body panic.
    ///
    /// # Panics
    ///
    /// If nobody reads it any more; it is the body that panics, not this.
    pub fn panic(self) {
        self.send(Step::Panic);
    }

    /// Waits until the reader has gone.
    pub async fn dropped(&self) {
        crate::soon(self.steps.closed()).await;
    }

    fn send(&self, step: Step) {
        self.steps.send(step).expect("the reader has gone");
    }
}

impl Body for Script {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let Some(steps) = &mut self.steps else {
            return Poll::Ready(None);
        };
        steps.poll_recv(cx).map(|step| match step {
            Some(Step::Frame(frame)) => Some(Ok(frame)),
            Some(Step::BreakOff) => Some(Err(io::Error::other("broken off"))),
            Some(Step::Panic) => panic!("the body panics, as asked"),
            None => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.steps.is_none()
    }
}

/// The head of a gRPC response.
#[must_use]
pub fn grpc() -> response::Builder {
    Response::builder().header("content-type", "application/grpc")
}

/// The head of a response of that status.
#[must_use]
pub fn status(status: u16) -> response::Builder {
    Response::builder().status(StatusCode::from_u16(status).expect("a status"))
}

/// A message as gRPC frames it.
#[must_use]
pub fn message(message: &impl prost::Message) -> Bytes {
    let encoded = message.encode_to_vec();
    let length = u32::try_from(encoded.len()).expect("a short message");
    let mut framed = vec![0]; // not compressed
    framed.extend(length.to_be_bytes());
    framed.extend(encoded);
    framed.into()
}
