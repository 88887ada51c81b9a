//! What fits into an interceptor: trace-ids, a limit for each method, and a look at a breaker for each method. How calls
//! end is told to the breakers by a layer below.
//!
//! `cargo run -p buttress-examples --bin tonic_interceptor`
#![allow(clippy::print_stdout)]

mod greeter;

use std::error::Error;

use buttress::{
    ErrorLayer, Grpc, RequestProtocol,
    circuit_breaker::{CircuitBreaker, KeyedCircuitBreaker},
    rate_limit::RateLimiter,
    trace_id::TraceId,
};
use buttress_tonic::{
    StatusLayer,
    interceptor::{Chain, Check, Limit, TraceIds},
};
use greeter::{Greeter, GreeterClient, GreeterServer};
use tonic::{
    Code, Request, Status,
    transport::{Endpoint, Server},
};
use tower::ServiceBuilder;

type HttpRequest = http::Request<tonic::body::Body>;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (incoming, address) = greeter::listen().await?;
    let service = GreeterServer::with_interceptor(Greeter, |request: Request<()>| -> Result<_, Status> {
        assert!(request.metadata().contains_key("traceparent"));
        Ok(request)
    });
    tokio::spawn(
        Server::builder()
            .add_service(service)
            .serve_with_incoming(incoming),
    );

    let policy = CircuitBreaker::builder().consecutive_failures(1);
    let breakers = KeyedCircuitBreaker::builder("greeter").policy(policy).build()?;
    let limiter = RateLimiter::per_minute(3).burst(3).keyed().build()?;

    let channel = Endpoint::from_shared(format!("http://{address}"))?.connect_lazy();
    let channel = ServiceBuilder::new()
        .layer(StatusLayer::new())
        .layer(breakers.layer_by(Grpc::new(), |request: &HttpRequest| Grpc::new().route(request)))
        .layer(ErrorLayer::new())
        .service(channel);
    let interceptor = Chain(
        TraceIds::new(TraceId::w3c()),
        Chain(Check::by_method(breakers.clone()), Limit::by_method(limiter)),
    );
    let mut client = GreeterClient::with_interceptor(channel, interceptor);

    client.greet(greeter::request("Ann")).await?;
    let failed = client
        .greet(greeter::request("Nobody"))
        .await
        .expect_err("nobody is in");
    println!("{:?}: {}", failed.code(), failed.message());

    // One failure is all that this breaker stands. The interceptor knows.
    let open = client.greet(greeter::request("Ann")).await.expect_err("refused");
    println!("{:?}: {}", open.code(), open.message());
    assert!(buttress_tonic::retry_after(&open).is_some());

    // And when the breaker is closed, there is the limit: two calls were made, a third may be.
    breakers.reset_all();
    client.greet(greeter::request("Ann")).await?;
    let limited = client.greet(greeter::request("Ann")).await.expect_err("refused");
    println!("{:?}: {}", limited.code(), limited.message());
    assert_eq!(limited.code(), Code::ResourceExhausted);
    Ok(())
}
