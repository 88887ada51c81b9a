//! What is foreign goes wrong: no slot is lost by it.

use super::*;
use crate::{
    Outcome,
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
