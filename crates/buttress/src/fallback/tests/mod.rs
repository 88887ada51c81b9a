//! Services that fail as told, and count what becomes of their calls.

mod answers;
mod conditions;
mod cost;
#[cfg(feature = "http")]
mod file;
mod model;
#[cfg(all(
    feature = "circuit-breaker",
    feature = "metrics",
    feature = "recover",
    feature = "timeout"
))]
mod neighbours;
mod other;
#[cfg(feature = "http")]
mod requests;
mod running;
#[cfg(feature = "http")]
mod wire;

use std::{
    future::{Ready, ready},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio_test::{assert_pending, assert_ready, task};
use tower::{Layer, Service, ServiceExt, service_fn};

use super::*;
use crate::{Error, Outcome, Plain, Rejected, RejectionKind, Verdict, outcome::Reason};

type Failure = Error<&'static str>;
type Said = Result<&'static str, Failure>;

const BROKEN: Said = Err(Error::Inner("broken"));

const KINDS: [RejectionKind; 10] = [
    RejectionKind::CircuitOpen,
    RejectionKind::RateLimited,
    RejectionKind::QueueFull,
    RejectionKind::QueueTimeout,
    RejectionKind::DeadlineExpired,
    RejectionKind::TimedOut,
    RejectionKind::Panicked,
    RejectionKind::NoEndpoint,
    RejectionKind::Shed,
    RejectionKind::Custom,
];

fn rejected(kind: RejectionKind) -> Failure {
    Rejected::new(kind, "inside").into()
}

/// A service that says that to every call.
fn saying(
    said: Said,
) -> impl Service<(), Response = &'static str, Error = Failure, Future = Ready<Said>> + Clone {
    service_fn(move |()| ready(said.clone()))
}

/// What comes out of a call that ended so.
async fn after<A>(options: FallbackBuilder<A>, said: Said) -> (Said, Snapshot)
where
    A: Answer<(), &'static str, Failure, Response = &'static str>,
{
    let fallback = options.build().expect("valid");
    let answer = fallback.layer().layer(saying(said)).oneshot(()).await;
    (answer, fallback.snapshot())
}

/// The causes that were counted, each with how often.
fn causes(snapshot: &Snapshot) -> Vec<(&'static str, u64)> {
    snapshot
        .answered_for
        .iter()
        .copied()
        .filter(|(_, n)| *n > 0)
        .collect()
}

/// Something of which it is known how many there are.
#[derive(Debug, Default)]
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn by(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, SeqCst);
        Self(count.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}
