//! Layers of one's own, in three places: inside of a stack, outside of it, and one that refuses calls as ours do.
//!
//! `cargo run -p buttress-examples --bin custom_layer`
#![allow(clippy::print_stdout)]

use std::{
    error::Error,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

use buttress::{
    CallError, Error as StackError, Rejected, RejectionKind, Stack, circuit_breaker::CircuitBreaker,
    metrics::Metrics,
};
use futures_util::future::Either;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};

/// Refuses all calls while it is on: a switch for maintenance.
#[derive(Clone, Debug, Default)]
struct Maintenance {
    on: Arc<AtomicBool>, // in an `Arc`: a layer may be applied many times, and all must have the same switch
}

#[derive(Clone, Debug)]
struct MaintenanceService<S> {
    inner: S,
    on: Arc<AtomicBool>,
}

impl<S> Layer<S> for Maintenance {
    type Service = MaintenanceService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        MaintenanceService {
            inner,
            on: self.on.clone(),
        }
    }
}

impl<S, Request> Service<Request> for MaintenanceService<S>
where
    S: Service<Request>,
    S::Error: CallError, // an error with room for a refusal: so every other layer understands it
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Either<S::Future, std::future::Ready<Result<S::Response, S::Error>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        if self.on.load(Relaxed) {
            let refusal = Rejected::new(RejectionKind::Custom, "maintenance").with_http_status(503);
            return Either::Right(std::future::ready(Err(refusal.into())));
        }
        Either::Left(self.inner.call(request))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (metrics, breaker) = (Metrics::new(), CircuitBreaker::new());
    let maintenance = Maintenance::default();

    let stack = Stack::new("jobs")
        .metrics(metrics.clone())
        .circuit_breaker(breaker.clone())
        // Closest to the service. It sees no refusals and needs to know nothing of them: any tower layer will do.
        .inside(tower::util::MapRequestLayer::new(|job: u32| job + 1))
        // Farthest from it. It sees everything, refusals too.
        .outside(maintenance.clone())
        .build();
    let mut jobs = stack.service(service_fn(async |job: u32| Ok::<_, io::Error>(job * 10)));
    println!("{}", jobs.ready().await?.call(4).await?);

    // A layer that refuses can stand where its refusals are counted, too: between two stacks, of which the outer keeps
    // the error of the inner as it is.
    let counted = ServiceBuilder::new()
        .layer(
            Stack::new("counted")
                .metrics(metrics.clone())
                .keep_error()
                .build(),
        )
        .layer(maintenance.clone())
        .service(jobs);
    maintenance.on.store(true, Relaxed);
    match counted.oneshot(4).await {
        Err(StackError::Rejected(refusal)) => println!("{refusal}"),
        other => return Err(format!("it should have been refused: {other:?}").into()),
    }
    assert_eq!(metrics.snapshot().outcomes.rejected, 1);
    assert_eq!(breaker.snapshot().failure, 0); // a refusal says nothing about the service
    Ok(())
}
