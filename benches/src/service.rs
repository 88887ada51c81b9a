//! The services at the bottom.

use std::{
    error, fmt,
    future::{Ready, ready},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::Full;
use tower::Service;

/// The error of the services here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("broken")
    }
}

impl error::Error for Broken {}

/// Makes the request to [`Plain`] one that fails. The compiler cannot know which those are, so no subject gets rid
/// of its way for failures.
pub const FAIL: u64 = 1 << 63;

/// A plain service, ready at once and done at once.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plain;

/// What [`Plain`] does.
#[inline]
pub fn answer(request: u64) -> Result<u64, Broken> {
    if request & FAIL == 0 {
        Ok(request + 1)
    } else {
        Err(Broken)
    }
}

impl Service<u64> for Plain {
    type Response = u64;
    type Error = Broken;
    type Future = Ready<Result<u64, Broken>>;

    #[inline]
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn call(&mut self, request: u64) -> Self::Future {
        ready(answer(request))
    }
}

/// An HTTP service, ready at once, whose body is one frame. `DELETE` fails.
#[derive(Clone, Copy, Debug, Default)]
pub struct Http;

/// The request that [`Http`] is asked.
pub type HttpRequest = Request<Full<Bytes>>;

/// What it answers.
pub type HttpResponse = Response<Full<Bytes>>;

impl Service<HttpRequest> for Http {
    type Response = HttpResponse;
    type Error = Broken;
    type Future = Ready<Result<HttpResponse, Broken>>;

    #[inline]
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn call(&mut self, request: HttpRequest) -> Self::Future {
        ready(if *request.method() == Method::DELETE {
            Err(Broken)
        } else {
            Ok(Response::new(Full::new(Bytes::from_static(b"hello"))))
        })
    }
}

/// A service whose futures are wrapped by a function: how peers that are no tower layers are put around one.
#[allow(missing_debug_implementations)] // peers have none
pub struct Wrapped<S, W, E> {
    /// The service.
    pub inner: S,
    /// Wraps its future.
    pub wrap: W,
    /// Makes an error of the wrapped future of one of the service's readiness.
    pub error: fn(Broken) -> E,
}

impl<S: Clone, W: Clone, E> Clone for Wrapped<S, W, E> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            wrap: self.wrap.clone(),
            error: self.error,
        }
    }
}

impl<S, W, F, T, E> Service<u64> for Wrapped<S, W, E>
where
    S: Service<u64, Error = Broken>,
    W: Fn(S::Future) -> F,
    F: Future<Output = Result<T, E>>,
{
    type Response = T;
    type Error = E;
    type Future = F;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), E>> {
        self.inner.poll_ready(cx).map_err(self.error)
    }

    #[inline]
    fn call(&mut self, request: u64) -> F {
        (self.wrap)(self.inner.call(request))
    }
}
