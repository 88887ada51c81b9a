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
    Error, Outcome, Plain, Rejected, RejectionKind, clock,
    outcome::Reason,
    test_services::{Answer, BUSY, Script, ms, rejected},
};

mod attempts;
mod cancelled;
mod cost;
mod limits;
mod model;
mod nested;
mod options;
#[cfg(feature = "circuit-breaker")]
mod outages;
#[cfg(feature = "tower-retry")]
mod tower_layer;
#[cfg(feature = "http")]
mod wire;

/// Without jitter, so that every wait is known: 100 ms, 200 ms, 400 ms.
fn plain() -> RetryBuilder {
    Retry::builder().jitter(Jitter::None)
}

/// One call through a retry with these options.
async fn called(options: RetryBuilder, script: &Script) -> (Answer, Snapshot) {
    let retry = options.build().expect("valid");
    let answer = retry.layer().layer(script.clone()).oneshot(()).await;
    (answer, retry.snapshot())
}
