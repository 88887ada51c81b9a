//! Two threads at once. The nanoseconds are those of one call on one of them.

use std::{sync::Arc, time::Duration};

use buttress::{circuit_breaker::CircuitBreaker, priority::limit::Adaptive};
use tokio::sync::Semaphore;
use tower::{Layer, limit::ConcurrencyLimit};

use super::{breaker::around_plain, entries, peers, priority, rate_limit, stack};
use crate::{
    drive::Subject,
    floor::{Breaker, Bucket, Slots},
    service::{Plain, answer},
};

entries! { ONE_BREAKER, "circuit_breaker/closed/2_threads":
    "bare" => Subject::pair(|| Subject::plain(Plain)),
    "floor" => {
        let breaker = Breaker::new();
        Subject::pair(|| {
            let breaker = breaker.clone();
            Subject::function(move |i| Breaker::closed(&breaker, i))
        })
    },
    "buttress" => {
        let breaker = CircuitBreaker::new();
        Subject::pair(|| Subject::plain(around_plain(&breaker)))
    },
    "tower-resilience" => {
        let service = peers::tower_resilience().layer(Plain);
        Subject::pair(|| Subject::plain(service.clone()))
    },
    "recloser" => {
        let service = peers::recloser();
        Subject::pair(|| Subject::plain(service.clone()))
    },
    "failsafe" => {
        let service = peers::failsafe();
        Subject::pair(|| Subject::plain(service.clone()))
    },
}

entries! { OWN_BREAKERS, "circuit_breaker/closed/2_threads_own":
    "bare" => Subject::pair(|| Subject::plain(Plain)),
    "floor" => Subject::pair(|| {
        let breaker = Breaker::new();
        Subject::function(move |i| Breaker::closed(&breaker, i))
    }),
    "buttress" => Subject::pair(|| Subject::plain(around_plain(&CircuitBreaker::new()))),
    "tower-resilience" => Subject::pair(|| Subject::plain(peers::tower_resilience().layer(Plain))),
    "recloser" => Subject::pair(|| Subject::plain(peers::recloser())),
    "failsafe" => Subject::pair(|| Subject::plain(peers::failsafe())),
}

entries! { RATE_LIMIT, "rate_limit/allowed/2_threads":
    "bare" => Subject::pair(|| Subject::plain(Plain)),
    "floor" => {
        let bucket = Bucket::plenty();
        Subject::pair(|| {
            let bucket = bucket.clone();
            Subject::function(move |_| bucket.take())
        })
    },
    "buttress" => {
        let limiter = rate_limit::limiter();
        Subject::pair(|| Subject::plain(rate_limit::around_plain(&limiter)))
    },
    "buttress-policy" => {
        let limiter = rate_limit::limiter();
        Subject::pair(|| {
            let limiter = limiter.clone();
            Subject::function(move |_| limiter.try_acquire(1).is_ok())
        })
    },
    "governor" => {
        let limiter = rate_limit::governor();
        Subject::pair(|| {
            let limiter = limiter.clone();
            Subject::function(move |_| limiter.check().is_ok())
        })
    },
    "tower-resilience" => {
        let layer = rate_limit::tower_resilience(rate_limit::PLENTY as usize, Duration::from_secs(1));
        let service = layer.layer(Plain);
        Subject::pair(|| Subject::plain(service.clone())).within_tokio()
    },
}

entries! { RATE_LIMIT_KEYED, "rate_limit/keyed/2_threads":
    "bare" => Subject::pair(|| Subject::plain(Plain)),
    "buttress-policy" => {
        let limiter = rate_limit::keyed_limiter();
        Subject::pair(|| {
            let limiter = limiter.clone();
            Subject::function(move |i| limiter.try_acquire_for(rate_limit::one_key(i), 1).is_ok())
        })
    },
    "governor" => {
        let limiter = rate_limit::keyed_governor();
        Subject::pair(|| {
            let limiter = limiter.clone();
            Subject::function(move |i| limiter.check_key(&rate_limit::one_key(i)).is_ok())
        })
    },
}

entries! { RATE_LIMIT_MANY_KEYS, "rate_limit/keyed/many/2_threads":
    "bare" => Subject::pair(|| Subject::plain(Plain)),
    "buttress-policy" => {
        let limiter = rate_limit::keyed_limiter();
        Subject::pair(|| {
            let limiter = limiter.clone();
            Subject::function(move |i| limiter.try_acquire_for(rate_limit::many_keys(i), 1).is_ok())
        })
    },
    "governor" => {
        let limiter = rate_limit::keyed_governor();
        Subject::pair(|| {
            let limiter = limiter.clone();
            Subject::function(move |i| limiter.check_key(&rate_limit::many_keys(i)).is_ok())
        })
    },
}

entries! { PRIORITY, "priority/free/2_threads":
    "bare" => Subject::pair(|| Subject::plain(Plain)),
    "floor" => {
        let slots = Slots::new();
        Subject::pair(|| {
            let slots = slots.clone();
            Subject::function(move |i| Slots::call(&slots, || answer(i)))
        })
    },
    "buttress" => {
        let queue = priority::queue(priority::SLOTS as u32);
        Subject::pair(|| Subject::plain(priority::around_plain(&queue)))
    },
    "buttress-policy" => {
        let queue = priority::queue(priority::SLOTS as u32);
        Subject::pair(|| {
            let queue = queue.clone();
            Subject::function(move |_| priority::acquire(&queue))
        })
    },
    "tower-concurrency-limit" => {
        let service = ConcurrencyLimit::new(Plain, priority::SLOTS);
        Subject::pair(|| Subject::plain(service.clone()))
    },
    "tokio-semaphore" => {
        let semaphore = Arc::new(Semaphore::new(priority::SLOTS));
        Subject::pair(|| {
            let semaphore = semaphore.clone();
            Subject::function(move |_| priority::poll(semaphore.acquire()).is_ready())
        })
    },
    "tokio-semaphore-owned" => {
        let semaphore = Arc::new(Semaphore::new(priority::SLOTS));
        Subject::pair(|| {
            let semaphore = semaphore.clone();
            Subject::function(move |_| priority::poll(semaphore.clone().acquire_owned()).is_ready())
        })
    },
    "tower-resilience" => {
        let service = priority::tower_resilience().layer(Plain);
        Subject::pair(|| Subject::plain(service.clone())).within_tokio()
    },
}

entries! { ADAPTIVE, "priority/adaptive/2_threads":
    "bare" => Subject::pair(|| Subject::plain(Plain)),
    "floor" => {
        let slots = Slots::new();
        Subject::pair(|| {
            let slots = slots.clone();
            Subject::function(move |i| Slots::timed(&slots, || answer(i)))
        })
    },
    "buttress" => {
        let queue = priority::queue(Adaptive::gradient2());
        Subject::pair(|| Subject::plain(priority::around_plain(&queue)))
    },
    "tokio-semaphore" => {
        let semaphore = Arc::new(Semaphore::new(priority::SLOTS));
        Subject::pair(|| {
            let semaphore = semaphore.clone();
            Subject::function(move |_| priority::poll(semaphore.acquire()).is_ready())
        })
    },
}

entries! { STACK, "stack/full/2_threads":
    "bare" => Subject::pair(|| Subject::plain(Plain)),
    "buttress" => {
        let service = stack::full();
        Subject::pair(|| Subject::plain(service.clone()))
    },
    "tower-resilience" => {
        let service = stack::tower_resilience().layer(Plain);
        Subject::pair(|| Subject::plain(service.clone()))
    },
}
