use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Empty};
use tower::Service;

use crate::{
    Error,
    clock::{self, Instant},
};

pub(crate) type Failed = Error<&'static str>;
pub(crate) type Answered = Result<Response<Frames>, Failed>;
/// What reached the upstream: the head, and the whole body with its trailers.
pub(crate) type Arrived = (http::request::Parts, Bytes, Option<HeaderMap>);

/// A body of these frames, whose size nobody knows; it may have no end.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    frames: VecDeque<Frame<Bytes>>,
    pub(crate) goes_on: bool,
}

impl Frames {
    pub(crate) fn new(frames: impl IntoIterator<Item = Frame<Bytes>>) -> Self {
        Self {
            frames: frames.into_iter().collect(),
            goes_on: false,
        }
    }
}

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.frames.pop_front() {
            Some(frame) => Poll::Ready(Some(Ok(frame))),
            None if self.goes_on => Poll::Pending,
            None => Poll::Ready(None),
        }
    }
}

pub(crate) fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let pair = |(name, value): &(&'static str, &str)| {
        (
            http::HeaderName::from_static(name),
            value.parse().expect("a value"),
        )
    };
    pairs.iter().map(pair).collect()
}

/// An answer with this head and these frames for a body.
pub(crate) fn answer(
    status: u16,
    head: &[(&'static str, &str)],
    frames: impl IntoIterator<Item = Frame<Bytes>>,
) -> Response<Frames> {
    let mut response = Response::new(Frames::new(frames));
    *response.status_mut() = http::StatusCode::from_u16(status).expect("a status");
    *response.headers_mut() = headers(head);
    response
}

pub(crate) fn status(status: u16) -> Answered {
    Ok(answer(status, &[], []))
}

/// An upstream that reads each request to its end, takes its time, and then answers.
#[derive(Clone)]
pub(crate) struct Upstream {
    arrived: Arc<Mutex<Vec<(Instant, Arrived)>>>,
    answer: Arc<dyn Fn(usize) -> Answered + Send + Sync>,
    takes: Arc<dyn Fn(usize) -> Duration + Send + Sync>,
}

impl Upstream {
    /// `answer` is given the number of the call, from 0 on.
    pub(crate) fn new(answer: impl Fn(usize) -> Answered + Send + Sync + 'static) -> Self {
        Self {
            arrived: Arc::default(),
            answer: Arc::new(answer),
            takes: Arc::new(|_| Duration::ZERO),
        }
    }

    /// The same, with a time that each call takes.
    pub(crate) fn taking(mut self, takes: impl Fn(usize) -> Duration + Send + Sync + 'static) -> Self {
        self.takes = Arc::new(takes);
        self
    }

    pub(crate) fn calls(&self) -> usize {
        self.arrived.lock().expect("no panic").len()
    }

    pub(crate) fn waits(&self) -> Vec<u64> {
        let arrived = self.arrived.lock().expect("no panic");
        let wait = |two: &[(Instant, Arrived)]| (two[1].0 - two[0].0).as_millis() as u64;
        arrived.windows(2).map(wait).collect()
    }

    pub(crate) fn each<T>(&self, of: impl Fn(&Arrived) -> T) -> Vec<T> {
        let arrived = self.arrived.lock().expect("no panic");
        arrived.iter().map(|(_, arrived)| of(arrived)).collect()
    }
}

impl<B> Service<Request<B>> for Upstream
where
    B: http_body::Body<Data = Bytes, Error: std::fmt::Debug> + Send + 'static,
{
    type Response = Response<Frames>;
    type Error = Failed;
    type Future = Pin<Box<dyn Future<Output = Answered> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let this = self.clone();
        let now = clock::now();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.expect("a whole body");
            let trailers = body.trailers().cloned();
            let call = {
                let mut arrived = this.arrived.lock().expect("no panic");
                arrived.push((now, (head, body.to_bytes(), trailers)));
                arrived.len() - 1
            };
            let takes = (this.takes)(call);
            if !takes.is_zero() {
                tokio::time::sleep(takes).await;
            }
            (this.answer)(call)
        })
    }
}

pub(crate) fn get() -> Request<Empty<Bytes>> {
    Request::new(Empty::new())
}

/// A request whose body comes in pieces and has trailers; and whether it has arrived as it was sent.
pub(crate) fn a_book() -> (Request<Frames>, impl Fn(&Arrived) -> bool) {
    let pieces: Vec<Bytes> = (0..32_u8).map(|n| Bytes::from(vec![n; 1024])).collect();
    let (whole, checksum) = (pieces.concat(), headers(&[("checksum", "17")]));
    let end = Frame::trailers(checksum.clone());
    let body = Frames::new(pieces.into_iter().map(Frame::data).chain([end]));
    let request = Request::put("/book").body(body).expect("valid");
    let as_sent = move |(head, body, trailers): &Arrived| {
        head.uri == "/book" && *body == whole && trailers.as_ref() == Some(&checksum)
    };
    (request, as_sent)
}

/// A body of a mebibyte, in pieces and whole.
pub(crate) fn a_long_body() -> (Frames, Bytes) {
    let pieces: Vec<Bytes> = (0..64_u8).map(|n| Bytes::from(vec![n; 16 << 10])).collect();
    let whole = Bytes::from(pieces.concat());
    (Frames::new(pieces.into_iter().map(Frame::data)), whole)
}
