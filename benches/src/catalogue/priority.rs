//! Slots: the priority queue, and what else lets so many run at a time.
//!
//! `buttress` is the layer around a service, `policy` a permit taken and given back, as from a semaphore.

use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use buttress::{
    ErrorLayer, Outcome,
    priority::{Concurrency, Priority, PriorityQueue, limit::Adaptive},
};
use tokio::sync::Semaphore;
use tower::{Layer, Service, limit::ConcurrencyLimit, load_shed::LoadShed};
use tower_resilience::{
    adaptive::{AdaptiveLimiterLayer, Aimd, Vegas},
    bulkhead::BulkheadLayer,
};

use super::entries;
use crate::{
    drive::Subject,
    floor::Slots,
    service::{Plain, answer},
};

pub(super) const SLOTS: usize = 64;

pub(super) fn queue(concurrency: impl Into<Concurrency>) -> PriorityQueue {
    let builder = PriorityQueue::builder().name("bench").concurrency(concurrency);
    builder.build().expect("the options are in order")
}

pub(super) fn around_plain(queue: &PriorityQueue) -> impl Service<u64> + Clone + Send + use<> {
    queue.layer().layer(ErrorLayer::new().layer(Plain))
}

/// Waits for a slot, which is there, and says how the call ended.
pub(super) fn acquire(queue: &PriorityQueue) -> bool {
    match poll(queue.acquire(Priority::NORMAL)) {
        Poll::Ready(Ok(permit)) => {
            permit.record(Outcome::SUCCESS);
            true
        }
        _ => false,
    }
}

#[inline]
pub(super) fn poll<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

pub(super) fn tower_resilience() -> BulkheadLayer {
    BulkheadLayer::builder()
        .max_concurrent_calls(SLOTS)
        .build()
        .expect("the options are in order")
}

entries! {
    /// There is a slot.
    FREE, "priority/free":
    "bare" => Subject::plain(Plain),
    "floor" => {
        let slots = Slots::new();
        Subject::function(move |i| Slots::call(&slots, || answer(i)))
    },
    "buttress" => Subject::plain(around_plain(&queue(SLOTS as u32))),
    "buttress-policy" => {
        let queue = queue(SLOTS as u32);
        Subject::function(move |_| acquire(&queue))
    },
    "buttress-policy-try" => {
        let queue = queue(SLOTS as u32);
        Subject::function(move |_| queue.try_acquire(Priority::NORMAL).map(|permit| permit.record(Outcome::SUCCESS)).is_ok())
    },
    "tower-concurrency-limit" => Subject::plain(ConcurrencyLimit::new(Plain, SLOTS)),
    "tokio-semaphore" => {
        let semaphore = Semaphore::new(SLOTS);
        Subject::function(move |_| poll(semaphore.acquire()).is_ready())
    },
    "tokio-semaphore-owned" => {
        let semaphore = Arc::new(Semaphore::new(SLOTS));
        Subject::function(move |_| poll(semaphore.clone().acquire_owned()).is_ready())
    },
    "tower-resilience" => Subject::plain(tower_resilience().layer(Plain)).within_tokio(),
}

entries! {
    /// There is no slot, and nobody may wait.
    REFUSED, "priority/refused":
    "bare" => Subject::plain(Plain),
    "buttress" => {
        let builder = PriorityQueue::builder().name("bench").concurrency(1).queue(0);
        let queue = builder.build().expect("the options are in order");
        std::mem::forget(queue.try_acquire(Priority::NORMAL));
        Subject::plain(around_plain(&queue))
    },
    // It does not say when to come back.
    "tower-concurrency-limit+load-shed" => {
        let semaphore = Arc::new(Semaphore::new(0));
        Subject::plain(LoadShed::new(ConcurrencyLimit::with_semaphore(Plain, semaphore)))
    },
}

entries! {
    /// The limit finds out by itself, from two clock reads a call. It is never reached here, so it does not change.
    ADAPTIVE, "priority/adaptive":
    "bare" => Subject::plain(Plain),
    "floor" => {
        let slots = Slots::new();
        Subject::function(move |i| Slots::timed(&slots, || answer(i)))
    },
    "buttress" => Subject::plain(around_plain(&queue(Adaptive::gradient2()))),
    "buttress-vegas" => Subject::plain(around_plain(&queue(Adaptive::vegas()))),
    "buttress-aimd" => Subject::plain(around_plain(&queue(Adaptive::aimd()))),
    "buttress-fixed" => Subject::plain(around_plain(&queue(SLOTS as u32))),
    "tower-resilience-vegas" => {
        let vegas = Vegas::builder().initial_limit(SLOTS).build();
        let layer = AdaptiveLimiterLayer::new(vegas.expect("the options are in order"));
        Subject::plain(layer.layer(Plain)).within_tokio()
    },
    "tower-resilience-aimd" => {
        let aimd = Aimd::builder().initial_limit(SLOTS).latency_threshold(Duration::from_secs(1)).build();
        let layer = AdaptiveLimiterLayer::new(aimd.expect("the options are in order"));
        Subject::plain(layer.layer(Plain)).within_tokio()
    },
}
