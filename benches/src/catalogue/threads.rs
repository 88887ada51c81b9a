//! Two threads at once. The nanoseconds are those of one call on one of them.

use buttress::circuit_breaker::CircuitBreaker;
use tower::Layer;

use super::{breaker::around_plain, entries, peers, stack};
use crate::{drive::Subject, floor::Breaker, service::Plain};

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
