//! A retry of requests that cannot be cloned.

use buttress::{ErrorLayer, retry::Retry};
use tower::{Layer, Service, service_fn};

struct Query(u32);

fn serve(_: impl Service<Query>) {}

fn main() {
    let service = service_fn(async |query: Query| query.0.checked_mul(2).ok_or(std::fmt::Error));
    let service = ErrorLayer::new().layer(service);
    serve(Retry::standard().layer().layer(service));
}
