//! The layer: readiness, what becomes of permits, stores of another kind.

use std::future::{Ready, ready};

use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok, task::spawn};
use tower::{ServiceExt, service_fn};

use super::*;
use crate::outcome::Plain;

fn limiter(permits: u64) -> RateLimiter {
    RateLimiter::per_hour(permits).build().expect("valid")
}

fn remaining(limiter: &RateLimiter) -> u64 {
    limiter.peek().remaining
}

#[tokio::test(start_paused = true)]
async fn a_call_that_another_layer_refuses_gives_its_permits_back() {
    use RejectionKind::*;
    let kinds = [
        CircuitOpen,
        QueueFull,
        QueueTimeout,
        DeadlineExpired,
        NoEndpoint,
        Shed,
        RateLimited,
    ];
    for refusal in kinds {
        let limiter = limiter(3);
        let layer = limiter.layer().permits(|permits: &u32| *permits);
        let answer = layer.layer(Probe::refusing(refusal)).oneshot(2).await;
        assert_eq!(kind(answer), Some(refusal));
        assert_eq!(remaining(&limiter), 3, "{refusal}");
        assert_eq!(limiter.snapshot().refunded, 1);
    }
    for failure in [TimedOut, Panicked] {
        let limiter = limiter(3);
        let answer = limiter.layer().layer(Probe::refusing(failure)).oneshot(1).await;
        assert_eq!(kind(answer), Some(failure));
        assert_eq!(remaining(&limiter), 2, "{failure}: the service was called");
    }
}

#[cfg(feature = "circuit-breaker")]
#[tokio::test(start_paused = true)]
async fn an_open_circuit_uses_up_no_limit() {
    let breaker = crate::circuit_breaker::CircuitBreaker::new();
    let limiter = limiter(3);
    let probe = Probe::answering();
    let mut service = limiter.layer().layer(breaker.layer().layer(probe.clone()));
    breaker.force_open();
    for _ in 0..100 {
        let refused = service.call(()).await;
        assert_eq!(kind(refused), Some(RejectionKind::CircuitOpen));
    }
    breaker.close();
    for call in 0..4 {
        let answer = service.call(()).await;
        assert_eq!(answer.is_ok(), call < 3);
    }
    assert_eq!(probe.calls(), 3);
}

#[test]
fn a_call_that_has_begun_has_been_made() {
    let limiter = limiter(3);
    let mut service = limiter.layer().layer(Probe::new(None));
    let mut call = spawn(service.call(()));
    assert_pending!(call.poll());
    drop(call);
    drop(service.call(()));
    assert_eq!(remaining(&limiter), 1);
}

/// Ready when it is told.
#[derive(Clone)]
struct Gate(Arc<AtomicUsize>);

impl Service<()> for Gate {
    type Response = ();
    type Error = Refused;
    type Future = Ready<Result<(), Refused>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Refused>> {
        match self.0.load(SeqCst) {
            0 => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            1 => Poll::Ready(Ok(())),
            _ => Poll::Ready(Err(Rejected::new(RejectionKind::QueueFull, "gate").into())),
        }
    }

    fn call(&mut self, (): ()) -> Self::Future {
        assert_eq!(self.0.load(SeqCst), 1, "called unready");
        ready(Ok(()))
    }
}

fn poll_ready<S: Service<()>>(service: &mut S) -> Poll<Result<(), S::Error>> {
    service.poll_ready(&mut Context::from_waker(std::task::Waker::noop()))
}

#[test]
fn one_that_never_waits_is_ready_when_its_service_is() {
    let gate = Gate(Arc::default());
    let mut service = limiter(3).layer().layer(gate.clone());
    assert_pending!(poll_ready(&mut service));
    gate.0.store(1, SeqCst);
    assert_ready_ok!(poll_ready(&mut service));
    assert_ready_ok!(spawn(service.call(())).poll());
    gate.0.store(2, SeqCst);
    assert_ready_err!(poll_ready(&mut service));
}

