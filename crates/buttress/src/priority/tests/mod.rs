//! What becomes of calls, by permits, by futures and through the layer.

mod by_hand;
mod cost;
mod load;
mod mishaps;
mod model;
mod options;
mod order;
mod service;
mod simulation;
#[cfg(feature = "http")]
mod wire;

use std::{
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::time::advance;

use super::*;
use crate::{Rejected, RejectionKind, clock};

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn queue(concurrency: u32, waiting: u32) -> PriorityQueueBuilder {
    PriorityQueue::builder()
        .name("q")
        .concurrency(concurrency)
        .queue(waiting)
        .ageing(Ageing::Off)
}

fn built(options: PriorityQueueBuilder) -> PriorityQueue {
    options.build().expect("valid options")
}

/// A call that has been polled once, and waits or has its permit.
struct Waiting {
    acquire: Pin<Box<Acquire>>,
    result: Option<Result<Permit, Rejected>>,
}

impl Waiting {
    fn enter(queue: &PriorityQueue, class: impl Into<Priority>) -> Self {
        let mut waiting = Self {
            acquire: Box::pin(queue.acquire(class)),
            result: None,
        };
        waiting.poll();
        waiting
    }

    fn poll(&mut self) {
        if self.result.is_none() {
            let mut cx = Context::from_waker(Waker::noop());
            if let Poll::Ready(result) = self.acquire.as_mut().poll(&mut cx) {
                self.result = Some(result);
            }
        }
    }

    fn waits(&mut self) -> bool {
        self.poll();
        self.result.is_none()
    }

    fn runs(&mut self) -> bool {
        self.poll();
        matches!(self.result, Some(Ok(_)))
    }

    fn permit(mut self) -> Permit {
        self.poll();
        self.result.expect("it is over").expect("a permit")
    }

    fn refused(&mut self) -> Option<RejectionKind> {
        self.poll();
        let result = self.result.as_ref()?;
        result.as_ref().err().map(Rejected::kind)
    }
}

fn enter_all<const N: usize>(queue: &PriorityQueue, classes: [Priority; N]) -> [Waiting; N] {
    classes.map(|class| Waiting::enter(queue, class))
}

/// Frees one slot after another, and says in which order those who wait get one.
fn order_of_service(waiting: &mut [Waiting], mut slot: Permit) -> Vec<usize> {
    let mut order = Vec::new();
    loop {
        drop(slot);
        let next = (0..waiting.len()).find(|i| waiting[*i].runs());
        let Some(next) = next else { return order };
        order.push(next);
        slot = waiting[next].result.take().expect("it runs").expect("a permit");
        waiting[next].result = Some(Err(Rejected::new(RejectionKind::Custom, "over")));
    }
}
