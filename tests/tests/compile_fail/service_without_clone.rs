//! A stack over a service that cannot be cloned, as a layer of a host that clones.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    task::{Context, Poll},
};

use axum::{Router, body::Body, extract::Request, response::Response};
use buttress::{Stack, metrics::Metrics};
use tower::Service;

struct Page;

impl Service<Request> for Page {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request) -> Self::Future {
        ready(Ok(Response::default()))
    }
}

fn main() {
    let page = Stack::http_server("page")
        .metrics(Metrics::new())
        .build()
        .service(Page);
    let _: Router = Router::new().fallback_service(page);
}
