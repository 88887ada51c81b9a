//! An upstream that a test plays itself, frame by frame.
//!
//! It is hyper's server with nothing in between, so it can say what no well-behaved framework would: a gRPC stream
//! without a status, a body that breaks in the middle, a connection that is gone.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body::{Body, Frame};
use hyper::{body::Incoming, server::conn, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

/// The upstream.
#[derive(Debug)]
pub struct Upstream {
    /// Where it listens.
    pub address: SocketAddr,
    calls: mpsc::UnboundedReceiver<Call>,
    connections: mpsc::UnboundedReceiver<JoinHandle<()>>,
}

/// A request that has come and waits for its answer. Dropped, it is never answered.
#[derive(Debug)]
pub struct Call {
    /// The request.
    pub request: Request<Incoming>,
    answer: oneshot::Sender<Response<Script>>,
}

/// The rest of a response whose head is sent. Dropped, it ends, without trailers.
#[derive(Debug)]
pub struct Frames {
    frames: mpsc::UnboundedSender<io::Result<Frame<Bytes>>>,
}

/// A response body that is yet to be played.
#[derive(Debug)]
pub struct Script {
    frames: Option<mpsc::UnboundedReceiver<io::Result<Frame<Bytes>>>>,
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
        let (called, calls) = mpsc::unbounded_channel();
        let (connected, connections) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let called = called.clone();
                let service = service_fn(move |request| {
                    let (answer, answered) = oneshot::channel();
                    let told = called.send(Call { request, answer });
                    async move {
                        told.map_err(io::Error::other)?;
                        answered.await.map_err(io::Error::other)
                    }
                });
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
        crate::soon(self.calls.recv()).await.expect("a request")
    }

    /// Cuts off every connection there is.
    pub fn cut_connections(&mut self) {
        while let Ok(serving) = self.connections.try_recv() {
            serving.abort();
        }
    }
}

impl Call {
    /// Sends the head of a response that goes on.
    ///
    /// # Panics
    ///
    /// If nobody waits for it any more.
    pub fn begin(self, head: http::response::Builder) -> Frames {
        let (frames, script) = mpsc::unbounded_channel();
        self.respond(head, Some(script));
        Frames { frames }
    }

    /// Sends a response that ends with its head: on HTTP/2 the headers end the stream.
    ///
    /// # Panics
    ///
    /// If nobody waits for it any more.
    pub fn end(self, head: http::response::Builder) {
        self.respond(head, None);
    }

    fn respond(
        self,
        head: http::response::Builder,
        frames: Option<mpsc::UnboundedReceiver<io::Result<Frame<Bytes>>>>,
    ) {
        let response = head.body(Script { frames }).expect("a good head");
        self.answer.send(response).expect("the caller has gone");
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
    pub fn data(&self, data: impl Into<Bytes>) -> &Self {
        self.send(Ok(Frame::data(data.into())))
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
        self.send(Ok(Frame::trailers(trailers)));
    }

    /// Breaks the body off: a reset of the stream in HTTP/2, the end of the connection in HTTP/1.
    ///
    /// # Panics
    ///
    /// If nobody reads it any more.
    pub fn break_off(self) {
        self.send(Err(io::Error::other("broken off")));
    }

    /// Waits until the reader has gone.
    pub async fn dropped(&self) {
        crate::soon(self.frames.closed()).await;
    }

    fn send(&self, frame: io::Result<Frame<Bytes>>) -> &Self {
        self.frames.send(frame).expect("the reader has gone");
        self
    }
}

impl Body for Script {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match &mut self.frames {
            Some(frames) => frames.poll_recv(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.frames.is_none()
    }
}

/// The head of a gRPC response.
#[must_use]
pub fn grpc() -> http::response::Builder {
    Response::builder().header("content-type", "application/grpc")
}

/// The head of a response of that status.
#[must_use]
pub fn status(status: u16) -> http::response::Builder {
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
