//! Endpoints that are not ready, and calls that wait for them.

use std::task::{Context, Poll, Waker};

use tokio_test::{assert_pending, assert_ready, task};

use super::*;

/// A service whose readiness is given by hand, one call at a time.
#[derive(Clone)]
struct Gated(Arc<Gate>, bool);

#[derive(Default)]
struct Gate {
    number: u32,
    places: Mutex<Places>,
}

#[derive(Default)]
struct Places {
    free: usize,
    broken: bool,
    wakers: Vec<Waker>,
    polls: usize,
}

impl Gate {
    fn new(number: u32, free: usize) -> Arc<Self> {
        let gate = Self {
            number,
            ..Self::default()
        };
        gate.places.lock().expect("no panic").free = free;
        Arc::new(gate)
    }

    fn open(&self, places: usize) {
        let mut held = self.places.lock().expect("no panic");
        held.free += places;
        let wakers = std::mem::take(&mut held.wakers);
        drop(held);
        wakers.into_iter().for_each(Waker::wake);
    }

    fn break_down(&self) {
        self.places.lock().expect("no panic").broken = true;
        self.open(0);
    }

    fn free(&self) -> usize {
        self.places.lock().expect("no panic").free
    }
}

impl Service<()> for Gated {
    type Response = u32;
    type Error = Failed;
    type Future = std::future::Ready<Answer>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        let mut places = self.0.places.lock().expect("no panic");
        places.polls += 1;
        if places.broken {
            return Poll::Ready(Err(Error::Inner("broken")));
        }
        if self.1 {
            return Poll::Ready(Ok(()));
        }
        if places.free == 0 {
            places.wakers.push(cx.waker().clone());
            return Poll::Pending;
        }
        places.free -= 1;
        self.1 = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (): ()) -> Self::Future {
        assert!(std::mem::take(&mut self.1), "called without being ready");
        std::future::ready(Ok(self.0.number))
    }
}

/// A clone is not ready, and one that is dropped gives its place back.
impl Drop for Gated {
    fn drop(&mut self) {
        if self.1 {
            self.0.open(1);
        }
    }
}

fn gated(gates: &[Arc<Gate>]) -> Pool<Gated> {
    let endpoints = gates.iter().enumerate();
    Pool::builder()
        .balance(Strategy::RoundRobin)
        .extend(endpoints.map(|(i, gate)| Endpoint::new(i.to_string(), Gated(gate.clone(), false))))
        .build()
        .expect("valid")
}

#[test]
fn one_that_is_not_ready_holds_up_no_call() {
    let gates = [Gate::new(0, 0), Gate::new(1, 100), Gate::new(2, 0)];
    let pool = gated(&gates);
    let mut service = pool.service();
    let mut cx = Context::from_waker(Waker::noop());
    for _ in 0..20 {
        assert!(service.poll_ready(&mut cx).is_ready());
        let mut call = task::spawn(service.call(()));
        assert_eq!(assert_ready!(call.poll()), Ok(1));
    }
}

#[test]
fn where_none_is_ready_the_first_that_gets_ready_has_the_call() {
    for first in 0..3 {
        let gates = [Gate::new(0, 0), Gate::new(1, 0), Gate::new(2, 0)];
        let pool = gated(&gates);
        let mut call = task::spawn(pool.service().call(()));
        assert_pending!(call.poll());
        assert!(!call.is_woken());
        gates[first as usize].open(1);
        assert!(call.is_woken());
        assert_eq!(assert_ready!(call.poll()), Ok(first));
    }
}

#[test]
fn a_call_that_waits_holds_no_place_and_does_not_poll_itself() {
    let gates = [Gate::new(0, 0), Gate::new(1, 0)];
    let pool = gated(&gates);
    let mut calls: Vec<_> = (0..10).map(|_| task::spawn(pool.service().call(()))).collect();
    for call in &mut calls {
        assert_pending!(call.poll());
        assert!(!call.is_woken());
    }
    assert!(
        pool.snapshot()
            .endpoints
            .iter()
            .all(|e| e.in_flight == 0 && e.calls == 0)
    );
    drop(calls);
    for gate in &gates {
        gate.open(1);
        assert_eq!(gate.free(), 1);
        assert_eq!(gate.places.lock().expect("no panic").polls, 10);
    }
}

#[test]
fn every_waiting_call_gets_a_place_that_comes_free() {
    let gates = [Gate::new(0, 0), Gate::new(1, 0)];
    let pool = gated(&gates);
    let mut calls: Vec<_> = (0..8).map(|_| task::spawn(pool.service().call(()))).collect();
    for call in &mut calls {
        assert_pending!(call.poll());
    }
    gates[1].open(8);
    for call in &mut calls {
        assert!(call.is_woken());
        assert_eq!(assert_ready!(call.poll()), Ok(1));
    }
}

