//! Refusing by class for the load that is offered.

use std::{cell::RefCell, rc::Rc};

use super::*;
use crate::outcome::{Head, Token};

/// One slot, and many more calls than it can serve, for three intervals; then they are all gone.
async fn overloaded_and_deserted() -> PriorityQueue {
    let queue = built(queue(1, 1000).shed_by_load(true));
    let slot = queue.try_acquire(60).expect("free");
    let mut line = Vec::new();
    for _ in 0..3 {
        line.extend((0..20).map(|_| Waiting::enter(&queue, Priority::BACKGROUND)));
        advance(ms(260)).await;
    }
    line.push(Waiting::enter(&queue, Priority::CRITICAL));
    assert_eq!(queue.status().shed_below, Some(Priority::CRITICAL));
    drop((slot, line));
    let status = queue.status();
    assert_eq!((status.running, status.queued), (0, 0));
    queue
}

#[tokio::test(start_paused = true)]
async fn a_load_that_is_gone_refuses_nobody() {
    for idle in [250, 999, 3_600_000] {
        let queue = overloaded_and_deserted().await;
        advance(ms(idle)).await;
        let first = queue.try_acquire(Priority::BACKGROUND);
        assert!(first.is_ok(), "after {idle} ms: {first:?}");

        let queue = overloaded_and_deserted().await;
        advance(ms(idle)).await;
        let mut first = Waiting::enter(&queue, Priority::BACKGROUND);
        assert!(first.runs(), "after {idle} ms: {:?}", first.refused());
    }
}

#[tokio::test(start_paused = true)]
async fn who_looks_is_told_of_no_load_that_is_gone() {
    for idle in [250, 999, 3_600_000] {
        let queue = overloaded_and_deserted().await;
        advance(ms(idle)).await;
        assert_eq!(queue.status().shed_below, None, "after {idle} ms");
    }
    let queue = overloaded_and_deserted().await;
    let off = queue.options().shed_by_load(false);
    queue.reconfigure(off).expect("valid");
    assert_eq!(queue.status().shed_below, None, "it is off");
}

/// Four slots, 40 ms to the headers, a call every 5 ms: twice what can be served, half of it of the higher class. A stream
/// that goes on has begun all the same; otherwise the fewer are let in the more of them there are.
#[test]
fn streams_that_go_on_have_been_served() {
    for go_on in [false, true] {
        let queue = built(queue(4, 1000).shed_by_load(true));
        let streams = Rc::new(RefCell::new(Vec::new()));
        let [served, refused] = [(); 2].map(|()| Rc::new(RefCell::new([0_u32; 2])));
        let runtime = crate::test_services::paused();
        tokio::task::LocalSet::new().block_on(&runtime, async {
            let mut calls = tokio::task::JoinSet::new();
            for n in 0..4000 {
                let is_high = n % 4 == 0;
                let (queue, streams) = (queue.clone(), streams.clone());
                let (served, refused) = (served.clone(), refused.clone());
                calls.spawn_local(async move {
                    let class = if is_high { Priority::HIGH } else { Priority::NORMAL };
                    let Ok(permit) = queue.acquire(class).await else {
                        refused.borrow_mut()[usize::from(is_high)] += 1;
                        return;
                    };
                    let mut permit = permit.held_to_head();
                    tokio::time::sleep(ms(40)).await;
                    permit.head(Head::Good);
                    served.borrow_mut()[usize::from(is_high)] += 1;
                    if go_on {
                        streams.borrow_mut().push(permit);
                    }
                });
                tokio::time::sleep(ms(5)).await;
            }
            calls.shutdown().await;
        });
        let ([normal, high], [_, high_refused]) = (*served.borrow(), *refused.borrow());
        // The last are still on their way.
        assert!(
            high > 990 && high_refused == 0,
            "they go on: {go_on}; {high}, {high_refused}"
        );
        // What the others leave of a hundred a second, for twenty seconds.
        assert!((900..=1100).contains(&normal), "they go on: {go_on}; {normal}");
    }
}
