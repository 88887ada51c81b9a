use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use buttress::{BoxError, Rejected, http::Responder};
use bytes::Bytes;
use http::{HeaderMap, Request, Response, header::CONTENT_TYPE};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::StatusResponder;

/// Ends a stream that a layer has cut off, by a time limit or because its handler panicked, with the status that says so.
///
/// Once the headers of an answer are sent, a refusal can only break its body off, and a body that breaks off is a reset
/// on the wire, which the other side takes for `INTERNAL`. gRPC has a place for what happened: the trailers.
/// [`server`](crate::server) has this layer outermost.
#[derive(Clone, Copy, Debug, Default)]
pub struct TrailersLayer {
    _private: (),
}

impl TrailersLayer {
    /// The layer.
    #[must_use]
    pub const fn new() -> Self {
        Self { _private: () }
    }
}

impl<S> Layer<S> for TrailersLayer {
    type Service = TrailersService<S>;

    fn layer(&self, inner: S) -> TrailersService<S> {
        TrailersService { inner }
    }
}

/// The service that [`TrailersLayer`] makes.
#[derive(Clone, Copy, Debug)]
pub struct TrailersService<S> {
    inner: S,
}

impl<S, A, B> Service<Request<A>> for TrailersService<S>
where
    S: Service<Request<A>, Response = Response<B>>,
{
    type Response = Response<TrailersBody<B>>;
    type Error = S::Error;
    type Future = TrailersFuture<S::Future>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: Request<A>) -> Self::Future {
        TrailersFuture {
            inner: self.inner.call(request),
        }
    }
}

pin_project! {
    /// The future of [`TrailersService`].
    #[derive(Debug)]
    pub struct TrailersFuture<F> {
        #[pin]
        inner: F,
    }
}

impl<F, B, E> Future for TrailersFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<TrailersBody<B>>, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let response = ready!(self.project().inner.poll(cx))?;
        Poll::Ready(Ok(response.map(|inner| TrailersBody {
            inner,
            is_over: false,
        })))
    }
}

pin_project! {
    /// A response body whose refusal is its trailers.
    #[derive(Debug, Default)]
    pub struct TrailersBody<B> {
        #[pin]
        inner: B,
        is_over: bool,
    }
}

impl<B> Body for TrailersBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    #[inline]
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.project();
        if *this.is_over {
            return Poll::Ready(None);
        }
        Poll::Ready(match ready!(this.inner.poll_frame(cx)) {
            None => None,
            Some(Ok(frame)) => Some(Ok(frame)),
            Some(Err(error)) => Some(end(error.into(), this.is_over)),
        })
    }

    #[inline]
    fn is_end_stream(&self) -> bool {
        self.is_over || self.inner.is_end_stream()
    }

    #[inline]
    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cold]
fn end(error: BoxError, is_over: &mut bool) -> Result<Frame<Bytes>, BoxError> {
    match Rejected::find(&*error) {
        None => Err(error),
        Some(rejected) => {
            *is_over = true;
            Ok(Frame::trailers(trailers(rejected)))
        }
    }
}

fn trailers(rejected: &Rejected) -> HeaderMap {
    let mut response = StatusResponder::new().respond(rejected);
    let headers = response.headers_mut();
    headers.remove(CONTENT_TYPE);
    std::mem::take(headers)
}
