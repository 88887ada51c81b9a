//! A request body that is not `Send`, made into one of a host's, whose bodies are.

use std::{
    convert::Infallible,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use buttress::{
    Http,
    http::ReplayBody,
    replay::With,
    retry::{Retry, RetryLayer},
};
use bytes::Bytes;
use http::Request;
use http_body::Frame;
use tower::{Layer, Service, service_fn};

struct Page(Rc<str>);

impl http_body::Body for Page {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(Some(Ok(Frame::data(Bytes::copy_from_slice(self.0.as_bytes())))))
    }
}

fn serve(_: impl Service<Request<Page>>) {}

fn main() {
    let transport = service_fn(async |request: Request<axum::body::Body>| {
        Ok::<_, buttress::BoxError>(http::Response::new(request.into_body()))
    });
    let body: fn(ReplayBody<Page>) -> _ = |body| axum::body::Body::new(body);
    let retry = RetryLayer::new(Retry::standard(), Http::new(), With(body));
    serve(retry.layer(transport));
}
