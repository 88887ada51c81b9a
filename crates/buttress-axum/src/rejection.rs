use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::{
    BoxError,
    body::{Body, Bytes, HttpBody},
    response::{IntoResponse, Response},
};
use buttress::Rejected;
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

/// Answers refusals in a form of your own: a function of the [`Rejected`] to anything that is [`IntoResponse`].
///
/// It stands anywhere outside of the stacks whose refusals it is to answer, and once for any number of them: as another
/// `Router::layer`, or [`outside`](buttress::Stack::outside) of a stack.
///
/// ```
/// use axum::{Json, Router, http::StatusCode, response::IntoResponse, routing::get};
/// use buttress::{Rejected, circuit_breaker::CircuitBreaker};
/// use buttress_axum::RejectionLayer;
///
/// fn sorry(rejected: &Rejected) -> impl IntoResponse + use<> {
///     let status = StatusCode::from_u16(rejected.http_status()).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
///     (status, [("x-reason", rejected.kind().as_str())], "Back in a minute.")
/// }
///
/// let stack = buttress_axum::server("api").circuit_breaker(CircuitBreaker::new()).build();
/// let app: Router = Router::new().route("/", get(async || "well")).layer(stack).layer(RejectionLayer::new(sorry));
/// # let _ = app;
/// ```
///
/// The response goes to a client: say nothing in it that only the operator should know, such as the policy's name.
/// `Retry-After` is in it if the refusal knows when to come again and the function did not say it itself. The
/// [`Rejected`] stays in the response's extensions.
#[derive(Clone, Copy, Debug)]
pub struct RejectionLayer<F> {
    answer: F,
}

impl<F, R> RejectionLayer<F>
where
    F: Fn(&Rejected) -> R + Clone,
    R: IntoResponse,
{
    /// Answers with what that function makes of a refusal.
    pub const fn new(answer: F) -> Self {
        Self { answer }
    }
}

impl<S, F: Clone> Layer<S> for RejectionLayer<F> {
    type Service = RejectionService<S, F>;

    fn layer(&self, inner: S) -> RejectionService<S, F> {
        RejectionService {
            inner,
            answer: self.answer.clone(),
        }
    }
}

/// The service that [`RejectionLayer`] makes.
#[derive(Clone, Copy, Debug)]
pub struct RejectionService<S, F> {
    inner: S,
    answer: F,
}

impl<S, F, R, B, Request> Service<Request> for RejectionService<S, F>
where
    S: Service<Request, Response = http::Response<B>>,
    F: Fn(&Rejected) -> R + Clone,
    R: IntoResponse,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response;
    type Error = S::Error;
    type Future = RejectionFuture<S::Future, F>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        RejectionFuture {
            future: self.inner.call(request),
            answer: self.answer.clone(),
        }
    }
}

pin_project! {
    /// The future of [`RejectionService`].
    #[derive(Debug)]
    pub struct RejectionFuture<T, F> {
        #[pin]
        future: T,
        answer: F,
    }
}

impl<T, F, R, B, E> Future for RejectionFuture<T, F>
where
    T: Future<Output = Result<http::Response<B>, E>>,
    F: Fn(&Rejected) -> R,
    R: IntoResponse,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Output = Result<Response, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = ready!(this.future.poll(cx))?;
        let Some(rejected) = response.extensions_mut().remove::<Rejected>() else {
            // What is axum's own body already, as that of a route is, is not boxed again.
            return Poll::Ready(Ok(response.map(Body::new)));
        };
        let mut answer = (this.answer)(&rejected).into_response();
        if let Some(after) = rejected.retry_after_secs() {
            let headers = answer.headers_mut();
            headers
                .entry(http::header::RETRY_AFTER)
                .or_insert_with(|| after.into());
        }
        // What else the layers further in have said in the headers of theirs, such as a request-id or what is left of a
        // limit, stands beside it. What is about their body goes with that.
        for name in response.headers().keys() {
            let of_the_body =
                name.as_str().starts_with("content-") || name == http::header::TRANSFER_ENCODING;
            if !of_the_body && !answer.headers().contains_key(name) {
                for value in response.headers().get_all(name) {
                    answer.headers_mut().append(name, value.clone());
                }
            }
        }
        answer.extensions_mut().insert(rejected);
        Poll::Ready(Ok(answer))
    }
}
