//! An answer to refusals that is no response.

use std::convert::Infallible;

use buttress::{ErrorLayer, Rejected, http::RespondLayer};
use http::{Request, Response};
use tower::{Layer, Service, service_fn};

fn serve(_: impl Service<Request<()>>) {}

fn main() {
    let service = service_fn(async |_: Request<()>| Ok::<_, Infallible>(Response::new(())));
    let service = ErrorLayer::new().layer(service);
    serve(RespondLayer::with(StatusOnly).layer(service));
}

#[derive(Clone)]
struct StatusOnly;

impl StatusOnly {
    fn respond(&self, rejected: &Rejected) -> u16 {
        rejected.http_status()
    }
}
