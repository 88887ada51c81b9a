//! Readiness as a hint.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, Wake, Waker},
};

use tokio_test::{assert_pending, assert_ready_ok, task};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_test::{assert_request_eq, mock};

use super::*;
use crate::circuit_breaker::GateService;

type Mock = mock::Mock<(), ()>;
type Gated = mock::Spawn<GateService<Mock>>;

fn gated(breaker: &CircuitBreaker) -> (Gated, mock::Handle<(), ()>) {
    let (service, mut handle) = mock::spawn_layer(breaker.layer().gate());
    handle.allow(u64::MAX);
    (service, handle)
}

fn registered(breaker: &CircuitBreaker) -> (usize, usize) {
    breaker.core.waiters.registered()
}

#[tokio::test(start_paused = true)]
async fn a_closed_gate_service_is_ready_when_the_inner_is() {
    let breaker = built(exact());
    let (mut service, mut handle) = mock::spawn_layer::<(), (), _>(breaker.layer().gate());
    handle.allow(0);
    assert_pending!(service.poll_ready());
    handle.allow(1);
    assert_ready_ok!(service.poll_ready());
    let mut call = task::spawn(service.call(()));
    assert_pending!(call.poll());
    assert_request_eq!(handle, ()).send_response(());
    assert_ready_ok!(call.poll());
    assert_eq!(breaker.snapshot().success, 1);
}

#[tokio::test(start_paused = true)]
async fn it_waits_while_open_and_wakes_when_the_time_is_over() {
    let breaker = built(exact());
    let (mut service, _handle) = gated(&breaker);
    breaker.transition_to(State::Open);
    assert_pending!(service.poll_ready());
    advance(MINUTE - Duration::from_millis(1)).await;
    assert!(!service.is_woken());
    assert_pending!(service.poll_ready());
    advance(Duration::from_millis(1)).await;
    assert!(service.is_woken());
    assert_ready_ok!(service.poll_ready());
    assert_eq!(breaker.state(), State::Open, "it reserves nothing");
}

