use std::{
    convert::Infallible,
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use buttress::{BoxError, Error, Rejected};
use bytes::Bytes;
use http::{Extensions, Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use reqwest_middleware::Next;
use tower::{ServiceBuilder, ServiceExt};
use tower_layer::Layer;
use tower_service::Service;

use crate::service::{response, view};

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
type Answer = Result<reqwest::Response, reqwest_middleware::Error>;

/// A stack as a middleware of `reqwest_middleware`: every layer of it, in its order, around those that come after it.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
///
/// use buttress::{Rejected, circuit_breaker::CircuitBreaker, retry::Retry};
/// use buttress_reqwest::Middleware;
/// use reqwest_middleware::ClientBuilder;
///
/// let breaker = CircuitBreaker::new();
/// let stack = buttress_reqwest::client("payments")
///     .retry(Retry::standard())
///     .circuit_breaker(breaker.clone())
///     .attempt_timeout(Duration::from_secs(2))?
///     .build();
/// let client = ClientBuilder::new(reqwest::Client::new()).with(Middleware::new(stack)).build();
///
/// breaker.force_open();
/// let error = client.get("http://payments.internal/42").send().await.unwrap_err();
/// assert!(Rejected::find(&error).is_some());
/// # Ok(()) }
/// ```
///
/// The middlewares after it are called for each attempt, those before it once. Each attempt begins with the extensions
/// that were given, and those of the one that is answered are given back.
///
/// A refusal is a `reqwest_middleware::Error::Middleware`, in which [`Rejected::find`] finds it. Setting the stack up
/// for a call clones a handle of each policy and costs one box: what `reqwest_middleware` asks for.
#[derive(Clone, Debug)]
pub struct Middleware<L> {
    stack: ServiceBuilder<L>,
}

impl<L> Middleware<L>
where
    ServiceBuilder<L>: for<'a> Protect<'a>,
{
    /// The middleware of that stack, begun by [`client`](crate::client).
    #[must_use]
    pub const fn new(stack: ServiceBuilder<L>) -> Self {
        Self { stack }
    }
}

#[async_trait::async_trait]
impl<L> reqwest_middleware::Middleware for Middleware<L>
where
    ServiceBuilder<L>: for<'a> Protect<'a> + Send + Sync + 'static,
{
    async fn handle(&self, request: reqwest::Request, extensions: &mut Extensions, next: Next<'_>) -> Answer {
        let request = Request::try_from(request)?;
        let next = NextService {
            next,
            extensions: extensions.clone(),
        };
        let response = self.stack.protect(next, request).await;
        response.map(|(response, after)| {
            *extensions = after;
            response
        })
    }
}

/// A stack that can be put around what comes after a middleware, for as long as a request is there: one whose response
/// is `http::Response` and whose error is a `buttress::Error`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no stack for a middleware",
    note = "begin it with `buttress_reqwest::client(..)`, without `.keep_error()`, and finish it with `.build()`"
)]
pub trait Protect<'a> {
    /// Makes the call. With the response come the extensions of the attempt that was answered.
    fn protect(
        &self,
        next: NextService<'a>,
        request: Request<reqwest::Body>,
    ) -> BoxFuture<'a, Result<(reqwest::Response, Extensions), reqwest_middleware::Error>>;
}

impl<'a, L, B> Protect<'a> for L
where
    L: Layer<NextService<'a>>,
    L::Service: Service<
            Request<reqwest::Body>,
            Response = Response<B>,
            Error = Error<reqwest_middleware::Error>,
            Future: Send + 'a,
        > + Send
        + 'a,
    B: Body<Data = Bytes> + Send + Sync + 'static,
    B::Error: Into<BoxError>,
{
    fn protect(
        &self,
        next: NextService<'a>,
        request: Request<reqwest::Body>,
    ) -> BoxFuture<'a, Result<(reqwest::Response, Extensions), reqwest_middleware::Error>> {
        let before = next.extensions.clone();
        let service = self.layer(next);
        // No `async` block: in it the compiler could not see that this is `Send` for every lifetime.
        Box::pin(Call {
            answer: service.oneshot(request),
            before: Some(before),
        })
    }
}

pin_project! {
    struct Call<F> {
        #[pin]
        answer: F,
        before: Option<Extensions>,
    }
}

impl<F, B> Future for Call<F>
where
    F: Future<Output = Result<Response<B>, Error<reqwest_middleware::Error>>>,
    B: Body<Data = Bytes> + Send + Sync + 'static,
    B::Error: Into<BoxError>,
{
    type Output = Result<(reqwest::Response, Extensions), reqwest_middleware::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        Poll::Ready(match ready!(this.answer.poll(cx)) {
            Ok(answer) => Ok(with_extensions(answer, this.before.take().unwrap_or_default())),
            Err(Error::Rejected(rejected)) => Err(refused(rejected)),
            Err(Error::Inner(error)) => Err(error),
        })
    }
}

fn with_extensions<B>(mut answer: Response<B>, before: Extensions) -> (reqwest::Response, Extensions)
where
    B: Body<Data = Bytes> + Send + Sync + 'static,
    B::Error: Into<BoxError>,
{
    let after = answer.extensions_mut().remove().map(|After(after)| after);
    // A fallback has had no attempt.
    (response(answer), after.unwrap_or(before))
}

/// In a type that is its own source: what `reqwest_middleware` makes of an error hides the error itself from those who
/// look for causes.
fn refused(rejected: Rejected) -> reqwest_middleware::Error {
    reqwest_middleware::Error::middleware(Error::<Infallible>::Rejected(rejected))
}

/// The extensions of an attempt, on their way back.
#[derive(Clone)]
struct After(Extensions);

/// What comes after a middleware, as a service.
#[derive(Clone)]
pub struct NextService<'a> {
    next: Next<'a>,
    extensions: Extensions,
}

impl<'a> Service<Request<reqwest::Body>> for NextService<'a> {
    type Response = Response<reqwest::Body>;
    type Error = reqwest_middleware::Error;
    type Future = BoxFuture<'a, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<reqwest::Body>) -> Self::Future {
        let next = self.next.clone();
        let mut extensions = self.extensions.clone();
        Box::pin(async move {
            let request = reqwest::Request::try_from(request)?;
            let mut response = view(next.run(request, &mut extensions).await?);
            response.extensions_mut().insert(After(extensions));
            Ok(response)
        })
    }
}

impl fmt::Debug for NextService<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NextService").finish_non_exhaustive()
    }
}
