use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use buttress::{CallContext, context::Trace};
use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use pin_project_lite::pin_project;
use tower::Service;

use crate::service::{Broken, HttpRequest, HttpResponse};

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Ids in a request and its response, by hand: what `http` and the allocator take for them.
#[derive(Clone, Copy, Debug)]
pub struct Headed<S> {
    inner: S,
    inbound: bool,
}

impl<S> Headed<S> {
    /// A context for the request, a header for the response.
    pub fn inbound(inner: S) -> Self {
        Self { inner, inbound: true }
    }

    /// A context and two headers for the request.
    pub fn outbound(inner: S) -> Self {
        Self {
            inner,
            inbound: false,
        }
    }
}

/// An id as it would be, without the work of writing it.
fn value(length: usize) -> HeaderValue {
    let digits = [b'7'; 55];
    HeaderValue::from_bytes(&digits[..length]).expect("digits")
}

impl<S> Service<HttpRequest> for Headed<S>
where
    S: Service<HttpRequest, Response = HttpResponse, Error = Broken>,
{
    type Response = HttpResponse;
    type Error = Broken;
    type Future = HeadedFuture<S::Future>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, mut request: HttpRequest) -> Self::Future {
        let mut context = CallContext::new();
        context.set_trace(Trace::new());
        request.extensions_mut().insert(context);
        if !self.inbound {
            // Both in one allocation.
            let both = Bytes::from_owner([b'7'; 55]);
            let id = HeaderValue::from_maybe_shared(both.slice(3..35)).expect("digits");
            request.headers_mut().insert(&REQUEST_ID, id);
            let parent = HeaderValue::from_maybe_shared(both).expect("digits");
            request.headers_mut().insert(&TRACEPARENT, parent);
        }
        HeadedFuture {
            inner: self.inner.call(request),
            inbound: self.inbound,
        }
    }
}

pin_project! {
    /// The future of [`Headed`].
    #[derive(Debug)]
    pub struct HeadedFuture<F> {
        #[pin]
        inner: F,
        inbound: bool,
    }
}

impl<F: Future<Output = Result<HttpResponse, Broken>>> Future for HeadedFuture<F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let mut result = ready!(this.inner.poll(cx));
        if let (true, Ok(response)) = (*this.inbound, &mut result) {
            response.headers_mut().insert(&REQUEST_ID, value(32));
        }
        Poll::Ready(result)
    }
}
