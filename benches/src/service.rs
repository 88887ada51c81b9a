//! The services at the bottom.

use std::{
    error, fmt,
    future::{Ready, ready},
    hint::black_box,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, header::CONTENT_TYPE};
use http_body::Body;
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

/// A plain service, ready at once, whose every answer is there when it is asked for the second time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Waiting;

/// The future of [`Waiting`].
#[derive(Debug)]
pub struct Second {
    request: u64,
    asked: bool,
}

impl Future for Second {
    type Output = Result<u64, Broken>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        if self.asked {
            return Poll::Ready(answer(self.request));
        }
        // Nobody is woken: who polls this knows.
        self.asked = true;
        Poll::Pending
    }
}

impl Service<u64> for Waiting {
    type Response = u64;
    type Error = Broken;
    type Future = Second;

    #[inline]
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn call(&mut self, request: u64) -> Second {
        Second {
            request,
            asked: false,
        }
    }
}

/// An HTTP service, ready at once, whose body is one frame. `DELETE` fails.
#[derive(Clone, Copy, Debug, Default)]
pub struct Http;

/// The request that [`Http`] is asked.
pub type HttpRequest = Request<Full<Bytes>>;

/// A request as clients send them: four headers, two of them not from the program's text.
///
/// A loop clones it, which is part of what is measured of every subject, the bare service too.
#[must_use]
pub fn get() -> HttpRequest {
    let token = format!("Bearer {:032x}", 7);
    Request::get("http://inventory.test/items/7?currency=EUR".to_owned())
        .header("host", "inventory.test".to_owned())
        .header("user-agent", "buttress-benches")
        .header("accept", "application/json")
        .header("authorization", token)
        .body(Full::new(Bytes::from_static(b"ping")))
        .expect("in order")
}

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

/// The same with axum's body, whatever the request's.
#[derive(Clone, Copy, Debug, Default)]
pub struct AxumHttp;

impl<B> Service<Request<B>> for AxumHttp {
    type Response = Response<axum::body::Body>;
    type Error = Broken;
    type Future = Ready<Result<Self::Response, Broken>>;

    #[inline]
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn call(&mut self, request: Request<B>) -> Self::Future {
        ready(if *request.method() == Method::DELETE {
            Err(Broken)
        } else {
            Ok(Response::new("hello".into()))
        })
    }
}

/// An HTTP service whose response has a header, as every real one has.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen;

impl Service<HttpRequest> for Seen {
    type Response = HttpResponse;
    type Error = Broken;
    type Future = Ready<Result<HttpResponse, Broken>>;

    #[inline]
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn call(&mut self, _: HttpRequest) -> Self::Future {
        let mut response = Response::new(Full::new(Bytes::from_static(b"hello")));
        let kind = HeaderValue::from_static("text/plain");
        response.headers_mut().insert(CONTENT_TYPE, kind);
        ready(Ok(response))
    }
}

/// An HTTP service that reads the request's body to its end, as a transport does, and answers as [`Http`] does.
#[derive(Clone, Copy, Debug, Default)]
pub struct Upstream;

impl<B: Body> Service<Request<B>> for Upstream {
    type Response = HttpResponse;
    type Error = Broken;
    type Future = Ready<Result<HttpResponse, Broken>>;

    #[inline]
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn call(&mut self, request: Request<B>) -> Self::Future {
        let is_delete = *request.method() == Method::DELETE;
        read(request.into_body());
        ready(if is_delete {
            Err(Broken)
        } else {
            Ok(Response::new(Full::new(Bytes::from_static(b"hello"))))
        })
    }
}

/// Reads a body that is there to its end.
#[inline]
pub fn read<B: Body>(body: B) {
    let mut body = pin!(body);
    let mut cx = Context::from_waker(Waker::noop());
    while !body.is_end_stream() {
        match body.as_mut().poll_frame(&mut cx) {
            Poll::Ready(Some(Ok(frame))) => drop(black_box(frame)),
            Poll::Ready(Some(Err(_)) | None) => break,
            Poll::Pending => panic!("not there at once"),
        }
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
