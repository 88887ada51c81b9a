use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::Response;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tower::{Layer, Service};

/// A layer that does nothing, in the shape of one that does something: its future and its body are types of their own.
/// What it costs is the host's price for there being a layer at all.
#[derive(Clone, Copy, Debug)]
pub(super) struct PassedLayer;

impl<S> Layer<S> for PassedLayer {
    type Service = Passed<S>;

    fn layer(&self, inner: S) -> Passed<S> {
        Passed { inner }
    }
}

pin_project! {
    /// The service, its future, and its body.
    #[derive(Clone, Debug, Default)]
    pub(super) struct Passed<T> {
        #[pin]
        inner: T,
    }
}

impl<S, B, Request> Service<Request> for Passed<S>
where
    S: Service<Request, Response = Response<B>>,
{
    type Response = Response<Passed<B>>;
    type Error = S::Error;
    type Future = Passed<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        Passed {
            inner: self.inner.call(request),
        }
    }
}

impl<F, B, E> Future for Passed<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<Passed<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let response = ready!(self.project().inner.poll(cx))?;
        Poll::Ready(Ok(response.map(|inner| Passed { inner })))
    }
}

impl<B: Body> Body for Passed<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.project().inner.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
