use std::future::{pending, poll_fn, ready};

use tokio_test::{assert_pending, assert_ready, assert_ready_ok, task};
use tower_layer::Layer;
use tower_test::{assert_request_eq, mock};

use super::*;
use crate::{
    registry::{Drill, Policy, PolicyChanged, Registry},
    timeout::{Snapshot, Timeout, TimeoutLayer},
    value::Value,
};

fn timeout(attempt: u64) -> Timeout {
    Timeout::after(millis(attempt))
        .name("api")
        .build()
        .expect("valid limits")
}

#[tokio::test(start_paused = true)]
async fn an_attempt_ends_at_its_limit_and_not_before() {
    let timeout = timeout(2000);
    let (mut service, mut handle) = mock::spawn_layer::<u32, &str, _>(timeout.layer());
    handle.allow(1);
    assert_ready_ok!(service.poll_ready());
    let mut call = task::spawn(service.call(7));
    assert_pending!(call.poll());
    let _unanswered = assert_request_eq!(handle, 7);
    pass(1999).await;
    assert!(!call.is_woken());
    assert_pending!(call.poll());
    pass(1).await;
    assert!(call.is_woken());
    let result = assert_ready!(call.poll());
    assert_eq!(refusal(result), timed_out("api"));
    assert_eq!(timeout.snapshot(), Snapshot::of("api".into(), [1, 0, 0, 0]));
    assert_eq!(timeout.ledger.totals(), timeout.snapshot());
}

#[tokio::test(start_paused = true)]
async fn an_answer_at_the_last_moment_is_taken() {
    let timeout = timeout(2000);
    let (mut service, mut handle) = mock::spawn_layer::<u32, &str, _>(timeout.layer());
    handle.allow(1);
    assert_ready_ok!(service.poll_ready());
    let mut call = task::spawn(service.call(7));
    assert_pending!(call.poll());
    pass(2000).await;
    assert_request_eq!(handle, 7).send_response("just so");
    assert_eq!(assert_ready_ok!(call.poll()), "just so");
    assert_eq!(timeout.snapshot(), Snapshot::of(timeout.name(), [0; 4]));
}

#[tokio::test(start_paused = true)]
async fn errors_and_readiness_are_the_services_own() {
    let (mut service, mut handle) = mock::spawn_layer::<u32, &str, _>(timeout(10).layer());
    handle.allow(0);
    assert_pending!(service.poll_ready());
    pass(1000).await;
    handle.allow(1);
    assert_ready_ok!(service.poll_ready(), "waiting for readiness is not limited");
    let mut call = task::spawn(service.call(7));
    assert_pending!(call.poll());
    assert_request_eq!(handle, 7).send_error("out of paper");
    let error = assert_ready!(call.poll()).expect_err("its error");
    assert_eq!(error.to_string(), "out of paper");
}

