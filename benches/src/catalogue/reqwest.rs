//! reqwest-middleware and its retry, without a socket: the last middleware answers instead of the client.

use std::{
    future::{Future, ready},
    pin::Pin,
    task::{Context, Poll},
};

use http::{Extensions, Response};
use reqwest::{Body, Client, Request};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, Error, Next};
use reqwest_retry::{RetryTransientMiddleware, policies::ExponentialBackoff};
use tower::Service;

use crate::{drive::Subject, service};

type Boxed<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// Does what `Upstream` does.
fn upstream<'a>(mut request: Request, _: &'a mut Extensions, _: Next<'a>) -> Boxed<'a, reqwest::Response> {
    if let Some(body) = request.body_mut().take() {
        service::read(body);
    }
    let answer = Response::new(Body::from("hello"));
    Box::pin(ready(Ok(answer.into())))
}

/// With its middleware, as a service.
struct Reqwest(ClientWithMiddleware);

impl Service<Request> for Reqwest {
    type Response = Response<Body>;
    type Error = Error;
    type Future = Boxed<'static, Response<Body>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let client = self.0.clone();
        Box::pin(async move { client.execute(request).await.map(Response::from) })
    }
}

fn over_reqwest(client: ClientBuilder) -> Subject {
    let service = Reqwest(client.with(upstream).build());
    let template = Request::try_from(service::get().map(|_| "ping")).expect("an absolute address");
    Subject::http_from(service, move || {
        template.try_clone().expect("a body that is there")
    })
}

pub(super) fn without_retry() -> Subject {
    over_reqwest(ClientBuilder::new(Client::new()))
}

/// Three attempts. It asks for no method, has no budget, and clones the whole request, of a body that is there already.
pub(super) fn with_retry() -> Subject {
    let policy = ExponentialBackoff::builder().build_with_max_retries(2);
    let retry = RetryTransientMiddleware::new_with_policy(policy);
    over_reqwest(ClientBuilder::new(Client::new()).with(retry))
}
