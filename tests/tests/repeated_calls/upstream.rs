//! An upstream that answers as a test says, and keeps books.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

use buttress_tests::{
    pipe::{self, PipeClient},
    scripted::Version,
};
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use tower_service::Service;

/// A request as it has come in, whole.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) headers: HeaderMap,
    /// `None` if it broke off.
    pub(crate) body: Option<Bytes>,
    pub(crate) trailers: Option<HeaderMap>,
}

/// A response, or the end of the connection.
pub(crate) type Answer = io::Result<Response<Full<Bytes>>>;

/// The upstream's answer to its `n`th request, counted from 0. It is asked when the request has come in whole, unless
/// that is none of its business.
pub(crate) trait Answers: Clone + Send + Sync + 'static {
    fn answer(&self, n: usize) -> impl Future<Output = Answer> + Send;
}

impl<A, F> Answers for A
where
    A: Fn(usize) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Answer> + Send,
{
    fn answer(&self, n: usize) -> impl Future<Output = Answer> + Send {
        self(n)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Upstream<A> {
    answers: A,
    seen: Arc<Mutex<Vec<Seen>>>,
    begun: Arc<AtomicUsize>,
    running: Arc<AtomicUsize>,
}

pub(crate) fn upstream<A: Answers>(answers: A) -> Upstream<A> {
    Upstream {
        answers,
        seen: Arc::default(),
        begun: Arc::default(),
        running: Arc::default(),
    }
}

impl<A: Answers> Upstream<A> {
    /// hyper's client of it.
    pub(crate) fn client<B>(&self, version: Version) -> PipeClient<Self, B>
    where
        B: http_body::Body<Data: Send> + Send,
    {
        pipe::client(version, self.clone())
    }

    /// How many requests have come.
    pub(crate) fn calls(&self) -> usize {
        self.begun.load(Relaxed)
    }

    /// How many requests it is at work on.
    pub(crate) fn running(&self) -> usize {
        self.running.load(Relaxed)
    }

    /// The requests that have come in to their end, or broke off.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("nobody panics").clone()
    }
}

struct Running(Arc<AtomicUsize>);

impl Running {
    fn enter(running: &Arc<AtomicUsize>) -> Self {
        running.fetch_add(1, Relaxed);
        Self(running.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl<A: Answers> Service<Request<Incoming>> for Upstream<A> {
    type Response = Response<Full<Bytes>>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = Answer> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let n = self.begun.fetch_add(1, Relaxed);
        let running = Running::enter(&self.running);
        let upstream = self.clone();
        Box::pin(async move {
            let _running = running;
            let (head, body) = request.into_parts();
            let collected = body.collect().await.ok();
            let seen = Seen {
                headers: head.headers,
                trailers: collected.as_ref().and_then(|body| body.trailers().cloned()),
                body: collected.map(|body| body.to_bytes()),
            };
            upstream.seen.lock().expect("nobody panics").push(seen);
            upstream.answers.answer(n).await
        })
    }
}

/// An answer of that status, which says so.
pub(crate) fn status(status: u16) -> Answer {
    with_header(status, "x-from", "upstream")
}

/// The same with a header.
pub(crate) fn with_header(status: u16, name: &str, value: &str) -> Answer {
    let text = format!("the upstream's own {status}");
    let response = Response::builder().status(status).header(name, value);
    Ok(response.body(Full::from(text)).expect("a good response"))
}
