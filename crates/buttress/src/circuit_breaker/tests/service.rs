//! The layer, the service and plain calls.

use std::{
    cell::Cell,
    future::{Ready, pending, ready},
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    task::{Context, Poll},
};

use tokio_test::{assert_pending, assert_ready, assert_ready_err, assert_ready_ok, task};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_test::{assert_request_eq, mock};

use super::*;
use crate::{
    BoxError, Error, ErrorLayer, RejectionKind, circuit_breaker::CircuitBreakerLayer, error::Rejected,
    outcome::Plain,
};

type Mock = mock::Mock<&'static str, &'static str>;

fn mocked(
    breaker: &CircuitBreaker,
) -> (
    mock::Spawn<crate::circuit_breaker::CircuitBreakerService<Mock>>,
    mock::Handle<&'static str, &'static str>,
) {
    let layer = breaker.layer();
    mock::spawn_layer(layer)
}

fn kind(error: &Error<&'static str>) -> Option<RejectionKind> {
    error.rejected().map(Rejected::kind)
}

#[tokio::test(start_paused = true)]
async fn readiness_is_that_of_the_inner_service() {
    let (mut service, mut handle) = mocked(&built(exact()));
    handle.allow(0);
    assert_pending!(service.poll_ready());
    handle.allow(1);
    assert!(service.is_woken());
    assert_ready_ok!(service.poll_ready());
    let mut call = task::spawn(service.call("hello"));
    assert_pending!(call.poll());
    assert_request_eq!(handle, "hello").send_response("world");
    assert_eq!(assert_ready_ok!(call.poll()), "world");
    handle.send_error("broken");
    assert_ready_err!(service.poll_ready());
}

#[tokio::test(start_paused = true)]
async fn a_refusal_comes_from_the_future_and_the_inner_is_not_called() {
    let breaker = built(exact().name("db"));
    let (mut service, mut handle) = mocked(&breaker);
    breaker.force_open();
    handle.allow(0);
    assert_pending!(service.poll_ready(), "still the inner's readiness");
    handle.allow(1);
    assert_ready_ok!(
        service.poll_ready(),
        "never an error, which would mean: throw it away"
    );
    let mut call = task::spawn(service.call("hello"));
    let error: BoxError = assert_ready_err!(call.poll());
    let rejected = Rejected::find(&*error).expect("a rejection");
    assert_eq!(
        (rejected.kind(), rejected.policy()),
        (RejectionKind::CircuitOpen, "db")
    );
    assert!(
        task::spawn(handle.next_request()).poll().is_pending(),
        "nothing arrived"
    );
}

#[tokio::test(start_paused = true)]
async fn poll_ready_takes_no_permit() {
    let breaker = ready_to_probe(exact().half_open_probes(1)).await;
    let mut services: Vec<_> = (0..10).map(|_| mocked(&breaker)).collect();
    for (service, handle) in &mut services {
        handle.allow(1);
        assert_ready_ok!(service.poll_ready());
    }
    assert!(permit(&breaker).is_probe());
}

#[tokio::test(start_paused = true)]
async fn the_answer_decides() {
    let breaker = built(exact().consecutive_failures(2));
    let mut service =
        breaker.layer().layer(ErrorLayer::new().layer(service_fn(
            async |fail: bool| {
                if fail { Err("down") } else { Ok("up") }
            },
        )));
    assert_eq!(service.ready().await.unwrap().call(false).await, Ok("up"));
    for _ in 0..2 {
        let error = service.ready().await.unwrap().call(true).await.unwrap_err();
        assert_eq!(error, Error::Inner("down"));
    }
    let error = service.ready().await.unwrap().call(false).await.unwrap_err();
    assert_eq!(kind(&error), Some(RejectionKind::CircuitOpen));
    let s = breaker.snapshot();
    assert_eq!((s.success, s.failure, s.rejected), (1, 2, 1));
}

