//! Neither HTTP nor gRPC: a database call, through a stack and through single policies.
//!
//! `cargo run -p buttress-examples --bin plain_function`
#![allow(clippy::print_stdout)]

use std::{error::Error, io, time::Duration};

use buttress::{
    Error as CallError, Registry, Stack, circuit_breaker::CircuitBreaker, metrics::Metrics,
    rate_limit::RateLimiter, retry::Retry, timeout::Timeout,
};
use tower::{Service, ServiceExt, service_fn};

/// The database. It has row 7.
async fn query(id: u32) -> Result<String, io::Error> {
    match id {
        7 => Ok("Ann".to_owned()),
        8 => std::future::pending().await,
        _ => Err(io::Error::other("connection lost")),
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // All of it: a function becomes a service.
    let registry = Registry::new();
    let mut rows = Stack::new("rows")
        .registry(&registry)
        .metrics(Metrics::new())
        .total_timeout(Duration::from_secs(2))?
        .retry(
            Retry::builder()
                .initial_backoff(Duration::from_millis(1))
                .build()?,
        )
        .circuit_breaker(CircuitBreaker::builder().consecutive_failures(6).build()?)
        .attempt_timeout(Duration::from_millis(50))?
        .recover()
        .build()
        .service(service_fn(query));
    for id in [7, 8, 9, 7] {
        match rows.ready().await?.call(id).await {
            Ok(name) => println!("row {id}: {name}"),
            Err(CallError::Rejected(refusal)) => println!("row {id}: {refusal}"),
            Err(CallError::Inner(error)) => println!("row {id}: {error}"),
        }
    }
    let state = registry.snapshot();
    let breaker = state
        .at(&["rows", "circuitBreaker", "state"])
        .and_then(|s| s.as_str());
    println!("the breaker is {}", breaker.unwrap_or("gone"));
    assert_eq!(breaker, Some("OPEN"));

    // Single policies, around any future, one inside the other as one likes.
    let (limiter, breaker) = (RateLimiter::per_second(100).build()?, CircuitBreaker::new());
    let timeout = Timeout::after(Duration::from_secs(1)).build()?;
    let name = limiter.call(breaker.call(timeout.call(query(7)))).await?;
    println!("row 7: {name}");

    // Or by hand.
    let permit = breaker.try_acquire()?;
    let row = query(9).await;
    let outcome = match &row {
        Ok(_) => buttress::Outcome::SUCCESS,
        Err(_) => buttress::Verdict::Failure.into(),
    };
    permit.record(outcome);
    assert_eq!(breaker.snapshot().failure, 1);
    Ok(())
}
