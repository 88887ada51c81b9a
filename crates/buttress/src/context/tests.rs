use std::time::Duration;

use super::*;

#[test]
fn a_deadline_only_comes_nearer() {
    let now = crate::clock::now();
    let mut context = CallContext::new();
    context.limit_deadline(now + Duration::from_secs(2));
    context.limit_deadline(now + Duration::from_secs(5));
    assert_eq!(context.deadline(), Some(now + Duration::from_secs(2)));
    context.limit_deadline(now + Duration::from_secs(1));
    assert_eq!(context.deadline(), Some(now + Duration::from_secs(1)));
}

#[test]
fn copies_are_apart_inward_and_one_outward() {
    let first = CallContext::new();
    let mut second = first.clone();
    second.set_attempt(2);
    second.tally().add_attempt();
    second.tally().add_queued(Duration::from_millis(3));
    assert_eq!(first.attempt(), 1);
    assert_eq!(first.tally().attempts(), 1);
    assert_eq!(first.tally().queued(), Duration::from_millis(3));
}

#[test]
fn a_nested_call_has_a_tally_of_its_own_that_adds_to_the_outer_one() {
    let mut outer = CallContext::new();
    outer.limit_deadline(crate::clock::now() + Duration::from_secs(1));
    outer.set_attempt(2);
    let (one, other) = (outer.nested(), outer.nested());
    one.tally().add_attempt();
    other.tally().add_attempt();
    other.tally().add_queued(Duration::from_millis(3));
    assert_eq!((one.tally().attempts(), outer.tally().attempts()), (1, 2));
    assert_eq!(outer.tally().queued(), Duration::from_millis(3));
    assert_eq!((one.attempt(), one.is_repeated()), (1, true));
    assert_eq!(one.deadline(), outer.deadline());
}

#[test]
fn what_goes_on_by_itself_keeps_the_trace_alone() {
    let mut call = CallContext::new();
    call.set_trace(Trace::new());
    call.limit_deadline(crate::clock::now());
    let detached = call.detached();
    assert_eq!(detached.trace(), call.trace());
    assert_eq!(detached.deadline(), None);
    detached.tally().add_attempt();
    assert_eq!(call.tally().attempts(), 0);
}

#[test]
fn a_copy_may_be_moved_to_another_place_in_a_trace() {
    let mut first = CallContext::new();
    let here = Trace::new();
    first.set_trace(here.clone());
    let mut second = first.clone();
    second.set_trace(here.child());
    second.tally().add_attempt();
    assert_eq!((first.trace(), first.tally().attempts()), (Some(&here), 1));
    let moved = second.trace().cloned();
    assert_eq!(moved.as_ref().and_then(Trace::parent), Some(here.span()));
    assert_eq!(
        (second.nested().trace(), second.detached().trace()),
        (moved.as_ref(), moved.as_ref())
    );
    drop(first);
    second.set_trace(here.clone());
    assert_eq!(second.trace(), Some(&here));
}

#[test]
fn a_context_is_small() {
    assert!(size_of::<Trace>() <= 48 && size_of::<CallContext>() <= 40);
    assert_eq!(size_of::<Option<CallContext>>(), size_of::<CallContext>());
}

#[test]
fn a_scope_that_panics_is_left() {
    let result = std::panic::catch_unwind(|| CallContext::new().sync_scope(|| panic!("inside")));
    assert!(result.is_err() && CallContext::current().is_none());
}

#[test]
fn an_attempt_is_seen_without_a_scope() {
    let is_repeated = || Surroundings::look().is_repeated;
    assert!(CallContext::current().is_none() && !is_repeated());
    let first = InAttempt::enter(1);
    assert_eq!(
        CallContext::current().map(|c| (c.attempt(), c.is_repeated())),
        Some((1, true))
    );
    let second = InAttempt::enter(2);
    assert_eq!(CallContext::current().map(|c| c.attempt()), Some(2));
    drop(second);
    assert_eq!(CallContext::current().map(|c| c.attempt()), Some(1));
    assert!(is_repeated());
    drop(first);
    assert!(CallContext::current().is_none() && !is_repeated());
}

