use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use buttress::BoxError;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use reqwest::{ResponseBuilderExt, Url};
use tower_service::Service;

use crate::body::own_or_wrapped;

/// A `reqwest::Client` as a service of `http` requests and responses, which is what layers speak.
#[must_use]
pub const fn service(client: reqwest::Client) -> ReqwestService {
    ReqwestService { client }
}

/// The service that [`service`] makes. It is always ready; its error is reqwest's.
///
/// A request that reqwest cannot send, one without a host for instance, fails.
#[derive(Clone, Debug)]
pub struct ReqwestService {
    client: reqwest::Client,
}

impl Service<Request<reqwest::Body>> for ReqwestService {
    type Response = Response<reqwest::Body>;
    type Error = reqwest::Error;
    type Future = ReqwestFuture<<reqwest::Client as Service<reqwest::Request>>::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), reqwest::Error>> {
        self.client.poll_ready(cx)
    }

    fn call(&mut self, request: Request<reqwest::Body>) -> Self::Future {
        let state = match reqwest::Request::try_from(request) {
            Ok(request) => State::Sent {
                future: self.client.call(request),
            },
            Err(error) => State::Unsendable { error: Some(error) },
        };
        ReqwestFuture { state }
    }
}

pin_project! {
    /// The future of [`ReqwestService`].
    #[derive(Debug)]
    pub struct ReqwestFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = StateProjection]
    #[derive(Debug)]
    enum State<F> {
        Sent { #[pin] future: F },
        Unsendable { error: Option<reqwest::Error> },
    }
}

impl<F> Future for ReqwestFuture<F>
where
    F: Future<Output = Result<reqwest::Response, reqwest::Error>>,
{
    type Output = Result<Response<reqwest::Body>, reqwest::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProjection::Sent { future } => Poll::Ready(ready!(future.poll(cx)).map(view)),
            StateProjection::Unsendable { error } => match error.take() {
                Some(error) => Poll::Ready(Err(error)),
                None => panic!("`ReqwestFuture` polled after it was ready"),
            },
        }
    }
}

/// reqwest's own response of what a stack has answered: for `.json()`, `.text()`, `.url()` and the like.
///
/// The body is still watched to its end.
#[must_use]
pub fn response<B>(response: Response<B>) -> reqwest::Response
where
    B: Body<Data = Bytes> + Send + Sync + 'static,
    B::Error: Into<BoxError>,
{
    response.map(own_or_wrapped).into()
}

/// The response in `http`'s type, from which [`response`] can make reqwest's again: the URL, which redirects may have
/// changed, is in its extensions.
pub(crate) fn view(response: reqwest::Response) -> Response<reqwest::Body> {
    let url = url_extension(response.url());
    let mut response = Response::from(response);
    response.extensions_mut().extend(url);
    response
}

/// The type of that extension is reqwest's secret.
fn url_extension(url: &Url) -> http::Extensions {
    let with_url = Response::builder().url(url.clone()).body(());
    with_url
        .map(|response| response.into_parts().0.extensions)
        .unwrap_or_default()
}
