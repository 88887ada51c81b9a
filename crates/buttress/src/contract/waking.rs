//! Who wakes whom.

use tokio_test::{assert_pending, assert_ready, task};

use super::{
    case::{Case, answered, through},
    inner::{Manner, Readiness},
};

/// As long as nothing happens and no time passes, a task that waits is left asleep.
pub(super) async fn a_task_that_waits_is_left_asleep(case: Case) {
    for (readiness, manner) in [
        (Readiness::Shut, Manner::Answers),
        (Readiness::Open, Manner::Holds),
    ] {
        case.world.set_readiness(readiness);
        case.world.set_manner(manner);
        let mut service = case.service();
        let mut call = task::spawn(through(&mut *service));
        for poll in 0..10 {
            assert_pending!(call.poll());
            assert!(
                !call.is_woken(),
                "by itself, at poll {poll}, {readiness:?} {manner:?}"
            );
        }
        case.world.set_readiness(Readiness::Open);
        case.world.release();
        assert!(call.is_woken(), "by the service inside, {readiness:?} {manner:?}");
        assert_eq!(assert_ready!(call.poll()), Ok(200));
    }
    case.assert_as_new("waiting").await;
}

/// The same of a body of which more is to come.
pub(super) async fn a_task_that_reads_is_left_asleep(case: Case) {
    case.world.set_manner(Manner::HoldsBody);
    let mut answer = answered(&mut *case.service()).await.expect("an answer");
    if answer.body.is_some() {
        let mut read = task::spawn(answer.read());
        for poll in 0..10 {
            assert_pending!(read.poll());
            assert!(!read.is_woken(), "by itself, at poll {poll} of the body");
        }
    }
    drop(answer);
    case.world.set_manner(Manner::Answers);
    case.assert_as_new("reading").await;
}

/// A wake-up is neither lost nor given to one for all: each task that waits is polled only when it is woken.
pub(super) async fn all_who_wait_are_woken(case: Case) {
    const TASKS: usize = 8;
    case.world.set_readiness(Readiness::Shut);
    let mut services: Vec<_> = (0..TASKS).map(|_| case.service()).collect();
    let calls = services
        .iter_mut()
        .map(|service| task::spawn(through(&mut **service)));
    let mut calls: Vec<_> = calls.map(Some).collect();
    for call in calls.iter_mut().flatten() {
        assert_pending!(call.poll());
    }
    case.world.set_readiness(Readiness::Open);
    let mut answered = 0;
    while let Some(slot) = calls
        .iter_mut()
        .find(|call| call.as_ref().is_some_and(|call| call.is_woken()))
    {
        let call = slot.as_mut().expect("one that is woken");
        if call.poll().is_ready() {
            answered += 1;
            *slot = None;
        }
    }
    assert_eq!(answered, TASKS, "tasks that were woken, of all that waited");
    drop(calls);
    drop(services);
    case.assert_as_new("many that waited").await;
}
