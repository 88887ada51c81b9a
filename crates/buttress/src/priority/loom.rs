//! Every interleaving of those who take, wait for and give back slots, explored by loom on the very source that runs.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p buttress --lib --release loom_`

use std::{
    future::poll_fn,
    pin::pin,
    task::{Context, Poll, Waker},
};

use loom::{
    model::Builder,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
};

use super::{
    Ageing, PriorityQueue,
    limit::{Adaptive, LimitAlgorithm, Sample},
};
use crate::{Outcome, sync::block_on};

/// A waiting call and one that ends have too many interleavings for all of them: those of at most three preemptions.
fn model(check: impl Fn() + Sync + Send + 'static) {
    let mut bounded = Builder::new();
    bounded.preemption_bound = Some(3);
    bounded.check(check);
}

fn queue(concurrency: u32) -> PriorityQueue {
    PriorityQueue::builder()
        .concurrency(concurrency)
        .ageing(Ageing::Off)
        .build()
        .expect("valid")
}

/// Holds the one slot there is, for a moment.
fn hold(queue: &PriorityQueue, inside: &AtomicUsize, class: u8) {
    let permit = block_on(queue.acquire(class)).expect("there is room to wait");
    assert_eq!(inside.fetch_add(1, SeqCst), 0, "two hold the one slot");
    inside.fetch_sub(1, SeqCst);
    drop(permit);
}

#[test]
fn loom_a_slot_is_never_doubled_and_a_waiter_always_woken() {
    model(|| {
        let shared = Arc::new((queue(1), AtomicUsize::new(0)));
        let other = shared.clone();
        let handle = thread::spawn(move || hold(&other.0, &other.1, 20));
        hold(&shared.0, &shared.1, 100);
        handle.join().expect("no panic");
        let status = shared.0.status();
        assert_eq!((status.running, status.queued), (0, 0));
        drop(shared.0.try_acquire(0).expect("the fast way is open again"));
    });
}

#[test]
fn loom_a_slot_given_back_meets_one_who_gives_up() {
    model(|| {
        let queue = queue(1);
        let slot = queue.try_acquire(60).expect("free");
        let other = queue.clone();
        let handle = thread::spawn(move || {
            // Enters, if it must, and goes away.
            let mut acquire = pin!(other.acquire(60));
            let _ = acquire.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        });
        drop(slot);
        handle.join().expect("no panic");
        assert_eq!(queue.status().running, 0);
        drop(queue.try_acquire(0).expect("the slot is not lost"));
    });
}

#[test]
fn loom_a_slot_goes_on_to_the_next_when_the_first_gives_up() {
    model(|| {
        let queue = queue(1);
        let slot = queue.try_acquire(60).expect("free");
        let mut first = Box::pin(queue.acquire(60));
        let poll = |acquire: &mut std::pin::Pin<Box<super::Acquire>>| {
            acquire.as_mut().poll(&mut Context::from_waker(Waker::noop()))
        };
        assert!(poll(&mut first).is_pending());
        let other = queue.clone();
        let second = thread::spawn(move || drop(block_on(other.acquire(60)).expect("its turn")));
        let third = thread::spawn(move || drop(slot));
        drop(first);
        second.join().expect("no panic");
        third.join().expect("no panic");
        assert_eq!(queue.status().running, 0);
    });
}

#[test]
fn loom_a_raised_limit_is_seen_by_those_who_wait() {
    model(|| {
        let queue = queue(1);
        let _slot = queue.try_acquire(60).expect("free");
        let other = queue.clone();
        let handle = thread::spawn(move || drop(block_on(other.acquire(60)).expect("its turn")));
        queue.set_concurrency(2).expect("valid");
        handle.join().expect("no panic");
        assert_eq!(queue.status().running, 1);
    });
}

/// What an adaptive limit has found out is void once another limit is set, however late it is written.
#[test]
fn loom_a_limit_that_is_set_by_hand_is_not_overwritten() {
    #[derive(Debug)]
    struct Grows;
    impl LimitAlgorithm for Grows {
        fn observe(&mut self, _: &Sample, limit: f64) -> f64 {
            limit + 1.0
        }
    }
    model(|| {
        let queue = PriorityQueue::builder()
            .concurrency(Adaptive::with(|| Grows).initial(4))
            .shed_by_load(false)
            .ageing(Ageing::Off)
            .build()
            .expect("valid");
        let permit = queue.try_acquire(60).expect("free");
        let other = queue.clone();
        let handle = thread::spawn(move || permit.record(Outcome::SUCCESS));
        other.set_concurrency(9).expect("valid");
        handle.join().expect("no panic");
        assert_eq!(queue.limit(), 9);
    });
}

#[test]
fn loom_who_waits_for_it_to_drain_is_told() {
    model(|| {
        let queue = queue(1);
        let slot = queue.try_acquire(60).expect("free");
        let mut cx = Context::from_waker(Waker::noop());
        let mut drained = pin!(queue.drained());
        assert!(drained.as_mut().poll(&mut cx).is_pending());
        let other = queue.clone();
        // It looks like one who waits until it is refused; or it does wait, and goes away.
        let late = thread::spawn(move || {
            let mut acquire = pin!(other.acquire(60));
            let _ = acquire.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        });
        let last = thread::spawn(move || drop(slot));
        queue.close();
        late.join().expect("no panic");
        last.join().expect("no panic");
        // Untold, it would not look.
        assert!(drained.as_mut().poll(&mut cx).is_ready());
    });
}

#[test]
fn loom_who_is_shed_hears_of_it() {
    model(|| {
        let queue = queue(1);
        let slot = queue.try_acquire(60).expect("free");
        let other = queue.clone();
        let handle = thread::spawn(move || {
            let mut acquire = pin!(other.acquire(20));
            let mut entered = false;
            block_on(poll_fn(|cx| {
                let polled = acquire.as_mut().poll(cx).map(|result| drop(result));
                // Whoever is not in the line yet is not shed.
                match std::mem::replace(&mut entered, true) {
                    false if polled.is_pending() => {
                        other.clear();
                        Poll::Pending
                    }
                    _ => polled,
                }
            }));
        });
        drop(slot);
        handle.join().expect("no panic");
        assert_eq!((queue.status().running, queue.status().queued), (0, 0));
    });
}