#[tokio::test(start_paused = true)]
async fn what_was_waited_for_is_dropped_in_the_same_poll() {
    let probe = Probe::default();
    let mut call = task::spawn(timeout(2000).layer().layer(probe.clone()).call(()));
    assert_pending!(call.poll());
    pass(2000).await;
    assert_eq!(probe.calls_and_dropped(), (1, 0));
    let first = assert_ready!(call.poll());
    assert_eq!(probe.calls_and_dropped(), (1, 1), "the call is still held");
    assert_eq!(refusal(first), timed_out("api"));
    assert_eq!(
        refusal(assert_ready!(call.poll())),
        timed_out("api"),
        "said again"
    );
    drop(call);
    assert_eq!(probe.calls_and_dropped(), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn dropping_the_call_at_any_point_leaves_nothing() {
    for polls in 0..3 {
        let probe = Probe::default();
        let mut call = Box::pin(timeout(2000).layer().layer(probe.clone()).call(()));
        let mut task = task::spawn(());
        for _ in 0..polls {
            assert_pending!(task.enter(|cx, _| call.as_mut().poll(cx)));
        }
        pass(1000).await;
        drop(call);
        assert_eq!(probe.calls_and_dropped(), (1, 1));
        pass(10_000).await;
        assert!(!task.is_woken(), "a timer survived");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_leaves_no_timer_even_if_the_future_is_kept() {
    let (mut service, mut handle) = mock::spawn_layer::<u32, &str, _>(timeout(2000).layer());
    handle.allow(1);
    assert_ready_ok!(service.poll_ready());
    let mut call = task::spawn(service.call(7));
    assert_pending!(call.poll());
    assert_request_eq!(handle, 7).send_response("well");
    assert_ready_ok!(call.poll());
    pass(10_000).await;
    assert!(!call.is_woken());
}

/// Outside of a runtime any timer would panic.
#[test]
fn no_timer_is_made_for_an_answer_that_is_there() {
    let mut call = task::spawn(timeout(2000).layer().layer(Probe::answering()).call(()));
    assert_eq!(assert_ready_ok!(call.poll()), "well");
    let mut call = task::spawn(Timeout::new().layer().layer(Probe::default()).call(()));
    assert_pending!(call.poll(), "without a limit there is no timer either");
}

#[tokio::test(start_paused = true)]
async fn the_deadline_of_the_call_ends_the_attempt_if_it_comes_first() {
    for (attempt, left, ends) in [(2000, 500, 500), (500, 2000, 500), (700, 700, 700), (0, 600, 600)] {
        let timeout = Timeout::builder()
            .name("api")
            .attempt((attempt > 0).then(|| millis(attempt)));
        let timeout = timeout.build().expect("valid limits");
        let context = context_until(clock::now() + millis(left));
        let call = context.sync_scope(|| timeout.layer().layer(Probe::default()).call(()));
        let mut call = task::spawn(call);
        // The time runs from the call where the call has looked at the clock.
        pass(100).await;
        assert_pending!(call.poll());
        pass(ends - 101).await;
        assert_pending!(call.poll());
        pass(1).await;
        assert_eq!(refusal(assert_ready!(call.poll())), timed_out("api"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_deadline_has_passed_is_not_made() {
    let timeout = timeout(2000);
    let probe = Probe::answering();
    for late in [0, 1, 5000] {
        let context = context_until(clock::now());
        pass(late).await;
        let mut call = task::spawn(context.sync_scope(|| timeout.layer().layer(probe.clone()).call(())));
        let error = assert_ready!(call.poll()).expect_err("too late");
        let verdict = error.rejected().map(|r| r.verdict());
        assert_eq!(verdict, Some(crate::Verdict::Neutral));
        assert_eq!(refusal::<(), _>(Err(error)), expired("api"));
    }
    assert_eq!(probe.calls_and_dropped(), (0, 0));
    assert_eq!(timeout.snapshot().deadline_expired, 3);
}

/// An inner future that always has work to do uses up the cooperative budget in each of its polls. Were the timer
/// asked within that budget, it would never answer.
#[tokio::test(start_paused = true)]
async fn a_future_that_uses_up_the_budget_is_ended_too() {
    let busy = poll_fn(|cx| {
        while tokio::task::coop::has_budget_remaining() {
            let mut work = std::pin::pin!(tokio::task::consume_budget());
            let _ = work.as_mut().poll(cx);
        }
        Poll::<Result<(), Infallible>>::Pending
    });
    let timeout = timeout(2000);
    let mut call = Box::pin(timeout.call(busy));
    poll_fn(|cx| {
        assert_pending!(call.as_mut().poll(cx));
        assert!(!tokio::task::coop::has_budget_remaining());
        Poll::Ready(())
    })
    .await;
    pass(2000).await;
    poll_fn(|cx| {
        assert_eq!(refusal(assert_ready!(call.as_mut().poll(cx))), timed_out("api"));
        Poll::Ready(())
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_future_is_limited_without_a_service() {
    let timeout = timeout(2000);
    let began = clock::now();
    let result: Result<(), Error<&str>> = timeout.call(pending()).await;
    assert_eq!(refusal(result), timed_out("api"));
    assert_eq!(began.elapsed(), millis(2000));
    assert_eq!(timeout.call(ready(Ok::<_, &str>(7))).await, Ok(7));
    assert_eq!(
        timeout.call(ready(Err::<(), _>("no"))).await,
        Err(Error::Inner("no"))
    );
    let late = context_until(clock::now()).scope(async { timeout.call(ready(Ok::<_, &str>(7))).await });
    assert_eq!(refusal(late.await), expired("api"));
}

#[test]
fn limits_that_make_no_sense_are_refused_all_at_once() {
    let error = Timeout::after(Duration::ZERO)
        .body_idle(Duration::ZERO)
        .body_total(Duration::MAX)
        .build()
        .expect_err("three problems");
    let keys: Vec<_> = error.problems().iter().map(|p| p.key().to_owned()).collect();
    assert_eq!(keys, ["attempt", "body_idle", "body_total"]);
    assert!(Timeout::after(Duration::from_nanos(1)).build().is_ok());
    assert!(
        Timeout::after(Duration::from_secs(365 * 24 * 3600))
            .build()
            .is_ok()
    );
}

#[tokio::test(start_paused = true)]
async fn a_change_at_run_time_is_for_calls_that_begin_after_it() {
    let timeout = timeout(2000);
    let registry = Registry::new();
    registry.register("api", &timeout);
    let mut events = registry.subscribe();
    let mut service = timeout.layer().layer(Probe::default());
    let mut before = task::spawn(service.call(()));
    assert_pending!(before.poll());

    timeout
        .reconfigure(timeout.options().attempt(Duration::ZERO))
        .expect_err("nothing is changed");
    assert_eq!(timeout.options().attempt, Some(millis(2000)));
    assert!(events.try_next().is_none());
    timeout
        .reconfigure(timeout.options().attempt(millis(500)))
        .expect("valid limits");
    let event = events.try_next().expect("an event").expect("not lagged");
    assert!(event.detail::<PolicyChanged>().is_some());

    let mut after = task::spawn(service.call(()));
    assert_pending!(after.poll());
    pass(500).await;
    assert_pending!(before.poll());
    assert_eq!(refusal(assert_ready!(after.poll())), timed_out("api"));

    timeout
        .reconfigure(timeout.options().attempt(None))
        .expect("off is valid");
    let mut unlimited = task::spawn(service.call(()));
    assert_pending!(unlimited.poll());
    pass(1500).await;
    assert_ready!(before.poll()).expect_err("under the old limit");
    pass(1_000_000).await;
    assert_pending!(unlimited.poll());
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_is_off_limits_nothing() {
    let context = context_until(clock::now());
    let layer = TimeoutLayer::new(None, crate::Plain::new());
    let mut call = task::spawn(context.sync_scope(|| layer.layer(Probe::default()).call(())));
    assert_pending!(call.poll());
    pass(1_000_000).await;
    assert_pending!(call.poll());
}

#[tokio::test(start_paused = true)]
async fn a_call_that_outlives_its_policy_still_bears_its_name() {
    let mut call = task::spawn(timeout(10).layer().layer(Probe::default()).call(()));
    assert_pending!(call.poll());
    pass(10).await;
    assert_eq!(refusal(assert_ready!(call.poll())), timed_out("api"));
}

#[tokio::test(start_paused = true)]
async fn the_registry_shows_limits_and_counts() {
    let registry = Registry::new();
    let timeout = timeout(2500);
    registry.register("api", &timeout);
    let _ = timeout.call(pending::<Result<(), Infallible>>()).await;
    let shown = |path: &[&str]| registry.snapshot().at(path).cloned();
    assert_eq!(
        shown(&["api", "timeout", "attempt"]),
        Some(Value::from("2s500ms"))
    );
    assert_eq!(shown(&["api", "timeout", "bodyIdle"]), Some(Value::Null));
    assert_eq!(shown(&["api", "timeout", "timedOut"]), Some(Value::UInt(1)));
    registry.drill("api", &Drill::Reset).expect("understood");
    assert_eq!(shown(&["api", "timeout", "timedOut"]), Some(Value::UInt(0)));
    assert_eq!(
        timeout.ledger.totals().timed_out,
        1,
        "an exporter's counter never falls"
    );
    assert!(timeout.drill(&Drill::Open).is_err());
    assert_eq!(&*Timeout::new().name(), "timeout");
}