#[tokio::test(start_paused = true)]
async fn it_sleeps_through_the_open_time_and_goes_on_by_itself() {
    let breaker = built(exact());
    let mut service = breaker
        .layer()
        .gate()
        .layer(service_fn(async |(): ()| Ok::<_, crate::Error<()>>(1)));
    breaker.transition_to(State::Open);
    let begun = crate::clock::now();
    assert_eq!(service.ready().await.unwrap().call(()).await, Ok(1));
    let waited = begun.elapsed();
    assert!(
        waited >= MINUTE && waited < MINUTE + Duration::from_millis(2),
        "{waited:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn closing_and_resetting_wake_it() {
    for wake in [
        CircuitBreaker::close,
        CircuitBreaker::reset,
        CircuitBreaker::disable,
    ] {
        for state in [State::Open, State::ForcedOpen] {
            let breaker = built(exact());
            let (mut service, _handle) = gated(&breaker);
            breaker.transition_to(state);
            assert_pending!(service.poll_ready());
            assert!(!service.is_woken());
            wake(&breaker);
            assert!(service.is_woken());
            assert_ready_ok!(service.poll_ready());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_longer_open_time_lengthens_the_wait() {
    let breaker = built(exact().open_for(10 * SECOND));
    let (mut service, _handle) = gated(&breaker);
    breaker.transition_to(State::Open);
    assert_pending!(service.poll_ready());
    advance(5 * SECOND).await;
    breaker.transition_to(State::Open);
    assert_pending!(service.poll_ready());
    advance(5 * SECOND).await;
    assert_pending!(service.poll_ready());
    advance(5 * SECOND).await;
    assert_ready_ok!(service.poll_ready());
}

#[tokio::test(start_paused = true)]
async fn a_freed_probe_slot_wakes_it() {
    type End = fn(Permit);
    let ends: [End; 4] = [
        drop,
        |permit| permit.record(SUCCESS),
        |permit| permit.record(NEUTRAL),
        |mut permit| {
            use crate::outcome::{Head, Token};
            permit.head(Head::Promising);
            permit.data();
            std::mem::forget(permit);
        },
    ];
    for end in ends {
        let breaker = ready_to_probe(exact().half_open_probes(1)).await;
        let probe = permit(&breaker);
        let (mut service, _handle) = gated(&breaker);
        assert_pending!(service.poll_ready());
        end(probe);
        assert!(service.is_woken());
        assert_ready_ok!(service.poll_ready());
    }
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_lease_wakes_it() {
    let breaker = ready_to_probe(exact().half_open_probes(1).probe_lease(7 * SECOND)).await;
    let _hung = permit(&breaker);
    let (mut service, _handle) = gated(&breaker);
    assert_pending!(service.poll_ready());
    advance(6 * SECOND).await;
    assert!(!service.is_woken());
    advance(SECOND).await;
    assert!(service.is_woken());
    assert_ready_ok!(service.poll_ready());
}

#[tokio::test(start_paused = true)]
async fn more_probes_by_a_policy_change_wake_it() {
    let breaker = ready_to_probe(exact().half_open_probes(1)).await;
    let _probe = permit(&breaker);
    let (mut service, _handle) = gated(&breaker);
    assert_pending!(service.poll_ready());
    breaker
        .reconfigure(breaker.options().half_open_probes(2))
        .expect("valid");
    assert!(service.is_woken());
    assert_ready_ok!(service.poll_ready());
}

#[tokio::test(start_paused = true)]
async fn all_who_wait_are_woken() {
    let breaker = built(exact());
    breaker.force_open();
    let mut services: Vec<_> = (0..20).map(|_| gated(&breaker)).collect();
    for (service, _) in &mut services {
        assert_pending!(service.poll_ready());
    }
    assert_eq!(registered(&breaker), (20, 20));
    breaker.close();
    for (service, _) in &mut services {
        assert!(service.is_woken());
        assert_ready_ok!(service.poll_ready());
    }
    assert_eq!(registered(&breaker), (0, 0));

    breaker.transition_to(State::Open);
    for (service, _) in &mut services {
        assert_pending!(service.poll_ready());
    }
    advance(MINUTE).await;
    for (service, _) in &mut services {
        assert!(service.is_woken(), "by the time alone, too");
        assert_ready_ok!(service.poll_ready());
    }
}

#[tokio::test(start_paused = true)]
async fn one_who_goes_away_leaves_nothing_behind() {
    let breaker = built(exact());
    breaker.force_open();
    let (mut service, _handle) = gated(&breaker);
    let (mut other, _other_handle) = gated(&breaker);
    assert_pending!(service.poll_ready());
    assert_pending!(other.poll_ready());
    drop(service);
    assert_eq!(registered(&breaker), (1, 1));
    breaker.close();
    assert!(other.is_woken());
    drop(other);
    assert_eq!(registered(&breaker), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn polled_again_it_takes_no_second_place() {
    let breaker = built(exact());
    breaker.force_open();
    let (mut service, _handle) = gated(&breaker);
    for _ in 0..10 {
        assert_pending!(service.poll_ready());
        assert_eq!(registered(&breaker), (1, 1));
        breaker.force_open();
        assert!(service.is_woken());
    }
    assert_eq!(
        registered(&breaker),
        (1, 0),
        "it keeps its place, and is to ask again"
    );
}

#[tokio::test(start_paused = true)]
async fn the_last_waker_is_the_one_that_is_woken() {
    let breaker = built(exact());
    breaker.force_open();
    let mut service = breaker
        .layer()
        .gate()
        .layer(service_fn(async |(): ()| Ok::<_, crate::Error<()>>(())));
    let mut first = task::spawn(());
    let mut second = task::spawn(());
    first.enter(|cx, _| assert!(service.poll_ready(cx).is_pending()));
    second.enter(|cx, _| assert!(service.poll_ready(cx).is_pending()));
    breaker.close();
    assert!(second.is_woken());
    assert!(!first.is_woken());
}

#[tokio::test(start_paused = true)]
async fn a_clone_waits_for_itself() {
    let breaker = built(exact());
    breaker.force_open();
    let (mut service, _handle) = gated(&breaker);
    assert_pending!(service.poll_ready());
    let mut clone = task::spawn(service.get_ref().clone());
    assert_eq!(registered(&breaker), (1, 1), "it has not asked yet");
    clone.enter(|cx, mut clone| assert!(clone.poll_ready(cx).is_pending()));
    assert_eq!(registered(&breaker), (2, 2));
    drop(service);
    breaker.close();
    assert!(clone.is_woken());
}

#[tokio::test(start_paused = true)]
async fn it_holds_no_place_in_the_inner_service_while_it_waits() {
    struct Counting(Arc<AtomicUsize>);
    impl Service<()> for Counting {
        type Response = ();
        type Error = crate::Error<()>;
        type Future = std::future::Ready<Result<(), Self::Error>>;
        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
            self.0.fetch_add(1, Relaxed);
            Poll::Ready(Ok(()))
        }
        fn call(&mut self, (): ()) -> Self::Future {
            std::future::ready(Ok(()))
        }
    }
    let asked = Arc::new(AtomicUsize::new(0));
    let breaker = built(exact());
    breaker.force_open();
    let mut service = task::spawn(breaker.layer().gate().layer(Counting(asked.clone())));
    service.enter(|cx, mut s| assert!(s.poll_ready(cx).is_pending()));
    assert_eq!(asked.load(Relaxed), 0);
    breaker.close();
    service.enter(|cx, mut s| assert!(s.poll_ready(cx).is_ready()));
    assert_eq!(asked.load(Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn it_is_a_hint_and_the_permit_is_taken_in_the_call() {
    let breaker = ready_to_probe(exact().half_open_probes(1)).await;
    let mut services: Vec<_> = (0..2).map(|_| gated(&breaker)).collect();
    for (service, _) in &mut services {
        assert_ready_ok!(service.poll_ready());
    }
    let mut first = task::spawn(services[0].0.call(()));
    assert_pending!(first.poll());
    let mut second = task::spawn(services[1].0.call(()));
    assert!(
        matches!(second.poll(), Poll::Ready(Err(_))),
        "who comes second is refused"
    );
}

/// A waker that owns a waiting service, as a task's waker may own the task.
struct Owner(#[allow(dead_code)] Mutex<Option<Box<dyn Send>>>);

impl Wake for Owner {
    fn wake(self: Arc<Self>) {}
}

#[tokio::test(start_paused = true)]
async fn a_waker_that_owns_a_waiting_service_may_be_dropped() {
    let breaker = built(exact());
    breaker.force_open();
    let (owned, _owned_handle) = gated(&breaker);
    let mut owned = owned.into_inner();
    let (service, _handle) = gated(&breaker);
    let mut service = service.into_inner();

    let noop = &mut Context::from_waker(Waker::noop());
    assert!(owned.poll_ready(noop).is_pending());
    let owner = Waker::from(Arc::new(Owner(Mutex::new(Some(Box::new(owned))))));
    assert!(service.poll_ready(&mut Context::from_waker(&owner)).is_pending());
    drop(owner);
    assert_eq!(registered(&breaker), (2, 2));
    // The waker that is replaced takes the service it owns with it, which then leaves its own place.
    assert!(service.poll_ready(noop).is_pending());
    assert_eq!(registered(&breaker), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_waker_that_was_woken_is_let_go() {
    let breaker = built(exact());
    breaker.force_open();
    let (service, _handle) = gated(&breaker);
    let mut service = service.into_inner();
    let owner = Arc::new(Owner(Mutex::new(None)));
    let waker = Waker::from(owner.clone());
    assert!(service.poll_ready(&mut Context::from_waker(&waker)).is_pending());
    drop(waker);
    assert_eq!(Arc::strong_count(&owner), 2);
    breaker.close();
    assert_eq!(
        Arc::strong_count(&owner),
        1,
        "nothing of it was cloned under a lock"
    );
}

/// A waker that polls the service it wakes at once.
struct Eager(Mutex<GateService<Mock>>);

impl Wake for Eager {
    fn wake(self: Arc<Self>) {
        let ready = self
            .0
            .lock()
            .expect("not poisoned")
            .poll_ready(&mut Context::from_waker(Waker::noop()));
        assert!(ready.is_ready());
    }
}

#[tokio::test(start_paused = true)]
async fn a_waker_may_come_back_to_the_gate_at_once() {
    let breaker = built(exact());
    breaker.force_open();
    let (service, _handle) = gated(&breaker);
    let eager = Arc::new(Eager(Mutex::new(service.into_inner())));
    let waker = Waker::from(eager.clone());
    let polled = eager
        .0
        .lock()
        .expect("not poisoned")
        .poll_ready(&mut Context::from_waker(&waker));
    assert!(polled.is_pending());
    breaker.close();
    assert_eq!(registered(&breaker), (0, 0));
}
