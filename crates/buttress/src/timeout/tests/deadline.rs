use std::future::{pending, ready};

use tokio_test::{assert_pending, assert_ready, assert_ready_ok, task};
use tower::{ServiceBuilder, service_fn};
use tower_layer::Layer;

use super::*;
use crate::{
    registry::{Drill, Policy, Registry},
    timeout::{Deadline, DeadlineLayer, Timeout},
    value::Value,
};

fn deadline(total: u64) -> Deadline {
    Deadline::after(millis(total))
        .name("total")
        .build()
        .expect("valid limits")
}

fn attempt(time: u64) -> Timeout {
    Timeout::after(millis(time))
        .name("attempt")
        .build()
        .expect("valid limits")
}

#[tokio::test(start_paused = true)]
async fn a_call_ends_at_its_deadline_and_not_before() {
    let (deadline, probe) = (deadline(3000), Probe::default());
    let mut call = task::spawn(deadline.layer().layer(probe.clone()).call(()));
    // From the call, not from the first poll.
    pass(1000).await;
    assert_pending!(call.poll());
    pass(1999).await;
    assert_pending!(call.poll());
    pass(1).await;
    assert!(call.is_woken());
    assert_eq!(refusal(assert_ready!(call.poll())), timed_out("total"));
    assert_eq!(probe.calls_and_dropped(), (1, 1), "dropped in the same poll");
    assert_eq!(deadline.snapshot().timed_out, 1);
}

#[tokio::test(start_paused = true)]
async fn everything_further_in_knows_the_deadline() {
    let inner = service_fn(|()| {
        let in_call = time_left();
        async move {
            tokio::task::yield_now().await;
            pass(100).await;
            Ok::<_, Refusal>((in_call, time_left()))
        }
    });
    let mut service = deadline(3000).layer().layer(inner);
    let seen = service.call(()).await.expect("in time");
    assert_eq!(seen, (Some(millis(3000)), Some(millis(2900))));
    assert_eq!(time_left(), None, "and nothing further out");
}

#[tokio::test(start_paused = true)]
async fn the_context_that_is_there_is_kept_and_only_its_deadline_comes_nearer() {
    let inner = || service_fn(|()| async { Ok::<_, Refusal>(CallContext::current()) });
    for (known, left) in [(None, 3000), (Some(9000), 3000), (Some(1000), 1000)] {
        let mut context = CallContext::new();
        context.set_attempt(7);
        if let Some(known) = known {
            context.limit_deadline(clock::now() + millis(known));
        }
        let tally = context.tally().clone();
        let call = context
            .clone()
            .sync_scope(|| deadline(3000).layer().layer(inner()).call(()));
        let seen = context.scope(call).await.expect("in time").expect("a context");
        assert_eq!(seen.attempt(), 7);
        assert!(
            Arc::ptr_eq(seen.tally(), &tally),
            "what is learnt still flows outward"
        );
        assert_eq!(seen.deadline(), Some(clock::now() + millis(left)));
    }
}

