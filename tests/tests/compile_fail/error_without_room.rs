//! A layer over a service whose error cannot carry a rejection.

use buttress::circuit_breaker::CircuitBreaker;
use tower::{Layer, Service, service_fn};

fn serve(_: impl Service<u32>) {}

fn main() {
    let parse = service_fn(async |n: u32| n.checked_mul(2).ok_or(std::fmt::Error));
    serve(CircuitBreaker::new().layer().layer(parse));
}
