//! Which call is which: one id for a request through all the services that it passes, and a line for each call.
//!
//! ```
//! # #[cfg(feature = "http")] {
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! use std::convert::Infallible;
//!
//! use buttress::{Http, trace_id::{self, TraceId}};
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
//!
//! let trace = TraceId::w3c();
//!
//! // A server: the layer of calls that come in.
//! let mut server = ServiceBuilder::new()
//!     .layer(trace.layer_for(Http::new()).inbound())
//!     .service(service_fn(async |_: Request<()>| {
//!         let id = trace_id::current().expect("every request has one");
//!         Ok::<_, Infallible>(Response::new(Full::<bytes::Bytes>::from(id.to_string())))
//!     }));
//!
//! let request = Request::get("/")
//!     .header("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
//!     .body(()).unwrap();
//! let response = server.ready().await.unwrap().call(request).await.unwrap();
//! assert_eq!(response.headers()["x-request-id"], "4bf92f3577b34da6a3ce929d0e0e4736");
//!
//! // A client: one layer for the call, outside of any retry, and one for each attempt at it, inside.
//! let mut client = ServiceBuilder::new()
//!     .layer(trace.layer_for(Http::new()))
//!     .layer(trace.attempt_layer_for(Http::new()))
//!     .service(service_fn(async |request: Request<()>| {
//!         assert!(request.headers().contains_key("traceparent"));
//!         Ok::<_, buttress::BoxError>(Response::new(Full::<bytes::Bytes>::default()))
//!     }));
//! client.ready().await.unwrap().call(Request::new(())).await.unwrap();
//! # }
//! # main() }
//! ```
//!
//! # Ids
//!
//! | header | read, from requests that come in | written, to requests that go out |
//! |---|---|---|
//! | `traceparent` | by the letter of [W3C Trace Context] | the trace, and a new span-id for each attempt |
//! | `tracestate` | beside a good `traceparent`, if it is a good list | as it came |
//! | `x-request-id` | up to 128 letters, digits and `-_.~:/+=@` | as it came, or the trace-id |
//!
//! A request without any begins a trace, with a random id of 128 bits. One with nothing but an `x-request-id` that is a
//! UUID, or 32 digits, has that for its trace-id. The response bears the `x-request-id`, refusals too, in place of one
//! that it may have. In gRPC it is all the same: metadata are headers.
//!
//! What no use can be made of (a `traceparent` that is none or is there twice, a list that is too long, an id with
//! anything else in it) is taken out of the request. It is counted, and appears nowhere, in no log either. Whoever is
//! not to be believed at all is not, by [`accept(false)`](TraceIdBuilder::accept).
//!
//! [W3C Trace Context]: https://www.w3.org/TR/trace-context-2/
//!
//! # In the code that serves a request
//!
//! [`current`] is the id, in a handler and across its `.await`s, in its response body, and in tasks that were started
//! by [`spawn`] or wrapped by [`in_current`]. The context further in ([`CallContext::trace`](crate::CallContext::trace))
//! has the whole place in the trace. A client called by the handler goes on with the same trace by itself.
//!
//! # In the logs
//!
//! Each call has a `tracing` span under the target `buttress::trace_id`: `request` for one that comes in and `call` for
//! one that goes out, at `INFO`, and inside of that an `attempt` for each, at `DEBUG`. And each has a line under
//! `buttress::access` when it is over, to the end of the response's body: at `INFO` if it came in, at `DEBUG` if it
//! went out, with trace-id, method, route, status, outcome, attempts, time in queues, and time to the headers and to the
//! end. If nobody listens to a target, that costs a look at a flag.
//!
//! The route is what the protocol says it is, never a path: a gRPC method, in HTTP the `MatchedRoute` that whoever
//! routes has put there, or nothing.
//!
//! # Beside OpenTelemetry
//!
//! This layer reads and writes ids; it exports nothing, and does not know the OpenTelemetry SDK. `tracing-opentelemetry`
//! exports the spans here as it does any, and by itself in a trace of its own, whatever a request says. With two things of
//! `buttress-opentelemetry` it is the same trace, and the same spans:
//!
//! * Its `AdoptLayer`, outside of this layer, tells the SDK who sent a request, and this layer which span the SDK is in.
//! * Its `Ids` are what the SDK's provider takes its ids from: then they are those here. What is sent on is then the id of
//!   an `attempt`, so export these too, which are at `DEBUG`.
//! * If another layer makes a span for each request already, switch those here off by
//!   [`spans(false)`](TraceIdBuilder::spans), or there are two.
//! * A `traceparent` that somebody further out has written into a request that goes out is left as it is, and the call
//!   takes its trace-id. Only what came in with the request that is being served, handed on as a proxy does, is
//!   written anew. Where the other layer stands further in, switch this one off by
//!   [`propagate(false)`](TraceIdBuilder::propagate).
//! * A [`Trace`](crate::context::Trace) that an outer layer has put into the [`CallContext`](crate::CallContext) is gone
//!   on with: that is how ids of a trace which the SDK has begun get here.
//!
//! # What it costs
//!
//! With nobody listening: the one extension of a request, the context in it, and the values of the headers that are
//! written; both headers of an attempt are in one allocation. Nothing grows.

mod attempt;
mod beginning;
mod body;
mod builder;
mod carrier;
mod config;
mod direction;
mod future;
mod hex;
mod id;
mod layer;
mod origin;
mod parent;
mod policy;
mod record;
#[cfg_attr(not(feature = "http"), allow(dead_code))]
mod request_id;
mod service;
#[cfg_attr(not(feature = "http"), allow(dead_code))]
mod state;
mod task;
#[cfg(feature = "http")]
mod wire;

pub use attempt::{AttemptFuture, AttemptLayer, AttemptService};
pub use beginning::beginning;
pub use body::TraceBody;
pub use builder::TraceIdBuilder;
pub use carrier::{Answer, Carrier, Received};
pub use direction::{Direction, Inbound, Outbound};
pub use future::TraceIdFuture;
pub use id::{Id, NotAnId};
pub use layer::TraceIdLayer;
pub use parent::TraceParent;
pub(crate) use policy::FAMILIES;
pub use policy::{Snapshot, TraceId};
pub use record::TraceToken;
pub use service::TraceIdService;
pub use task::{current, current_trace, in_current, spawn};

/// In the registry, and the default name.
const CONCERN: &str = "trace_id";

#[cfg(all(test, not(loom)))]
mod tests;