#[tokio::test(start_paused = true)]
async fn the_smaller_of_attempt_and_deadline_ends_an_attempt() {
    for (total, limit, after, by) in [(3000, 1000, 1000, "attempt"), (1000, 3000, 1000, "attempt")] {
        let began = clock::now();
        let (total, limit) = (deadline(total), attempt(limit));
        let mut service = ServiceBuilder::new()
            .layer(total.layer())
            .layer(limit.layer())
            .service(Probe::default());
        // Where both end at once it is the inner one that says so: then a breaker between them hears of it.
        assert_eq!(refusal(service.call(()).await), timed_out(by));
        assert_eq!(began.elapsed(), millis(after));
        assert_eq!((total.snapshot().timed_out, limit.snapshot().timed_out), (0, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn attempts_share_the_deadline_and_the_last_gets_what_is_left() {
    let (total, limit, probe) = (deadline(2500), attempt(1000), Probe::default());
    let attempts = limit.layer().layer(probe.clone());
    let retry = service_fn(move |()| {
        let mut attempts = attempts.clone();
        async move {
            for _ in 0..9 {
                match attempts.call(()).await {
                    Err(Error::Rejected(r)) if r.kind() == RejectionKind::TimedOut => {}
                    other => return other,
                }
            }
            panic!("it never ends")
        }
    });
    let began = clock::now();
    let result = total.layer().layer(retry).call(()).await;
    assert_eq!(
        refusal(result),
        expired("attempt"),
        "the fourth would begin at the deadline"
    );
    assert_eq!(began.elapsed(), millis(2500));
    assert_eq!(probe.calls_and_dropped(), (3, 3));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_comes_too_late_is_not_made() {
    let (deadline, probe) = (deadline(3000), Probe::answering());
    let late = context_until(clock::now());
    let mut call = task::spawn(late.sync_scope(|| deadline.layer().layer(probe.clone()).call(())));
    assert_eq!(refusal(assert_ready!(call.poll())), expired("total"));
    assert_eq!(probe.calls_and_dropped(), (0, 0));
    assert_eq!(deadline.snapshot().deadline_expired, 1);
}

/// Outside of a runtime any timer would panic.
#[test]
fn no_timer_is_made_for_an_answer_that_is_there() {
    let mut call = task::spawn(deadline(3000).layer().layer(Probe::answering()).call(()));
    assert_eq!(assert_ready_ok!(call.poll()), "well");
    let mut call = task::spawn(Deadline::new().layer().layer(Probe::default()).call(()));
    assert_pending!(call.poll(), "without a deadline there is no timer either");
}

#[tokio::test(start_paused = true)]
async fn dropping_the_call_at_any_point_leaves_nothing() {
    for polls in 0..3 {
        let probe = Probe::default();
        let mut call = Box::pin(deadline(2000).layer().layer(probe.clone()).call(()));
        let mut task = task::spawn(());
        for _ in 0..polls {
            assert_pending!(task.enter(|cx, _| call.as_mut().poll(cx)));
        }
        drop(call);
        assert_eq!(probe.calls_and_dropped(), (1, 1));
        pass(10_000).await;
        assert!(!task.is_woken(), "a timer survived");
    }
}

#[tokio::test(start_paused = true)]
async fn a_future_gets_a_deadline_without_a_service() {
    let deadline = deadline(3000);
    let attempt = attempt(5000);
    let began = clock::now();
    let result: Result<(), Error<Error<&str>>> = deadline.call(attempt.call(pending())).await;
    // `call` was asked outside of the deadline's scope: only the deadline ends this one.
    assert_eq!(refusal(result), timed_out("total"));
    let inner: Result<(), _> = deadline
        .call(async { attempt.call(pending::<Result<(), &str>>()).await })
        .await;
    let Err(Error::Inner(Error::Rejected(rejected))) = inner else {
        panic!("the inner one knows the deadline: {inner:?}");
    };
    assert_eq!(rejected.policy(), "attempt");
    assert_eq!(began.elapsed(), millis(6000));
    assert_eq!(deadline.call(ready(Ok::<_, &str>(7))).await, Ok(7));

    let probe = Probe::answering();
    let mut service = probe.clone();
    let late = context_until(clock::now());
    let call = late.sync_scope(|| deadline.call(async move { Service::<()>::call(&mut service, ()).await }));
    assert_eq!(refusal(call.await), expired("total"));
    assert_eq!(probe.calls_and_dropped(), (0, 0));
}

#[test]
fn limits_that_make_no_sense_are_refused_all_at_once() {
    let keys = |options: super::super::DeadlineBuilder| -> Vec<String> {
        let error = options.build().expect_err("a problem");
        error.problems().iter().map(|p| p.key().to_owned()).collect()
    };
    let zero = Deadline::after(Duration::ZERO).default_total(Duration::MAX);
    assert_eq!(keys(zero), ["total", "default_total", "default_total"]);
    let above = Deadline::after(millis(10)).default_total(millis(11));
    assert_eq!(keys(above), ["default_total"]);
    assert!(Deadline::builder().default_total(millis(11)).build().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_default_is_for_calls_that_have_no_deadline() {
    let deadline = Deadline::after(millis(3000))
        .default_total(millis(1000))
        .build()
        .expect("valid limits");
    let mut service = deadline
        .layer()
        .layer(service_fn(|()| async { Ok::<_, Refusal>(time_left()) }));
    assert_eq!(service.call(()).await, Ok(Some(millis(1000))));
    for (known, left) in [(2000, 2000), (5000, 3000)] {
        let context = context_until(clock::now() + millis(known));
        let call = context.clone().sync_scope(|| service.call(()));
        assert_eq!(context.scope(call).await, Ok(Some(millis(left))));
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_at_run_time_is_for_calls_that_begin_after_it() {
    let deadline = deadline(3000);
    let mut service = deadline
        .layer()
        .layer(service_fn(|()| async { Ok::<_, Refusal>(time_left()) }));
    let before = service.call(());
    deadline
        .reconfigure(deadline.options().total(Duration::ZERO))
        .expect_err("nothing is changed");
    let options = deadline.options().total(millis(500)).default_total(millis(200));
    deadline.reconfigure(options.clone()).expect("valid limits");
    assert_eq!(deadline.options(), options);
    assert_eq!(before.await, Ok(Some(millis(3000))));
    assert_eq!(service.call(()).await, Ok(Some(millis(200))));
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_is_off_sets_and_ends_nothing() {
    let layer = DeadlineLayer::new(None, crate::Plain::new());
    let late = context_until(clock::now());
    let mut call = task::spawn(late.sync_scope(|| layer.layer(Probe::default()).call(())));
    assert_pending!(call.poll());
    let mut service = layer.layer(service_fn(|()| async { Ok::<_, Refusal>(time_left()) }));
    assert_eq!(service.call(()).await, Ok(None));
}

#[tokio::test(start_paused = true)]
async fn the_registry_shows_limits_and_counts() {
    let registry = Registry::new();
    let deadline = deadline(90_000);
    registry.register("api", &deadline);
    registry.register("api", &attempt(1000));
    let _ = deadline.call(pending::<Result<(), Infallible>>()).await;
    let shown = |path: &[&str]| registry.snapshot().at(path).cloned();
    assert_eq!(shown(&["api", "deadline", "total"]), Some(Value::from("1m30s")));
    assert_eq!(shown(&["api", "deadline", "timedOut"]), Some(Value::UInt(1)));
    assert_eq!(shown(&["api", "timeout", "timedOut"]), Some(Value::UInt(0)));
    registry.drill("api", &Drill::Reset).expect("understood");
    assert_eq!(shown(&["api", "deadline", "timedOut"]), Some(Value::UInt(0)));
    assert_eq!(deadline.ledger.totals().timed_out, 1);
    assert_eq!(Deadline::new().concern(), "deadline");
}
