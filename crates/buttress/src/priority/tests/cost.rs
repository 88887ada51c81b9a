//! What a call costs in memory.

use tower::Service;
use tower_layer::Layer;

use super::*;
use crate::Error;

/// Allocations made by what is measured, after it was done once.
fn allocations(mut work: impl FnMut()) -> u64 {
    work();
    allocation_counter::measure(work).count_total
}

fn poll<F: Future>(future: F) -> Poll<F::Output> {
    std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn a_free_slot_costs_no_allocation() {
    let queue = built(queue(2, 10));
    assert_eq!(allocations(|| drop(queue.try_acquire(60).expect("free"))), 0);
    assert_eq!(allocations(|| assert!(poll(queue.acquire(60)).is_ready())), 0);
    assert_eq!(
        allocations(|| assert!(poll(queue.call(60, async { Ok::<_, ()>(1) })).is_ready())),
        0
    );
    let answer = tower::service_fn(|_: ()| std::future::ready(Ok::<_, Error<()>>(1)));
    let mut service = queue.layer().layer(answer);
    assert_eq!(allocations(|| assert!(poll(service.call(())).is_ready())), 0);
    let mut off = PriorityLayer::new(None, crate::Plain::new()).layer(answer);
    assert_eq!(allocations(|| assert!(poll(off.call(())).is_ready())), 0);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_costs_at_most_one_allocation() {
    let queue = built(queue(1, 10).max_queue_time(Priority::NORMAL, ms(100)));
    let mut slot = Some(queue.try_acquire(60).expect("free"));
    let mut waits_and_runs = || {
        let mut acquire = std::pin::pin!(queue.acquire(60));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(acquire.as_mut().poll(&mut cx).is_pending());
        drop(slot.take());
        match acquire.as_mut().poll(&mut cx) {
            Poll::Ready(Ok(permit)) => slot = Some(permit),
            _ => panic!("it is its turn"),
        }
    };
    for _ in 0..3 {
        assert!(allocations(&mut waits_and_runs) <= 1);
    }
}

#[test]
fn a_refusal_costs_no_allocation() {
    let queue = built(queue(1, 0));
    let _slot = queue.try_acquire(60).expect("free");
    assert_eq!(allocations(|| assert!(poll(queue.acquire(60)).is_ready())), 0);
    let answer = tower::service_fn(|_: ()| std::future::ready(Ok::<_, Error<()>>(1)));
    let mut service = queue.layer().layer(answer);
    assert_eq!(allocations(|| assert!(poll(service.call(())).is_ready())), 0);
}

#[test]
fn a_million_wait_half_of_them_leave_and_all_end() {
    const MILLION: usize = 1_000_000;
    let queue = built(queue(1, MILLION as u32));
    let mut slot = Some(queue.try_acquire(60).expect("free"));
    let mut waiting: Vec<Option<Pin<Box<Acquire>>>> = Vec::new();
    let mut cx = Context::from_waker(Waker::noop());
    let memory = allocation_counter::measure(|| {
        waiting.reserve_exact(MILLION);
        for i in 0..MILLION {
            let mut acquire = Box::pin(queue.acquire([100, 80, 60, 40, 20][i % 5]));
            assert!(acquire.as_mut().poll(&mut cx).is_pending());
            waiting.push(Some(acquire));
        }
    });
    // The box is the test's: a task has it in itself.
    let each = memory.bytes_max / MILLION as u64 - size_of::<Pin<Box<Acquire>>>() as u64;
    assert!(each <= 256, "{each} bytes a waiter");
    assert_eq!(queue.status().queued, MILLION);
    for acquire in waiting.iter_mut().step_by(2) {
        *acquire = None;
    }
    assert_eq!(queue.status().queued, MILLION / 2);
    drop(slot.take());
    let mut ended = 0;
    // By class, in the order in which they came.
    for class in 0..5 {
        for i in (class..MILLION).step_by(5).filter(|i| i % 2 == 1) {
            let acquire = waiting[i].as_mut().expect("it waits");
            match acquire.as_mut().poll(&mut cx) {
                Poll::Ready(Ok(permit)) => drop(permit),
                other => panic!("it is the turn of {i}: {other:?}"),
            }
            ended += 1;
        }
    }
    assert_eq!(ended, MILLION / 2);
    let status = queue.status();
    assert_eq!(
        (status.running, status.queued, status.left),
        (0, 0, MILLION as u64 / 2)
    );
}
