use std::{
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
    CallContext, Error, Outcome, Plain, Rejected, RejectionKind, clock,
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
mod results;
mod tail;
#[cfg(feature = "http")]
mod wire;

/// A second attempt after 100 ms, as often as there is need.
fn fixed() -> HedgeBuilder {
    Hedge::builder().after(ms(100)).budget(None)
}

/// One call through a hedge with these options: the answer, how long it took in milliseconds, the books.
async fn called(options: HedgeBuilder, script: &Script) -> (Answer, u64, Snapshot) {
    let hedge = options.build().expect("valid");
    let began = clock::now();
    let answer = hedge.layer().layer(script.clone()).oneshot(()).await;
    (answer, began.elapsed().as_millis() as u64, hedge.snapshot())
}
