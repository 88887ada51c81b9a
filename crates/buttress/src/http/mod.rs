//! All that knows HTTP and gRPC on the wire.
//!
//! * [`Http`] and [`Grpc`] say when a call is over and what it says about the service that answered, to the end
//!   of the stream. Every layer that wants to know takes one of them.
//! * [`RespondLayer`] turns what a layer refused into a response, at the edge of a server.
//!
//! ```
//! use std::{convert::Infallible, sync::mpsc};
//!
//! use buttress::{Error, Grpc, Outcome, Protocol, Token, Verdict, outcome::Reason};
//! use http_body_util::{BodyExt, Full};
//!
//! /// Reports what became of a call.
//! struct Report(mpsc::Sender<Outcome>);
//!
//! impl Token for Report {
//!     fn finish(self, outcome: Outcome) {
//!         self.0.send(outcome).expect("somebody listens");
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! // HTTP status 200, half an answer, and in the trailers: UNAVAILABLE.
//! let mut trailers = http::HeaderMap::new();
//! trailers.insert("grpc-status", "14".parse().unwrap());
//! let body = Full::<bytes::Bytes>::from("half an answer").with_trailers(async { Some(Ok(trailers)) });
//! let result: Result<_, Error<Infallible>> = Ok(http::Response::new(body));
//!
//! assert_eq!(Grpc::new().verdict(&result), None); // the headers do not tell
//!
//! let (sender, outcomes) = mpsc::channel();
//! let response = Grpc::new().observe(result, Some(Report(sender))).unwrap();
//! assert!(outcomes.try_recv().is_err()); // nor has anybody read on
//!
//! response.into_body().collect().await.unwrap();
//! assert_eq!(outcomes.recv(), Ok(Outcome::new(Verdict::Failure, Reason::GrpcStatus(14))));
//! # }
//! ```
//!
//! # Why it is built like this
//!
//! * **A response is over when its stream is.** A gRPC server that breaks in mid-stream has sent a 200 long ago;
//!   whoever classifies by headers alone books the outage as success. So the [`Token`](crate::Token) moves into
//!   the body, [`Observed`], by value: no box, no channel back.
//! * **But no later.** A 503, a trailers-only answer and an empty body are decided at the headers; a body whose
//!   reader stops at [`is_end_stream`](http_body::Body::is_end_stream), as hyper does, is decided there.
//! * **A missing status is a failure.** A gRPC stream that ends cleanly without `grpc-status` was cut by something
//!   between the two ends: hyper, for one, turns a peer's `RST_STREAM(CANCEL)` into a clean end.
//! * **A neutral or throttled answer is final at its headers:** nothing that its body does can make it say more.
//! * **The judgement is the user's, the observation is ours.** [`Http::classify`] and [`Grpc::classify`] replace
//!   the tables of status and codes. When a call is over, that a broken body is a failure, and how far a
//!   `Retry-After` is believed stay what they are.
//! * **What the body carries is small:** the token, one flag, and for gRPC a judgement that has no size by
//!   default. A response is moved once per layer, and those moves are most of what a layer costs.

mod grpc;
mod head;

mod observed;
mod peek;
mod peer;
pub mod replay;
pub mod respond;
mod retry_after;
mod route;
mod status;

pub use grpc::{ClassifyCode, CodeVerdict, Grpc};
pub use head::ResponseHead;
pub use observed::{EndOfBody, Observed};
pub use peek::Peeked;
pub use peer::{FindPeer, PeerAddr, PeerLayer, PeerService};
pub use replay::{BodyMode, HostBody, ReplayBody, SavedBody, SavedRequest};
pub use respond::{Edge, GrpcResponder, HttpResponder, RespondLayer, Responder};
pub use route::MatchedRoute;
pub use status::{ClassifyHead, Http, StatusVerdict};

#[cfg(test)]
mod tests;