#[tokio::test(start_paused = true)]
async fn one_that_waits_is_ready_at_once_and_sees_to_its_service_when_it_has_its_permits() {
    let gate = Gate(Arc::default());
    let limiter = RateLimiter::per_second(1)
        .max_wait(millis(5000))
        .build()
        .expect("valid");
    let mut service = limiter.layer().layer(gate.clone());
    assert_ready_ok!(poll_ready(&mut service));
    let mut first = spawn(service.call(()));
    assert_pending!(first.poll());
    assert_eq!(remaining(&limiter), 0, "it has its permit");
    gate.0.store(1, SeqCst);
    assert_ready_ok!(first.poll());

    assert_ready_ok!(poll_ready(&mut service));
    let mut second = spawn(service.call(()));
    assert_pending!(second.poll());
    advance(millis(1000)).await;
    assert_ready_ok!(second.poll());
    assert_eq!(limiter.snapshot().waited, 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_never_got_to_a_ready_service_gives_its_permits_back() {
    let gate = Gate(Arc::default());
    let limiter = RateLimiter::per_hour(1)
        .max_wait(millis(1))
        .build()
        .expect("valid");
    let mut service = limiter.layer().layer(gate.clone());
    let mut dropped = spawn(service.call(()));
    assert_pending!(dropped.poll());
    assert_eq!(remaining(&limiter), 0);
    drop(dropped);
    assert_eq!(remaining(&limiter), 1);

    let mut failing = spawn(service.call(()));
    assert_pending!(failing.poll());
    gate.0.store(2, SeqCst);
    assert_ready_err!(failing.poll());
    assert_eq!(remaining(&limiter), 1);
    // And one whose service fails before anything is waited for.
    assert_ready_err!(spawn(service.call(())).poll());
    assert_eq!(remaining(&limiter), 1);
}

#[tokio::test(start_paused = true)]
async fn a_limiter_that_begins_to_wait_between_ready_and_call_calls_what_is_ready() {
    let gate = Gate(Arc::new(AtomicUsize::new(1)));
    let limiter = limiter(1);
    let mut service = limiter.layer().layer(gate.clone());
    assert_ready_ok!(poll_ready(&mut service));
    let waiting = limiter.options().max_wait(millis(100));
    limiter.reconfigure(waiting).expect("valid");
    assert_ready_ok!(spawn(service.call(())).poll());
}

#[tokio::test(start_paused = true)]
async fn permits_by_request_and_none_at_all() {
    let limiter = limiter(10);
    let layer = limiter.layer().permits(|rows: &u32| *rows);
    let mut service = layer.layer(Probe::answering());
    for (rows, left) in [(7, 3), (0, 3), (3, 0)] {
        service.call(rows).await.expect("enough");
        assert_eq!(remaining(&limiter), left);
    }
    let refused = service.call(11).await.expect_err("never");
    let refused = refused.rejected().cloned().expect("a refusal");
    assert_eq!((refused.http_status(), refused.retry_after()), (400, None));
}

#[tokio::test]
async fn none_at_all_keeps_the_types_and_limits_nothing() {
    let off = RateLimitLayer::<Plain>::new(None::<RateLimiter>, Plain::new());
    let probe = Probe::answering();
    let mut service = off.layer(probe.clone());
    for _ in 0..100 {
        service.call(()).await.expect("unlimited");
    }
    assert_eq!(probe.calls(), 100);
}

#[tokio::test(start_paused = true)]
async fn a_disabled_limit_lets_all_through_and_a_reset_one_is_new() {
    let limiter = limiter(1);
    limiter.disable();
    let permits: Vec<_> = (0..10).map(|_| limiter.try_acquire(1).expect("off")).collect();
    permits.into_iter().for_each(Permit::give_back);
    assert_eq!((limiter.snapshot().allowed, remaining(&limiter)), (0, 1));
    limiter.reset();
    limiter.try_acquire(1).expect("the one");
    assert!(limiter.try_acquire(1).is_err());
    limiter.reset();
    assert_eq!((limiter.snapshot().limited, remaining(&limiter)), (0, 1));
}

#[test]
fn a_permit_may_outlive_its_limiter() {
    let limiter = limiter(1);
    let permit = limiter.try_acquire(1).expect("the one");
    drop(limiter);
    assert_eq!(permit.quota(), None);
    permit.give_back();
}

/// A store elsewhere: it answers later, and then as it is told.
#[derive(Clone)]
struct Elsewhere(bool);

struct Ticket;

impl StorePermit for Ticket {
    fn give_back(self) {}

    fn quota(&self) -> Option<Quota> {
        None
    }
}

impl Store for Elsewhere {
    type Permit = Ticket;
    type Wait = std::pin::Pin<Box<dyn Future<Output = Result<Ticket, Rejected>> + Send>>;

    fn take(
        &self,
        _: Option<&Key<'_>>,
        _: u32,
        _: impl FnOnce() -> Option<crate::clock::Instant>,
    ) -> Taken<Ticket, Self::Wait> {
        let granted = self.0;
        Taken::Wait(Box::pin(async move {
            tokio::task::yield_now().await;
            if granted {
                Ok(Ticket)
            } else {
                Err(Rejected::new(RejectionKind::RateLimited, "shared"))
            }
        }))
    }

    fn may_wait(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn a_limit_may_be_kept_elsewhere() {
    for granted in [true, false] {
        let layer = RateLimitLayer::new(Elsewhere(granted), Plain::new());
        let service = layer.layer(service_fn(|n: u32| ready(Ok::<_, Refused>(n + 1))));
        assert_eq!(service.oneshot(1).await.ok(), granted.then_some(2));
    }
}

#[test]
fn a_service_is_what_its_inner_is() {
    fn shared<T: Clone + Send + Sync + 'static>(_: &T) {}
    fn sent<T: Send>(_: &T) {}
    let mut service = limiter(1).layer().layer(Probe::answering());
    shared(&service);
    sent(&service.call(()));
    sent(&limiter(1).acquire(1));
}

/// Ready when it has been asked twice, which a clone has not.
struct Warming(AtomicUsize);

impl Clone for Warming {
    fn clone(&self) -> Self {
        Self(AtomicUsize::new(0))
    }
}

impl Service<()> for Warming {
    type Response = ();
    type Error = Refused;
    type Future = Ready<Result<(), Refused>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Refused>> {
        match self.0.fetch_add(1, SeqCst) {
            0 => Poll::Pending,
            _ => Poll::Ready(Ok(())),
        }
    }

    fn call(&mut self, (): ()) -> Self::Future {
        ready(Ok(()))
    }
}

#[test]
fn the_service_that_has_begun_to_become_ready_is_the_one_that_is_called() {
    let limiter = RateLimiter::per_hour(1)
        .max_wait(millis(1))
        .build()
        .expect("valid");
    let mut service = limiter.layer().layer(Warming(AtomicUsize::new(0)));
    assert_ready_ok!(spawn(service.call(())).poll());
}
