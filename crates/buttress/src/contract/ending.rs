//! What is left of a call that does not end well: nothing.

use std::{
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    task::Poll,
};

use tokio_test::{assert_pending, task};

use super::{
    case::{Case, answered, through},
    inner::{Manner, Readiness},
};

/// In each of the four places; again in the second attempt, where there is one.
pub(super) async fn a_panic_leaves_nothing_behind(case: Case) {
    let well = (Readiness::Open, Manner::Answers);
    for (place, (readiness, manner)) in [
        ("poll_ready", (Readiness::Panics, Manner::Answers)),
        ("call", (Readiness::Open, Manner::PanicsInCall)),
        ("the future", (Readiness::Open, Manner::PanicsInFuture)),
        ("the body", (Readiness::Open, Manner::PanicsInBody)),
    ] {
        for is_first in [true, false] {
            let place = format!("a panic in {place}, in the first attempt: {is_first}");
            let has_body = case.has_body().await;
            if manner == Manner::PanicsInBody && !has_body {
                continue;
            }
            case.world.set_manner(manner);
            if is_first {
                case.world.set_readiness(readiness);
            } else {
                case.world.set_next(Manner::Fails);
            }
            let mut service = case.service();
            let ended = caught(through(&mut *service)).await;
            drop(service);
            if is_first {
                assert_eq!(ended.is_err(), !case.known.catches, "{place}: it unwinds");
            }
            if let (true, Ok(ended)) = (is_first, ended) {
                let is_error = ended.as_ref().map_or(true, |status| *status >= 500);
                assert!(is_error, "{place} is an error: {ended:?}");
            }
            case.world.set_readiness(well.0);
            case.world.set_manner(well.1);
            case.assert_as_new(&place).await;
        }
    }
}

/// Wherever it is: waiting for readiness, not polled at all, waiting for the answer.
pub(super) async fn a_call_that_is_dropped_leaves_nothing_behind(case: Case) {
    for _ in 0..20 {
        case.world.set_readiness(Readiness::Shut);
        let mut service = case.service();
        let mut call = task::spawn(through(&mut *service));
        assert_pending!(call.poll());
        drop(call);
        drop(service);
        case.world.set_readiness(Readiness::Open);
        case.assert_idle("a call that was waiting for readiness");

        let mut service = case.service();
        let mut task = task::spawn(());
        assert!(task.enter(|cx, _| service.poll_ready(cx)).is_ready());
        drop(service.call());
        drop(service);
        case.assert_idle("a call that was never polled");

        case.world.set_manner(Manner::Holds);
        let before = case.cancelled();
        let mut service = case.service();
        let mut call = task::spawn(through(&mut *service));
        assert_pending!(call.poll());
        drop(call);
        drop(service);
        case.assert_idle("a call that was waiting for its answer");
        for ((who, before), (_, after)) in before.into_iter().zip(case.cancelled()) {
            assert_eq!(after - before, 1, "{who}: calls cancelled");
        }
        case.world.release();
    }
    case.assert_as_new("calls that were dropped").await;
}

/// Unread, and with a frame read.
pub(super) async fn a_body_that_is_dropped_leaves_nothing_behind(case: Case) {
    case.world.set_manner(Manner::HoldsBody);
    for _ in 0..20 {
        let answer = answered(&mut *case.service()).await.expect("an answer");
        drop(answer);
        case.assert_idle("a body that was not read");

        let mut answer = answered(&mut *case.service()).await.expect("an answer");
        if answer.body.is_some() {
            assert_pending!(task::spawn(answer.read()).poll());
        }
        drop(answer);
        case.assert_idle("a body that was read in part");
    }
    case.world.set_manner(Manner::Answers);
    case.assert_as_new("bodies that were dropped").await;
}

/// What comes of it, or that it panicked. Then it is dropped, as the task that it is part of is.
async fn caught<T>(call: impl Future<Output = T>) -> Result<T, ()> {
    let mut call = pin!(call);
    poll_fn(|cx| {
        let polled = catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(cx)));
        polled.map_or(Poll::Ready(Err(())), |polled| polled.map(Ok))
    })
    .await
}

impl Case {
    async fn has_body(&self) -> bool {
        let answer = answered(&mut *self.service()).await.expect("an answer");
        answer.body.is_some()
    }
}
