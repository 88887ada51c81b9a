use std::{
    future::{Ready, ready},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    task::{Context, Poll},
    time::Duration,
};

use tower::{Layer, Service, ServiceExt, service_fn};

use super::*;
use crate::{
    Error, Outcome, Plain, Rejected, RejectionKind,
    clock::{self, Instant},
    outcome::Reason,
};

mod attempts;
mod cancelled;
mod cost;
mod limits;
mod nested;
mod options;
#[cfg(feature = "circuit-breaker")]
mod outages;
#[cfg(feature = "tower-retry")]
mod tower_layer;
#[cfg(feature = "http")]
mod wire;

type Answer = Result<u32, Error<&'static str>>;

const BUSY: Answer = Err(Error::Inner("busy"));

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn rejected(kind: RejectionKind) -> Answer {
    Err(Rejected::new(kind, "inside").into())
}

/// Without jitter, so that every wait is known: 100 ms, 200 ms, 400 ms.
fn plain() -> RetryBuilder {
    Retry::builder().jitter(Jitter::None)
}

/// A service that gives the answers of a script one after the other, and the last one for ever; and notes when it was
/// called.
#[derive(Clone)]
struct Script {
    answers: Arc<Vec<Answer>>,
    calls: Arc<Mutex<Vec<Instant>>>,
}

impl Script {
    fn new(answers: impl Into<Vec<Answer>>) -> Self {
        Self {
            answers: Arc::new(answers.into()),
            calls: Arc::default(),
        }
    }

    fn calls(&self) -> usize {
        self.calls.lock().expect("no panic").len()
    }

    /// How long after the call before each call came, in milliseconds.
    fn waits(&self) -> Vec<u64> {
        let calls = self.calls.lock().expect("no panic");
        calls
            .windows(2)
            .map(|two| (two[1] - two[0]).as_millis() as u64)
            .collect()
    }
}

impl Service<()> for Script {
    type Response = u32;
    type Error = Error<&'static str>;
    type Future = Ready<Answer>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (): ()) -> Self::Future {
        let mut calls = self.calls.lock().expect("no panic");
        calls.push(clock::now());
        ready(
            self.answers
                .get(calls.len() - 1)
                .or(self.answers.last())
                .expect("an answer")
                .clone(),
        )
    }
}

/// One call through a retry with these options.
async fn called(options: RetryBuilder, script: &Script) -> (Answer, Snapshot) {
    let retry = options.build().expect("valid");
    let answer = retry.layer().layer(script.clone()).oneshot(()).await;
    (answer, retry.snapshot())
}
