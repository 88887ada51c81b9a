//! What an interceptor can do: look at a request's metadata before it is sent or handled, change them, or refuse.
//!
//! It sees no answer, so it cannot count outcomes, time a call or call again: those need a [stack](crate::client). What
//! it can do is here, each for one policy that a stack elsewhere may share:
//!
//! | | on a client | on a server |
//! |---|---|---|
//! | [`TraceIds`] | writes `traceparent` and `x-request-id` | reads them into the request's extensions |
//! | [`Limit`] | refuses beyond a rate, one for all or one a method | refuses beyond a rate, one for all |
//! | [`Check`] | refuses what a breaker would refuse, one for all or one a method | the same, one for all |
//!
//! A server's interceptor is not told the method; a stack's layer is. tonic makes a response of what an interceptor
//! refuses, and a status of that again: code, message and when to come again arrive, the refusal as its source does not.
//!
//! ```
//! use buttress::{Grpc, RequestProtocol, circuit_breaker::KeyedCircuitBreaker, trace_id::TraceId};
//! use buttress_tonic::{StatusLayer, interceptor::{Check, Chain, TraceIds}};
//! use tonic::{service::interceptor::InterceptedService, transport::Endpoint};
//! use tower::ServiceBuilder;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let channel = Endpoint::from_static("http://127.0.0.1:50051").connect_lazy();
//!
//! // One breaker a method. A layer tells it how calls end, an interceptor asks it.
//! let breakers = KeyedCircuitBreaker::builder("users").build()?;
//! let observed = ServiceBuilder::new()
//!     .layer(StatusLayer::new())
//!     .layer(breakers.layer_by(Grpc::new(), |request: &http::Request<tonic::body::Body>| Grpc::new().route(request)))
//!     .layer(buttress::ErrorLayer::new())
//!     .service(channel);
//! let channel = InterceptedService::new(observed, Chain(TraceIds::new(TraceId::w3c()), Check::by_method(breakers)));
//! // let mut users = UsersClient::new(channel);
//! # let _ = channel;
//! # Ok(()) }
//! ```

mod check;
mod limit;
mod method;
mod trace_ids;

pub use check::Check;
pub use limit::Limit;
pub use trace_ids::TraceIds;

use tonic::{Request, Status, service::Interceptor};

/// One interceptor after the other.
#[derive(Clone, Copy, Debug, Default)]
pub struct Chain<A, B>(pub A, pub B);

impl<A: Interceptor, B: Interceptor> Interceptor for Chain<A, B> {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        let request = self.0.call(request)?;
        self.1.call(request)
    }
}