#[test]
fn a_hedge_is_seen_without_a_scope_and_through_a_retry() {
    let seen = || {
        let around = Surroundings::look();
        (around.attempt, around.is_repeated, around.is_hedged)
    };
    assert_eq!(seen(), (1, false, false));
    let retry = InAttempt::enter(2);
    assert_eq!(seen(), (2, true, false));
    let hedge = InAttempt::enter_hedged(3);
    assert_eq!(seen(), (3, true, true));
    let inner = InAttempt::enter(1);
    assert_eq!(seen(), (1, true, true));
    assert!(CallContext::current().is_some_and(|c| c.is_hedged()));
    drop(inner);
    drop(hedge);
    assert_eq!(seen(), (2, true, false));
    drop(retry);
    assert_eq!(seen(), (1, false, false));
}

#[test]
fn the_first_attempt_is_noted_once() {
    let context = CallContext::new();
    context.tally().add_first_attempt();
    context.tally().add_first_attempt();
    context.tally().add_attempt();
    assert_eq!(context.tally().attempts(), 2);
}

#[test]
fn attempts_remember_where_they_have_been() {
    add_tried(3);
    assert_eq!(tried(), 0, "nobody would forget it");
    let first = InAttempt::enter(1);
    add_tried(3);
    add_tried(70);
    let been = first.leave();
    assert_eq!((been, tried()), (1 << 3 | 1 << 6, 0));
    let second = InAttempt::enter(2).with_tried(been);
    let inner = InAttempt::enter(1);
    assert_eq!((tried(), current_attempt()), (0, 1));
    drop(inner);
    assert_eq!((tried(), current_attempt()), (been, 2));
    drop(second);
    assert_eq!((tried(), current_attempt()), (0, 1));
}

#[tokio::test]
async fn a_scope_in_a_retry_has_the_number_of_the_attempt() {
    let mut context = CallContext::new();
    context.set_priority(80);
    let tally = context.tally().clone();
    context
        .scope(async {
            let _attempt = InAttempt::enter(3);
            let seen = CallContext::current().expect("a scope");
            assert_eq!((seen.attempt(), seen.priority()), (3, Some(80)));
            assert!(Arc::ptr_eq(seen.tally(), &tally));
        })
        .await;
}

#[tokio::test]
async fn a_deadline_is_known_without_a_scope_and_comes_nearer_in_one() {
    let soon = crate::clock::now() + Duration::from_secs(1);
    let later = soon + Duration::from_secs(1);
    let seen = async || {
        tokio::task::yield_now().await;
        let look = CallContext::current().and_then(|c| c.deadline());
        assert_eq!((look, Surroundings::look().deadline), (current_deadline(), look));
        look
    };
    assert_eq!(WithDeadline::new(Some(soon), seen()).await, Some(soon));
    assert_eq!(WithDeadline::new(None, seen()).await, None);
    for (outer, inner) in [(soon, later), (later, soon)] {
        let nested = WithDeadline::new(Some(outer), WithDeadline::new(Some(inner), seen()));
        assert_eq!(nested.await, Some(soon));
        let mut context = CallContext::new();
        context.limit_deadline(inner);
        let scoped = WithDeadline::new(Some(outer), context.scope(seen()));
        assert_eq!(scoped.await, Some(soon));
    }
    assert!(CallContext::current().is_none() && current_deadline().is_none());
}

#[test]
fn a_deadline_is_forgotten_after_a_panic() {
    let deadline = crate::clock::now();
    let caught = std::panic::catch_unwind(|| {
        let _deadline = InDeadline::enter(deadline);
        panic!("as the test wants it");
    });
    assert!(caught.is_err() && current_deadline().is_none());
}

#[tokio::test]
async fn a_scope_ends_with_its_future() {
    assert!(CallContext::current().is_none());
    let mut context = CallContext::new();
    context.set_priority(80);
    let seen = context
        .scope(async { CallContext::current().and_then(|c| c.priority()) })
        .await;
    assert_eq!(seen, Some(80));
    assert!(CallContext::current().is_none());
}

#[tokio::test]
async fn a_future_may_be_scoped_or_not() {
    let attempt = || CallContext::current().map_or(0, |c| c.attempt());
    let mut context = CallContext::new();
    context.set_attempt(7);
    for (context, seen) in [(Some(context), 7), (None, 0)] {
        let inner = async {
            let first = attempt();
            tokio::task::yield_now().await;
            (first, attempt())
        };
        let mut scoped = tokio_test::task::spawn(Scoped::new(context, inner));
        tokio_test::assert_pending!(scoped.poll());
        assert_eq!(attempt(), 0, "only while it is polled");
        assert_eq!(tokio_test::assert_ready!(scoped.poll()), (seen, seen));
    }
}