#[tokio::test(start_paused = true)]
async fn rejections_from_further_in_count_as_their_table_says() {
    let breaker = built(exact().consecutive_failures(2));
    let mut service = breaker.layer().layer(service_fn(async |kind: RejectionKind| {
        Err::<(), Error<&str>>(Rejected::new(kind, "inner").into())
    }));
    use RejectionKind::{NoEndpoint, Panicked, QueueFull, RateLimited, TimedOut};
    for kind in [RateLimited, QueueFull, NoEndpoint, RateLimited] {
        let _ = service.ready().await.unwrap().call(kind).await;
    }
    assert_eq!(breaker.snapshot().neutral, 4);
    assert_eq!(breaker.state(), State::Closed);
    for kind in [TimedOut, Panicked] {
        let _ = service.ready().await.unwrap().call(kind).await;
    }
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn a_judgement_of_ones_own_replaces_the_default() {
    let breaker = built(exact().consecutive_failures(1));
    let protocol = Plain::classify(|result: &Result<u32, Error<&str>>| match result {
        Ok(0) => FAILURE,
        _ => NEUTRAL,
    });
    let mut service = breaker.layer_for(protocol).layer(service_fn(async |n: u32| {
        if n == 7 { Err(Error::Inner("seven")) } else { Ok(n) }
    }));
    let _ = service.ready().await.unwrap().call(7).await;
    let _ = service.ready().await.unwrap().call(1).await;
    assert_eq!(breaker.snapshot().neutral, 2);
    let _ = service.ready().await.unwrap().call(0).await;
    assert_eq!(breaker.state(), State::Open);

    let breaker = built(exact().consecutive_failures(1));
    let protocol = Plain::classify(|_: &Result<(), Error<&str>>| NEUTRAL);
    let _ = breaker.call_with(protocol, ready(Err::<(), _>("down"))).await;
    assert_eq!(breaker.snapshot().neutral, 1);
}

// ===== dropped, and panicking =====

#[tokio::test(start_paused = true)]
async fn dropped_before_the_first_poll_it_is_cancelled() {
    let breaker = ready_to_probe(exact().half_open_probes(1)).await;
    let (mut service, mut handle) = mocked(&breaker);
    handle.allow(2);
    assert_ready_ok!(service.poll_ready());
    drop(service.call("hello"));
    let s = breaker.snapshot();
    assert_eq!((s.state, s.cancelled, s.failure), (State::HalfOpen, 1, 0));
    assert!(!is_refused(&breaker), "the slot is back");
}

#[tokio::test(start_paused = true)]
async fn dropped_in_the_middle_it_is_cancelled() {
    let breaker = ready_to_probe(exact().half_open_probes(1)).await;
    let (mut service, mut handle) = mocked(&breaker);
    handle.allow(2);
    assert_ready_ok!(service.poll_ready());
    let mut call = task::spawn(service.call("hello"));
    assert_pending!(call.poll());
    advance(SECOND).await;
    assert_pending!(call.poll());
    assert!(is_refused(&breaker));
    drop(call);
    let s = breaker.snapshot();
    assert_eq!((s.state, s.cancelled, s.failure), (State::HalfOpen, 1, 0));
    assert!(!is_refused(&breaker), "the slot is back");
}

#[tokio::test(start_paused = true)]
async fn dropped_after_slow_after_it_is_a_slow_failure_in_the_default_policy() {
    let breaker = built(exact());
    for n in 1..=5 {
        let (mut service, mut handle) = mocked(&breaker);
        handle.allow(1);
        assert_ready_ok!(service.poll_ready());
        let mut call = task::spawn(service.call("hello"));
        assert_pending!(call.poll());
        advance(5 * SECOND).await;
        assert_pending!(call.poll(), "polled again: its start stays what it was");
        drop(call);
        let s = breaker.snapshot();
        assert_eq!((s.failure, s.slow, s.cancelled), (n, n, 0));
    }
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn slowness_is_measured_from_the_call_where_slow_calls_are_watched() {
    let options = rates()
        .slow_call_rate(1.0)
        .slow_after(SECOND)
        .count_window(1)
        .minimum_calls(1);
    let breaker = built(options);
    let mut service = breaker.layer().layer(service_fn(async |time: Duration| {
        tokio::time::sleep(time).await;
        Ok::<_, Error<&str>>(())
    }));
    let _ = service.ready().await.unwrap().call(SECOND / 2).await;
    assert_eq!(breaker.snapshot().slow, 0);
    let _ = service.ready().await.unwrap().call(SECOND).await;
    let s = breaker.snapshot();
    assert_eq!((s.state, s.slow, s.success), (State::Open, 1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_call_is_a_failure_and_the_slot_comes_back() {
    let breaker = ready_to_probe(exact().half_open_probes(1)).await;
    let mut service = breaker
        .layer()
        .layer(service_fn(|(): ()| -> Ready<Result<(), Error<&str>>> {
            panic!("in call")
        }));
    assert!(catch_unwind(AssertUnwindSafe(|| drop(service.call(())))).is_err());
    let s = breaker.snapshot();
    assert_eq!((s.state, s.failure, s.cancelled), (State::Open, 1, 0));
    breaker.transition_to(State::HalfOpen);
    assert!(!is_refused(&breaker));
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_poll_is_a_failure_and_the_slot_comes_back() {
    let breaker = ready_to_probe(exact().half_open_probes(1)).await;
    let mut service = breaker.layer().layer(service_fn(async |late: bool| {
        if late {
            tokio::task::yield_now().await;
        }
        if service_fails() {
            panic!("in poll");
        }
        Ok::<_, Error<&str>>(())
    }));
    for late in [false, true] {
        let mut call = task::spawn(service.call(late));
        if late {
            assert_pending!(call.poll());
        }
        assert!(catch_unwind(AssertUnwindSafe(|| call.poll())).is_err());
        assert_eq!(breaker.state(), State::Open, "however long the future is kept");
        drop(call);
        let s = breaker.snapshot();
        assert_eq!((s.state, s.cancelled), (State::Open, 0));
        breaker.transition_to(State::HalfOpen);
        assert!(breaker.would_admit(crate::clock::now()));
    }
    assert_eq!(breaker.snapshot().failure, 2);
}

fn service_fails() -> bool {
    true
}

#[tokio::test(start_paused = true)]
async fn a_panic_elsewhere_in_the_task_is_a_cancelled_call() {
    let breaker = built(exact());
    let mut call = task::spawn(breaker.call(pending::<Result<(), &str>>()));
    assert_pending!(call.poll());
    let outcome = catch_unwind(AssertUnwindSafe(move || {
        let _call = call;
        panic!("not the service's fault");
    }));
    assert!(outcome.is_err());
    let s = breaker.snapshot();
    assert_eq!((s.failure, s.cancelled), (0, 1));
}

// ===== sharing =====

#[tokio::test(start_paused = true)]
async fn clones_and_layers_share_one_state() {
    let breaker = built(exact().consecutive_failures(3));
    let down = || ErrorLayer::new().layer(service_fn(async |(): ()| Err::<(), _>("down")));
    let layer = breaker.layer();
    let mut services = [
        layer.layer(down()),
        layer.clone().layer(down()),
        breaker.clone().layer().layer(down()),
    ];
    let mut clone = services[0].clone();
    for service in &mut services {
        let _ = service.ready().await.unwrap().call(()).await;
    }
    let error = clone.ready().await.unwrap().call(()).await.unwrap_err();
    assert_eq!(kind(&error), Some(RejectionKind::CircuitOpen));
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn a_breaker_that_is_off_passes_everything() {
    let layer = CircuitBreakerLayer::new(None, Plain::new());
    let mut service = layer.layer(ErrorLayer::new().layer(service_fn(async |(): ()| Err::<(), _>("down"))));
    for _ in 0..100 {
        let error = service.ready().await.unwrap().call(()).await.unwrap_err();
        assert_eq!(error, Error::Inner("down"));
    }
    let mut gated = CircuitBreakerLayer::new(None, Plain::new())
        .gate()
        .layer(ErrorLayer::new().layer(service_fn(async |(): ()| Ok::<_, &str>(1))));
    assert_eq!(gated.ready().await.unwrap().call(()).await, Ok(1));
}

/// Neither `Clone` nor `Send` nor `'static`.
struct Bound<'a> {
    calls: &'a Cell<u32>,
    _not_send: Rc<()>,
}

struct Asked<'a> {
    text: &'a str,
    _not_send: Rc<()>,
}

impl<'a> Service<Asked<'a>> for Bound<'_> {
    type Response = &'a str;
    type Error = Error<Rc<str>>;
    type Future = Ready<Result<&'a str, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, Asked { text, .. }: Asked<'a>) -> Self::Future {
        self.calls.set(self.calls.get() + 1);
        ready(Ok(text))
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_asked_of_the_service_or_the_request() {
    let (calls, text) = (Cell::new(0), String::from("hello"));
    let bound = Bound {
        calls: &calls,
        _not_send: Rc::new(()),
    };
    let breaker = built(exact());
    let mut service = breaker.layer().layer(bound);
    let answer = service
        .ready()
        .await
        .unwrap()
        .call(Asked {
            text: &text,
            _not_send: Rc::new(()),
        })
        .await;
    assert_eq!(answer, Ok("hello"));
    assert_eq!(calls.get(), 1);
    assert_eq!(service.get_ref().calls.get(), 1);
    service.get_mut().calls.set(5);
    assert_eq!(service.into_inner().calls.get(), 5);
}

#[test]
fn what_can_be_sent_stays_sendable() {
    fn sendable<T: Send + Sync + Clone + 'static>(_: &T) {}
    fn future<T: Send + 'static>(_: &T) {}
    let breaker = built(exact());
    sendable(&breaker);
    sendable(&breaker.layer());
    sendable(&breaker.layer().gate());
    let mut service = breaker
        .layer()
        .layer(ErrorLayer::new().layer(service_fn(|(): ()| ready(Ok::<_, &str>(())))));
    sendable(&service);
    future(&service.call(()));
    future(&breaker.call(ready(Ok::<_, &str>(()))));
    future(&permit(&breaker));
}

#[tokio::test(start_paused = true)]
async fn a_stack_of_tower_layers_takes_it() {
    let breaker = built(exact().consecutive_failures(1));
    let service = ServiceBuilder::new()
        .buffer::<u32>(8)
        .layer(breaker.layer())
        .layer(ErrorLayer::new())
        .service(service_fn(async |_: u32| {
            Err::<(), _>(std::io::Error::other("down"))
        }));
    let _ = service.clone().oneshot(1).await;
    let error = service.oneshot(1).await.unwrap_err();
    assert_eq!(
        Rejected::find(&*error).map(Rejected::kind),
        Some(RejectionKind::CircuitOpen)
    );
}

// ===== call(future) =====

#[tokio::test(start_paused = true)]
async fn a_plain_call_is_judged_by_its_result() {
    let breaker = built(exact().consecutive_failures(2));
    assert_eq!(breaker.call(ready(Ok::<_, &str>(1))).await, Ok(1));
    for _ in 0..2 {
        let error = breaker.call(ready(Err::<(), _>("down"))).await.unwrap_err();
        assert_eq!(error, Error::Inner("down"));
    }
    let polled = Cell::new(false);
    let refused = breaker.call(async {
        polled.set(true);
        Ok::<_, &str>(())
    });
    assert_eq!(
        kind(&refused.await.unwrap_err()),
        Some(RejectionKind::CircuitOpen)
    );
    assert!(!polled.get(), "dropped unpolled");
    let s = breaker.snapshot();
    assert_eq!((s.success, s.failure, s.rejected), (1, 2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_plain_call_takes_its_permit_at_once() {
    let breaker = ready_to_probe(exact().half_open_probes(1)).await;
    let call = breaker.call(ready(Ok::<_, &str>(1)));
    assert!(is_refused(&breaker));
    drop(call);
    assert!(!is_refused(&breaker));
}

#[tokio::test(start_paused = true)]
async fn a_refused_future_that_is_polled_again_panics_and_says_why() {
    let breaker = built(exact());
    breaker.force_open();
    let mut call = task::spawn(breaker.call(ready(Ok::<_, &str>(()))));
    assert!(assert_ready!(call.poll()).is_err());
    let panic = catch_unwind(AssertUnwindSafe(|| call.poll())).unwrap_err();
    let text = panic.downcast_ref::<&str>().copied().unwrap_or_default();
    assert!(text.contains("polled after"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_refused_call_that_is_never_polled_is_only_a_refusal() {
    let breaker = built(exact().slow_after(Duration::from_nanos(1)));
    for open in [CircuitBreaker::force_open, |b: &CircuitBreaker| {
        b.transition_to(State::Open)
    }] {
        breaker.reset();
        open(&breaker);
        let before = breaker.snapshot().state;
        drop(breaker.call(ready(Ok::<_, &str>(()))));
        drop(
            breaker
                .layer()
                .layer(service_fn(async |()| Ok::<_, Error<&str>>(())))
                .call(()),
        );
        let s = breaker.snapshot();
        assert_eq!((s.rejected, s.total, s.state), (2, 2, before));
    }
}

/// The service has not been asked yet: whoever keeps the call and never makes it says nothing about it.
#[tokio::test(start_paused = true)]
async fn a_call_that_was_never_begun_is_not_cut_off_however_long_it_was_kept() {
    for options in [exact(), exact().slow_call_rate(0.5)] {
        let options = options.slow_after(SECOND);
        let breaker = ready_to_probe(options.clone()).await;
        let probe = breaker.call(async { Ok::<_, &str>(()) });
        advance(MINUTE / 2).await;
        drop(probe);
        let s = breaker.snapshot();
        assert_eq!(
            (s.state, s.failure, s.cancelled),
            (State::HalfOpen, 0, 1),
            "a probe"
        );

        let breaker = built(options);
        let kept = breaker.call(async { Ok::<_, &str>(()) });
        advance(MINUTE / 2).await;
        drop(kept);
        let s = breaker.snapshot();
        assert_eq!((s.failure, s.slow, s.cancelled), (0, 0, 1), "an ordinary call");
    }
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_was_kept_for_long_is_timed_from_when_it_began() {
    let breaker = ready_to_probe(exact().slow_after(SECOND)).await;
    let mut probe = task::spawn(breaker.call(pending::<Result<(), &str>>()));
    advance(MINUTE / 2).await;
    assert_pending!(probe.poll());
    advance(SECOND / 2).await;
    drop(probe);
    assert_eq!(breaker.state(), State::HalfOpen);
}
