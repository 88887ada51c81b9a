//! Refusing by class for the load that is offered.

use std::{cell::RefCell, rc::Rc};

use super::*;
use crate::outcome::{Head, Token};

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
        assert_eq!((high, high_refused), (1000, 0), "they go on: {go_on}");
        // What the others leave of a hundred a second, for twenty seconds.
        assert!((900..=1100).contains(&normal), "they go on: {go_on}; {normal}");
    }
}
