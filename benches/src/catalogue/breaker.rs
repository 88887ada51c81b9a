//! The circuit breaker.

use std::time::Duration;

use buttress::circuit_breaker::{CircuitBreaker, CircuitBreakerBuilder, State};
use tower::{Layer, Service, limit::ConcurrencyLimit, load_shed::LoadShed};

use super::{entries, peers};
use crate::{
    drive::{Subject, every_second_fails},
    floor::Breaker,
    service::Plain,
};

/// Longer than any run.
const LONG: Duration = Duration::from_secs(3600);

pub(super) fn around_plain(
    breaker: &CircuitBreaker,
) -> impl Service<u64, Response = u64> + Clone + Send + use<> {
    breaker.layer().layer(buttress::ErrorLayer::new().layer(Plain))
}

fn built(options: CircuitBreakerBuilder) -> impl Service<u64> + Send + 'static {
    around_plain(&options.build().expect("the options are in order"))
}

entries! { CLOSED, "circuit_breaker/closed":
    "bare" => Subject::plain(Plain),
    "floor" => {
        let breaker = Breaker::new();
        Subject::function(move |i| Breaker::closed(&breaker, i))
    },
    "buttress" => Subject::plain(around_plain(&CircuitBreaker::new())),
    "tower-resilience" => Subject::plain(peers::tower_resilience().layer(Plain)),
    "recloser" => Subject::plain(peers::recloser()),
    "failsafe" => Subject::plain(peers::failsafe()),
    "tower-load-shed" => Subject::plain(LoadShed::new(Plain)),
    "tower-concurrency-limit" => Subject::plain(ConcurrencyLimit::new(Plain, 64)),
}

entries! {
    /// Every second call fails, so there is never a run of two.
    FAILING, "circuit_breaker/closed/failing":
    "bare" => Subject::every_second_fails(Plain),
    "floor" => {
        let breaker = Breaker::new();
        Subject::function(move |i| {
            Breaker::closed(&breaker, every_second_fails(i))
        })
    },
    "buttress" => Subject::every_second_fails(around_plain(&CircuitBreaker::new())),
    "tower-resilience" => Subject::every_second_fails(peers::tower_resilience().layer(Plain)),
    "recloser" => Subject::every_second_fails(peers::recloser()),
    "failsafe" => Subject::every_second_fails(peers::failsafe()),
}

entries! { COUNT_WINDOW, "circuit_breaker/closed/count_window":
    "bare" => Subject::plain(Plain),
    "floor" => {
        let breaker = Breaker::new();
        Subject::function(move |i| Breaker::count_window(&breaker, i))
    },
    "buttress" => Subject::plain(built(CircuitBreaker::builder().failure_rate(0.9).count_window(100))),
    "tower-resilience" => Subject::plain(peers::tower_resilience_count().layer(Plain)),
    "recloser" => Subject::plain(peers::recloser()),
}

entries! { TIME_WINDOW, "circuit_breaker/closed/time_window":
    "bare" => Subject::plain(Plain),
    "floor" => {
        let breaker = Breaker::new();
        Subject::function(move |i| Breaker::time_window(&breaker, i))
    },
    "buttress" => Subject::plain(built(
        CircuitBreaker::builder().failure_rate(0.9).time_window(Duration::from_secs(30)),
    )),
    "tower-resilience" => Subject::plain(peers::tower_resilience_time().layer(Plain)),
    "failsafe" => Subject::plain(peers::failsafe_time()),
}

entries! { SLOW_CALLS, "circuit_breaker/closed/slow_calls":
    "bare" => Subject::plain(Plain),
    "floor" => {
        let breaker = Breaker::new();
        Subject::function(move |i| Breaker::slow_calls(&breaker, i))
    },
    "buttress" => Subject::plain(built(
        CircuitBreaker::builder().slow_call_rate(0.9).slow_after(Duration::from_secs(5)),
    )),
    "tower-resilience" => Subject::plain(peers::tower_resilience_slow().layer(Plain)),
}

entries! { OPEN, "circuit_breaker/open":
    "bare" => Subject::plain(Plain),
    "floor" => {
        let breaker = Breaker::opened();
        Subject::function(move |_| Breaker::open(&breaker))
    },
    "buttress" => Subject::plain(peers::opened(built(CircuitBreaker::builder().open_for(LONG)))),
    "tower-resilience" => Subject::plain(peers::opened(peers::tower_resilience().layer(Plain))),
    "recloser" => Subject::plain(peers::opened(peers::recloser())),
    "failsafe" => Subject::plain(peers::opened(peers::failsafe())),
}

entries! {
    /// Half-open for ever, because every probe is cancelled before it is polled.
    CANCELLED_PROBES, "circuit_breaker/half_open/cancelled":
    "bare" => Subject::cancelled(Plain),
    "buttress" => {
        let breaker = CircuitBreaker::new();
        breaker.transition_to(State::HalfOpen);
        Subject::cancelled(around_plain(&breaker))
    },
}
