//! Who is ready, and who says so.

use std::{task::Poll, time::Duration};

use tokio_test::{assert_pending, assert_ready, task};

use super::{
    case::{Case, through},
    inner::{GONE, Manner, Readiness},
};

/// A service that is ready is an instance: with a clone of it one calls somebody who has no place.
pub(super) async fn the_instance_that_is_ready_is_called(case: Case) {
    let world = &case.world;
    let mut service = case.service();
    for call in 1..=3 {
        assert_eq!(through(&mut *service).await, Ok(200));
        assert_eq!(world.calls(), call);
        assert_eq!(world.calls_unready(), 0, "call {call} was of another instance");
    }
    // Waiting for its readiness first.
    world.set_readiness(Readiness::Shut);
    let mut call = task::spawn(through(&mut *service));
    assert_pending!(call.poll());
    world.set_readiness(Readiness::Open);
    assert!(call.is_woken());
    assert_eq!(assert_ready!(call.poll()), Ok(200));
    drop(call);
    assert_eq!(world.calls_unready(), 0, "called another than waited for");
    // Of an attempt after the first, where there is one; waiting or not.
    for readiness in [Readiness::Open, Readiness::Shut] {
        world.set_next(Manner::Fails);
        let mut call = task::spawn(through(&mut *service));
        let mut ended = call.poll().is_ready();
        world.set_readiness(readiness);
        if !ended {
            tokio::time::advance(Duration::from_millis(500)).await;
            ended = call.poll().is_ready();
        }
        world.set_readiness(Readiness::Open);
        if !ended {
            let _ = (&mut call).await;
        }
        drop(call);
        case.rest().await;
        assert_eq!(world.calls_unready(), 0, "called again another than was ready");
    }
    // And of one beside the first.
    world.set_manner(Manner::Holds);
    let mut call = task::spawn(through(&mut *service));
    assert_pending!(call.poll());
    tokio::time::advance(Duration::from_millis(500)).await;
    assert_pending!(call.poll());
    world.release();
    assert_eq!(call.await, Ok(200));
    drop(service);
    case.assert_as_new("calls of one service").await;
}

/// Whoever asks again has one place, not two, and a service that is dropped has none.
pub(super) async fn asking_again_reserves_nothing_more(case: Case) {
    let mut service = case.service();
    let mut task = task::spawn(());
    let place = usize::from(!case.known.is_ready_at_once);
    for _ in 0..10 {
        assert_eq!(
            task.enter(|cx, _| service.poll_ready(cx)),
            Poll::Ready(Ok(())),
            "the service inside is ready"
        );
        assert_eq!(case.world.places(), place, "places reserved by one service");
    }
    assert_eq!(through(&mut *service).await, Ok(200));
    assert_eq!(case.world.places(), 0, "places that are left after the call");
    assert_eq!(case.world.calls(), 1);
    // Of one that waits, then goes.
    case.world.set_readiness(Readiness::Shut);
    let mut call = task::spawn(through(&mut *service));
    for _ in 0..10 {
        assert_pending!(call.poll());
    }
    drop(call);
    case.world.set_readiness(Readiness::Open);
    let _ = task.enter(|cx, _| service.poll_ready(cx));
    drop(service);
    case.assert_as_new("a service that was ready is dropped").await;
}

/// The original's place is the original's.
pub(super) async fn a_clone_is_not_ready_because_the_original_is(case: Case) {
    let mut original = case.service();
    let mut task = task::spawn(());
    assert!(task.enter(|cx, _| original.poll_ready(cx)).is_ready());
    let mut clone = original.again();
    case.world.set_readiness(Readiness::Shut);
    let is_ready = task.enter(|cx, _| clone.poll_ready(cx)).is_ready();
    assert_eq!(is_ready, case.known.is_ready_at_once, "of the clone");
    let mut call = task::spawn(through(&mut *clone));
    assert_pending!(call.poll());
    // Whoever is ready stays so.
    assert!(task.enter(|cx, _| original.poll_ready(cx)).is_ready());
    if !case.known.is_ready_at_once {
        assert!(assert_ready!(task::spawn(original.call()).poll()).is_ok());
    }
    case.world.set_readiness(Readiness::Open);
    assert_eq!(assert_ready!(call.poll()), Ok(200));
    drop(call);
    drop((clone, original));
    case.assert_as_new("calls of an original and a clone").await;
}

/// From `poll_ready` where readiness is forwarded, else from the future; and only if there is one.
pub(super) async fn an_error_of_readiness_comes_out(case: Case) {
    let mut task = task::spawn(());
    let mut service = case.service();
    case.world.set_readiness(Readiness::Gone);
    let ready = assert_ready!(task.enter(|cx, _| service.poll_ready(cx)), "no service, no wait");
    if case.known.is_ready_at_once {
        assert_eq!(ready, Ok(()), "an error that a call is to be told");
    } else {
        let error = ready.expect_err("the service inside is gone");
        assert!(error.contains(GONE), "{error}");
    }
    drop(service);
    let error = case.call_through().await.expect_err("the service inside is gone");
    assert!(error.contains(GONE), "{error}");
    assert_eq!(case.world.calls(), 0);
    case.world.set_readiness(Readiness::Open);
    case.assert_as_new("an error of readiness").await;
}

/// An error of `poll_ready` means that the service is to be thrown away; a policy that refuses does not mean that.
pub(super) async fn a_refusal_comes_from_the_future(mut case: Case) {
    let Some(refuse) = case.known.refuse.take() else {
        return;
    };
    refuse();
    let mut service = case.service();
    let mut task = task::spawn(());
    for _ in 0..2 {
        assert_eq!(
            task.enter(|cx, _| service.poll_ready(cx)),
            Poll::Ready(Ok(())),
            "the service inside is ready"
        );
        let answer = task::spawn(service.call()).await;
        assert!(
            answer.is_err() || answer.is_ok_and(|a| a.status >= 400),
            "refused"
        );
    }
    assert_eq!(case.world.calls(), 0);
    drop(service);
    case.assert_idle("refusals");
}