#[test]
fn a_waiting_call_goes_to_an_endpoint_that_is_added() {
    let gates = [Gate::new(0, 0)];
    let pool = gated(&gates);
    let mut call = task::spawn(pool.service().call(()));
    assert_pending!(call.poll());
    pool.add(Endpoint::new("1", Gated(Gate::new(1, 1), false)))
        .expect("valid");
    assert!(call.is_woken());
    assert_eq!(assert_ready!(call.poll()), Ok(1));
}

#[test]
fn all_waiting_calls_hear_of_an_endpoint_that_is_added() {
    let gates = [Gate::new(0, 0)];
    let pool = gated(&gates);
    let mut calls: Vec<_> = (0..8).map(|_| task::spawn(pool.service().call(()))).collect();
    for call in &mut calls {
        assert_pending!(call.poll());
    }
    pool.add(Endpoint::new("1", Gated(Gate::new(1, 8), false)))
        .expect("valid");
    for call in &mut calls {
        assert!(call.is_woken());
        assert_eq!(assert_ready!(call.poll()), Ok(1));
    }
}

#[test]
fn a_waiting_call_leaves_an_endpoint_that_is_removed() {
    let gates = [Gate::new(0, 0)];
    let pool = gated(&gates);
    let mut call = task::spawn(pool.service().call(()));
    assert_pending!(call.poll());
    pool.remove("0");
    assert!(call.is_woken());
    let refused = assert_ready!(call.poll());
    assert_eq!(kind(&refused), Some(RejectionKind::NoEndpoint));
    drop(call);
    // And what stood behind it is gone.
    assert_eq!(Arc::strong_count(&gates[0]), 1);
}

#[test]
fn a_broken_endpoint_is_passed_over_for_every_call() {
    let gates = [Gate::new(0, 9), Gate::new(1, 9)];
    let pool = gated(&gates);
    gates[0].break_down();
    pool.reconfigure(pool.options().failover(0)).expect("valid");
    for _ in 0..4 {
        let mut call = task::spawn(pool.service().call(()));
        assert_eq!(assert_ready!(call.poll()), Ok(1));
    }
    assert!(pool.snapshot().endpoint("0").is_some_and(|e| e.failure > 0));
    gates[1].break_down();
    let mut call = task::spawn(pool.service().call(()));
    assert_eq!(assert_ready!(call.poll()), Err(Error::Inner("broken")));
}

#[test]
fn a_failed_call_waits_for_another_endpoint_to_get_ready() {
    let gates = [Gate::new(0, 1), Gate::new(1, 0)];
    let pool = gated(&gates);
    let fails = pool.service();
    // Its first answer is taken for a failure.
    let judge = |result: &Answer| match result {
        Ok(0) => Outcome::failure(Reason::Error),
        _ => Outcome::SUCCESS,
    };
    drop(fails);
    let mut service = pool.service_for(crate::Plain::classify(judge));
    let mut call = task::spawn(service.call(()));
    assert_pending!(call.poll());
    gates[1].open(1);
    assert!(call.is_woken());
    assert_eq!(assert_ready!(call.poll()), Ok(1));
}

/// A service that does something when it is asked whether it is ready.
#[derive(Clone)]
struct Asked(u32, Arc<dyn Fn(u32) + Send + Sync>);

impl Service<()> for Asked {
    type Response = u32;
    type Error = Failed;
    type Future = std::future::Ready<Answer>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        (self.1)(self.0);
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (): ()) -> Self::Future {
        std::future::ready(Ok(self.0))
    }
}

#[test]
fn a_call_that_has_looked_but_not_chosen_does_not_go_to_what_is_removed() {
    for drain in [false, true] {
        let pool = Arc::new(std::sync::OnceLock::<Pool<Asked>>::new());
        let handle = pool.clone();
        // Between the look at the endpoints and the choice, the first of them goes.
        let asked: Arc<dyn Fn(u32) + Send + Sync> = Arc::new(move |number| {
            let pool = handle.get().expect("it is built");
            match (number, drain) {
                (0, false) => drop(pool.remove("0")),
                (0, true) => drop(pool.drain("0")),
                _ => {}
            }
        });
        let built = Pool::builder()
            .balance(Strategy::RoundRobin)
            .breaker(breaker())
            .endpoint("0", Asked(0, asked.clone()))
            .endpoint("1", Asked(1, asked))
            .build()
            .expect("valid");
        let pool = pool.get_or_init(|| built);
        let mut call = task::spawn(pool.service().call(()));
        assert_eq!(assert_ready!(call.poll()), Ok(1), "{drain}");
        let first = pool.snapshot();
        let first = first.endpoint("0").map(|e| (e.calls, e.in_flight));
        assert_eq!(first, drain.then_some((0, 0)));
    }
}
