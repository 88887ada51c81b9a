//! HTTP, the response's body read to its end.

use buttress::{
    ErrorLayer, Http as HttpProtocol, Stack, circuit_breaker::CircuitBreaker, metrics::Metrics,
    recover::Recover, trace_id::TraceId,
};
use tower::{Layer, ServiceBuilder};
use tower_http::{
    catch_panic::CatchPanicLayer,
    metrics::InFlightRequestsLayer,
    request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer},
    trace::TraceLayer,
};

use super::{entries, peers, recorder, stack};
use crate::{
    drive::Subject,
    floor::Headed,
    service::{Http, Seen, get},
};

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
    // Calls, those in flight and durations, to the headers.
    "axum-prometheus" => Subject::http(recorder::axum_prometheus().layer(Http)),
    // It counts calls in flight and nothing else.
    "tower-http-in-flight" => Subject::http(InFlightRequestsLayer::pair().0.layer(Http)),
}

entries! { TRACE_ID_INBOUND, "http/trace_id/inbound":
    "bare" => Subject::http(Http),
    // An extension and a header, and the tables for both, which are new in request and response.
    "floor" => Subject::http(Headed::inbound(Http)),
    // The id in the context, around the handler and in the answer; span and access log have no listener.
    "buttress" => {
        let layer = TraceId::w3c().layer_for(HttpProtocol::new()).inbound();
        Subject::http(layer.layer(Http))
    },
    "tower-http-request-id+trace" => {
        let stack = ServiceBuilder::new()
            .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
            .layer(TraceLayer::new_for_http())
            .layer(PropagateRequestIdLayer::x_request_id());
        Subject::http(stack.service(Http))
    },
}

// A request and a response that have headers and extensions already, as those of hosts do.
entries! { TRACE_ID_INBOUND_SEEN, "http/trace_id/inbound/host":
    "bare" => Subject::http_from(Seen, seen()),
    "floor" => Subject::http_from(Headed::inbound(Seen), seen()),
    "buttress" => {
        let layer = TraceId::w3c().layer_for(HttpProtocol::new()).inbound();
        Subject::http_from(layer.layer(Seen), seen())
    },
}

/// A request as a server has it from its host, made anew each time.
fn seen() -> impl FnMut() -> crate::service::HttpRequest {
    let mut request = get();
    request.extensions_mut().insert(7_u8);
    move || request.clone()
}

entries! { TRACE_ID_OUTBOUND, "http/trace_id/outbound":
    "bare" => Subject::http(Http),
    "floor" => Subject::http(Headed::outbound(Http)),
    // One header, in a request that goes out.
    "tower-http-request-id" => {
        Subject::http(SetRequestIdLayer::x_request_id(MakeRequestUuid).layer(Http))
    },
    "buttress" => {
        let trace = TraceId::w3c();
        let stack = ServiceBuilder::new()
            .layer(trace.layer_for(HttpProtocol::new()))
            .layer(trace.attempt_layer_for(HttpProtocol::new()))
            .layer(ErrorLayer::new());
        Subject::http(stack.service(Http))
    },
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
