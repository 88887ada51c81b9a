//! What a limiter lets through, when, and whom first.

mod cost;
#[cfg(feature = "keyed")]
mod keyed;
#[cfg(feature = "keyed")]
mod keyed_model;
mod model;
mod options;
mod pitfalls;
mod service;
mod threads;
mod waiting;
#[cfg(feature = "http")]
mod wire;

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::advance;
use tower_layer::Layer;
use tower_service::Service;

use super::{
    cell::{Cell, NotNow},
    quota::Refusal,
    rules::{Rule, Rules},
    *,
};
use crate::error::{Error, Rejected, RejectionKind};

const SECOND: u64 = 1_000_000_000;

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn rules(limit: &Limit, algorithm: Algorithm) -> Rules {
    Rules::new(Rule::of(limit, algorithm))
}

type Refused = Error<Infallible>;

/// A service that counts its calls and answers as it is told: at once, or never.
#[derive(Clone)]
struct Probe {
    calls: Arc<AtomicUsize>,
    answer: Option<Result<(), Refused>>,
}

impl Probe {
    fn new(answer: Option<Result<(), Refused>>) -> Self {
        let calls = Arc::default();
        Self { calls, answer }
    }

    fn answering() -> Self {
        Self::new(Some(Ok(())))
    }

    fn refusing(kind: RejectionKind) -> Self {
        Self::new(Some(Err(Rejected::new(kind, "inner").into())))
    }

    fn calls(&self) -> usize {
        self.calls.load(SeqCst)
    }
}

impl<R> Service<R> for Probe {
    type Response = ();
    type Error = Refused;
    type Future = ProbeFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Refused>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: R) -> ProbeFuture {
        self.calls.fetch_add(1, SeqCst);
        ProbeFuture(self.answer.clone())
    }
}

struct ProbeFuture(Option<Result<(), Refused>>);

impl Future for ProbeFuture {
    type Output = Result<(), Refused>;

    fn poll(self: std::pin::Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.clone().map_or(Poll::Pending, Poll::Ready)
    }
}

fn kind<T>(result: Result<T, Refused>) -> Option<RejectionKind> {
    result.err().and_then(|e| e.rejected().map(Rejected::kind))
}
