//! HTTP, the response's body read to its end.

use buttress::{
    ErrorLayer, Http as HttpProtocol, Stack, circuit_breaker::CircuitBreaker, metrics::Metrics,
    recover::Recover,
};
use tower::{Layer, ServiceBuilder};
use tower_http::{catch_panic::CatchPanicLayer, metrics::InFlightRequestsLayer};

use super::{entries, peers, stack};
use crate::{drive::Subject, service::Http};

entries! { CIRCUIT_BREAKER, "http/circuit_breaker":
    "bare" => Subject::http(Http),
    "buttress" => {
        let layer = CircuitBreaker::new().layer_for(HttpProtocol::new());
        Subject::http(layer.layer(ErrorLayer::new().layer(Http)))
    },
    // Its verdict falls at the headers, whatever becomes of the body.
    "tower-resilience" => Subject::http(peers::tower_resilience().layer(Http)),
}

entries! { RECOVER, "http/recover":
    "bare" => Subject::http(Http),
    "buttress" => {
        let layer = Recover::new().layer_for(HttpProtocol::new());
        Subject::http(layer.layer(ErrorLayer::new().layer(Http)))
    },
    // It catches what `call` and the future throw, not `poll_ready` and the body.
    "tower-http-catch-panic" => Subject::http(CatchPanicLayer::new().layer(Http)),
}

entries! { METRICS, "http/metrics":
    "bare" => Subject::http(Http),
    "buttress" => {
        let layer = Metrics::new().layer_for(HttpProtocol::new());
        Subject::http(layer.layer(ErrorLayer::new().layer(Http)))
    },
    // It counts calls in flight and nothing else.
    "tower-http-in-flight" => Subject::http(InFlightRequestsLayer::pair().0.layer(Http)),
}

entries! { STACK, "http/stack/full":
    "bare" => Subject::http(Http),
    "buttress" => {
        let stack = Stack::http_client("bench")
            .metrics(Metrics::new())
            .recover()
            .circuit_breaker(CircuitBreaker::new())
            .build();
        Subject::http(stack.service(Http))
    },
    // Calls in flight, panics caught outside and inside, tower-resilience's breaker with its listeners. No durations.
    "tower-http+tower-resilience" => {
        let stack = ServiceBuilder::new()
            .layer(InFlightRequestsLayer::pair().0)
            .layer(CatchPanicLayer::new())
            .layer(stack::tower_resilience())
            .layer(CatchPanicLayer::new());
        Subject::http(stack.service(Http))
    },
}
