use std::{
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::Error;

/// Turns a service's error `E` into [`Error<E>`], so that the layers above it have room for a rejection.
///
/// It stands at the bottom of a stack, directly around the service; the builder puts it there.
#[derive(Clone, Copy, Debug, Default)]
pub struct ErrorLayer {
    _private: (),
}

/// The service that [`ErrorLayer`] makes.
#[derive(Clone, Copy, Debug)]
pub struct ErrorService<S> {
    inner: S,
}

pin_project! {
    /// The future of [`ErrorService`].
    #[derive(Debug)]
    pub struct ErrorFuture<F> {
        #[pin]
        inner: F,
    }
}

impl ErrorLayer {
    /// The layer.
    #[must_use]
    pub const fn new() -> Self {
        Self { _private: () }
    }
}

impl<S> Layer<S> for ErrorLayer {
    type Service = ErrorService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ErrorService { inner }
    }
}

impl<S: Service<Request>, Request> Service<Request> for ErrorService<S> {
    type Response = S::Response;
    type Error = Error<S::Error>;
    type Future = ErrorFuture<S::Future>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(Error::Inner)
    }

    #[inline]
    fn call(&mut self, request: Request) -> Self::Future {
        ErrorFuture {
            inner: self.inner.call(request),
        }
    }
}

impl<F> ErrorFuture<F> {
    #[cfg_attr(not(any(feature = "circuit-breaker", feature = "timeout")), allow(dead_code))]
    pub(crate) fn new(inner: F) -> Self {
        Self { inner }
    }
}

impl<F, T, E> Future for ErrorFuture<F>
where
    F: Future<Output = Result<T, E>>,
{
    type Output = Result<T, Error<E>>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().inner.poll(cx).map_err(Error::Inner)
    }
}
