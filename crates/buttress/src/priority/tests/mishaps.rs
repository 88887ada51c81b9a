//! What is foreign goes wrong: no slot is lost by it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tower::Service;
use tower_layer::Layer;

use super::*;
use crate::{
    Error, Outcome,
    priority::limit::{Adaptive, LimitAlgorithm, Sample},
};

/// Grows by one with each call, but for the first.
#[derive(Debug)]
struct Unlucky {
    calls: u32,
}

impl LimitAlgorithm for Unlucky {
    fn observe(&mut self, _: &Sample, limit: f64) -> f64 {
        self.calls += 1;
        assert!(self.calls > 1, "bad luck");
        limit + 1.0
    }
}

#[test]
fn an_algorithm_that_panics_costs_no_slot_and_is_asked_again() {
    let unlucky = Adaptive::with(|| Unlucky { calls: 0 }).min(1).initial(4);
    let queue = built(queue(1, 10).concurrency(unlucky).shed_by_load(false));
    // Not even its own call pays for it.
    queue.try_acquire(60).expect("free").record(Outcome::SUCCESS);
    let status = queue.status();
    assert_eq!((status.running, status.completed, status.limit), (0, 1, 4));
    for _ in 0..10 {
        queue.try_acquire(60).expect("free").record(Outcome::SUCCESS);
    }
    assert_eq!(queue.limit(), 14);
}

#[test]
fn a_timer_that_cannot_be_made_costs_no_slot() {
    let queue = built(queue(1, 10).max_queue_time(Priority::NORMAL, ms(50)));
    let answer = tower::service_fn(|_: ()| std::future::ready(Ok::<_, Error<()>>(1)));
    let mut service = queue.layer().layer(answer);
    // On no runtime at all, so that nobody can tell the time.
    let mut cx = Context::from_waker(Waker::noop());
    for by_layer in [false, true] {
        let slot = queue.try_acquire(60).expect("free");
        let panicked = catch_unwind(AssertUnwindSafe(|| match by_layer {
            true => Box::pin(service.call(())).as_mut().poll(&mut cx).is_ready(),
            false => Box::pin(queue.acquire(60)).as_mut().poll(&mut cx).is_ready(),
        }));
        assert!(panicked.is_err());
        assert_eq!(queue.status().queued, 0, "by the layer: {by_layer}");
        drop(slot);
        assert_eq!(queue.status().running, 0, "by the layer: {by_layer}");
    }
}
