//! A retry of requests whose body is a host's, without a word on how a body that is sent again becomes one.

use std::convert::Infallible;

use axum::body::Body;
use buttress::{Stack, retry::Retry};
use http::{Request, Response};
use tower::{Service, service_fn};

fn serve(_: impl Service<Request<Body>>) {}

fn main() {
    let stack = Stack::http_client("upstream").retry(Retry::standard()).build();
    let transport =
        service_fn(async |request: Request<Body>| Ok::<_, Infallible>(Response::new(request.into_body())));
    serve(stack.service(transport));
}
