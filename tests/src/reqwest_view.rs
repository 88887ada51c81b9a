//! reqwest's client as a service of plain `http` requests and responses, which is what the layers speak.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tower_service::Service;

/// The view.
#[derive(Clone, Debug)]
pub struct ReqwestView {
    client: reqwest::Client,
}

pin_project! {
    /// The future of [`ReqwestView`].
    #[derive(Debug)]
    pub struct ReqwestFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = Projection]
    #[derive(Debug)]
    enum State<F> {
        Sent { #[pin] future: F },
        // It was none that reqwest can send.
        Refused { error: Option<reqwest::Error> },
    }
}

impl ReqwestView {
    /// Looks at that client.
    #[must_use]
    pub const fn new(client: reqwest::Client) -> Self {
        Self { client }
    }
}

impl<F> Future for ReqwestFuture<F>
where
    F: Future<Output = Result<reqwest::Response, reqwest::Error>>,
{
    type Output = Result<Response<reqwest::Body>, reqwest::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            Projection::Sent { future } => Poll::Ready(ready!(future.poll(cx)).map(Response::from)),
            Projection::Refused { error } => {
                Poll::Ready(Err(error.take().expect("polled after it was ready")))
            }
        }
    }
}

impl<B: Into<reqwest::Body>> Service<Request<B>> for ReqwestView {
    type Response = Response<reqwest::Body>;
    type Error = reqwest::Error;
    type Future = ReqwestFuture<<reqwest::Client as Service<reqwest::Request>>::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), reqwest::Error>> {
        self.client.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let state = match reqwest::Request::try_from(request) {
            Ok(request) => State::Sent {
                future: self.client.call(request),
            },
            Err(error) => State::Refused { error: Some(error) },
        };
        ReqwestFuture { state }
    }
}
