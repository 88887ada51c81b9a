//! A stack that is told to keep an error that cannot carry a rejection.

use buttress::{Stack, circuit_breaker::CircuitBreaker};
use tower::{Service, service_fn};

fn serve(_: impl Service<u32>) {}

fn main() {
    let stack = Stack::new("parser")
        .circuit_breaker(CircuitBreaker::new())
        .keep_error()
        .build();
    serve(stack.service(service_fn(async |n: u32| n.checked_mul(2).ok_or(std::fmt::Error))));
}
