//! Probes that count what becomes of the calls they are given.

mod attempt;
mod cost;
mod deadline;
#[cfg(feature = "http")]
mod model;
#[cfg(feature = "circuit-breaker")]
mod outage;
#[cfg(feature = "http")]
mod wire;

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::advance;
use tower_service::Service;

use crate::{
    Error, RejectionKind,
    clock::{self, Instant},
    context::{self, CallContext},
};

type Refusal = Error<Infallible>;

/// A service that never answers; see [`Probe::answering`] for one that does at once.
#[derive(Clone, Default)]
struct Probe {
    answers: bool,
    books: Arc<Books>,
}

#[derive(Debug, Default)]
struct Books {
    calls: AtomicUsize,
    dropped: AtomicUsize,
}

struct ProbeFuture {
    answers: bool,
    books: Arc<Books>,
}

impl Probe {
    fn answering() -> Self {
        Self {
            answers: true,
            ..Self::default()
        }
    }

    /// Calls that were made, and those of them that are no more.
    fn calls_and_dropped(&self) -> (usize, usize) {
        (self.books.calls.load(SeqCst), self.books.dropped.load(SeqCst))
    }
}

impl<Request> Service<Request> for Probe {
    type Response = &'static str;
    type Error = Refusal;
    type Future = ProbeFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request) -> ProbeFuture {
        self.books.calls.fetch_add(1, SeqCst);
        ProbeFuture {
            answers: self.answers,
            books: self.books.clone(),
        }
    }
}

impl Future for ProbeFuture {
    type Output = Result<&'static str, Refusal>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        match self.answers {
            true => Poll::Ready(Ok("well")),
            false => Poll::Pending,
        }
    }
}

impl Drop for ProbeFuture {
    fn drop(&mut self) {
        self.books.dropped.fetch_add(1, SeqCst);
    }
}

/// The kind of a refusal and who refused.
fn refusal<T: std::fmt::Debug, E: crate::CallError + std::fmt::Debug>(
    result: Result<T, E>,
) -> (RejectionKind, String) {
    let error = result.expect_err("a refusal");
    let rejected = error.rejected().expect("a rejection");
    (rejected.kind(), rejected.policy().to_owned())
}

fn timed_out(policy: &str) -> (RejectionKind, String) {
    (RejectionKind::TimedOut, policy.to_owned())
}

fn expired(policy: &str) -> (RejectionKind, String) {
    (RejectionKind::DeadlineExpired, policy.to_owned())
}

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

async fn pass(time: u64) {
    advance(millis(time)).await;
}

fn context_until(deadline: Instant) -> CallContext {
    let mut context = CallContext::new();
    context.limit_deadline(deadline);
    context
}

/// How much time the current context leaves.
fn time_left() -> Option<Duration> {
    Some(context::current_deadline()?.duration_since(clock::now()))
}
