//! gRPC with a stack on both sides: a tonic server, and a generated client over a protected channel.
//!
//! `cargo run -p buttress-examples --bin tonic_client_server`
#![allow(clippy::print_stdout)]

mod greeter;

use std::{error::Error, time::Duration};

use buttress::{
    circuit_breaker::CircuitBreaker, metrics::Metrics, retry::Retry, timeout::Deadline, trace_id::TraceId,
};
use greeter::{Greeter, GreeterClient, GreeterServer};
use tonic::{
    Code,
    transport::{Endpoint, Server},
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // The server: a panic is INTERNAL, and work ends when the client's deadline does.
    let stack = buttress_tonic::server("greeter")
        .trace_id(TraceId::w3c())
        .metrics(Metrics::new())
        .deadline(Deadline::new())
        .recover()
        .build();
    let (incoming, address) = greeter::listen().await?;
    let server = Server::builder()
        .layer(stack)
        .add_service(GreeterServer::new(Greeter));
    tokio::spawn(server.serve_with_incoming(incoming));

    // The client.
    let breaker = CircuitBreaker::builder().consecutive_failures(3).build()?;
    let channel = Endpoint::from_shared(format!("http://{address}"))?.connect_lazy();
    let channel = buttress_tonic::client("greeter")
        .trace_id(TraceId::w3c())
        .total_timeout(Duration::from_secs(10))?
        .retry(
            Retry::builder()
                .initial_backoff(Duration::from_millis(1))
                .build()?,
        )
        .circuit_breaker(breaker)
        .attempt_timeout(Duration::from_secs(2))?
        .build()
        .service(channel);
    let mut client = GreeterClient::new(channel);

    let reply = client.greet(greeter::request("Ann")).await?;
    println!("{}", reply.into_inner().text);

    // Three attempts, three failures: the breaker opens. From then on nobody is asked.
    let status = client
        .greet(greeter::request("Nobody"))
        .await
        .expect_err("refused");
    println!("{:?}: {}", status.code(), status.message());
    assert_eq!(
        (status.code(), status.message()),
        (Code::Unavailable, "nobody is in")
    );
    let status = client.greet(greeter::request("Ann")).await.expect_err("refused");
    let refusal = buttress_tonic::rejected(&status).ok_or("the breaker should have refused")?;
    println!("not asked: {refusal}");
    assert!(buttress_tonic::retry_after(&status).is_some());
    Ok(())
}
