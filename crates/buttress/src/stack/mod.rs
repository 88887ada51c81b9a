//! The builder: policies in, one [`ServiceBuilder`] out, in the one right order.
//!
//! ```
//! # #[cfg(all(feature = "circuit-breaker", feature = "metrics", feature = "recover", feature = "retry", feature = "timeout"))] {
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//!
//! use buttress::{Registry, Stack, circuit_breaker::CircuitBreaker, metrics::Metrics, retry::Retry};
//! use tower::{Service, ServiceExt, service_fn};
//!
//! let registry = Registry::new();
//! let stack = Stack::new("db")
//!     .registry(&registry)
//!     .circuit_breaker(CircuitBreaker::builder().consecutive_failures(3).build()?)
//!     .metrics(Metrics::new())
//!     .retry(Retry::standard())
//!     .attempt_timeout(Duration::from_secs(2))?
//!     .total_timeout(Duration::from_secs(10))?
//!     .recover()
//!     .build();
//!
//! let mut db = stack.service(service_fn(async |id: u32| Ok::<_, std::io::Error>(format!("row {id}"))));
//! assert_eq!(db.ready().await?.call(7).await?, "row 7");
//! assert_eq!(registry.snapshot().at(&["db", "requests"]).and_then(|n| n.as_u64()), Some(1));
//! # Ok(()) }
//! # main().unwrap() }
//! ```
//!
//! # The order
//!
//! Policies are named in any order; [`build`](Stack::build) alone decides where each stands. Outside in:
//!
//! ```text
//!  client (new, http_client, grpc_client)        server (http_server, grpc_server)
//!
//!  outside          the user's own layer          outside          the user's own layer
//!  trace-id         the call's place in a trace   trace-id         reads the ids, and answers with them
//!                                                 respond          refusals become responses
//!  metrics                                        metrics
//!  recover                                        recover
//!  fallback
//!  total timeout    sets the deadline             deadline         reads grpc-timeout
//!  retry
//!  hedge
//!  priority         a slot, most important first  rate limit       so many in so much time
//!  pool             an endpoint for each attempt  priority         a slot, most important first
//!  rate limit       so many in so much time
//!  circuit breaker                                circuit breaker
//!  attempt timeout                                handler timeout
//!  recover                                        recover
//!  trace-id         writes the ids, each attempt
//!  error            E becomes Error<E>            error            E becomes Error<E>
//!  inside           the user's own layer          inside           the user's own layer
//!  ── the service ──                              ── the handler ──
//! ```
//!
//! * `recover` stands twice: in the outer place so that a panic of any layer but the outermost becomes an error that
//!   the metrics see; in the inner place so that a panic of the service, or of the layer around it, is a failure that
//!   the breaker sees.
//! * `trace-id` stands outermost, so that every layer, and what the metrics and the access log say of a refusal, is part
//!   of its call. Of a client it stands inside as well, where each attempt's request is given a span-id of its own.
//! * An attempt that times out is a failure to the breaker, and the retry may make another one.
//! * The total ends everything, a wait between two attempts too. A retry does not begin to wait for what would come
//!   after it. An attempt that it cuts off when that was [slow] already is a failure to the breaker all the same.
//! * The fallback answers whatever comes of all that, the end of the total too, and the metrics count what the caller
//!   sees. It has no part in the call's time.
//! * Each attempt of a retry may be hedged; a failed one is the retry's business only when its hedge has failed, too.
//! * The pool stands inside of the retry and of the hedge: each attempt asks it anew, and lands elsewhere if it can. What
//!   stands further in is for each endpoint: it has a breaker and a rate limit of its own, and each call at it its own
//!   time limit.
//! * The retry stands outside of the breaker: each attempt is a call to it, and when it opens, what is left of the
//!   attempts is not made. A failed response, and with it what it holds further in, is dropped before the retry waits.
//! * Queue and rate limit stand inside of retry and hedge, so each attempt asks them again, and a wait between two
//!   attempts holds no slot; outside of breaker and attempt timeout, to whom waiting is no slowness of the service. A
//!   call that could not begin before the total is over is refused instead.
//! * Of a client the queue stands outside of the rate limit: who waits for a slot has not taken a permit of the limit
//!   yet, which by then might be another second's. Of a server it is the other way round: who is over the limit does not
//!   get to stand in the line.
//! * A call that is refused further in than the rate limit, by an open circuit or a full queue, gives its permit back.
//! * `respond` stands outside the metrics, which so see the rejection itself; outside it they could not tell our
//!   503 from the handler's.
//! * The user's layers never have to know about rejections: [`inside`](Stack::inside) lies below the layer that
//!   brings them in, [`outside`](Stack::outside) of a server above the one that answers them.
//!
//! A server has no retry, hedge or fallback: whoever called it is the one to call again. That does not compile:
//!
//! ```compile_fail,E0277
//! # #[cfg(not(all(feature = "http", feature = "retry")))] compile_error!("there is nothing to see");
//! use buttress::{Stack, retry::Retry};
//!
//! let _ = Stack::http_server("api").retry(Retry::standard());
//! //                                ^^^^^ only for the stack of a client
//! ```
//!
//! # Bodies that can be sent again
//!
//! Over HTTP a retry asks which body the service below takes; [`replay`](crate::replay) has the whole story. By
//! default it is the caller's own, if that is one that can be boxed. Else say what to make of it,
//! `.request_body(axum::body::Body::new)`, or that the service takes any, as hyper-util's client does. However many
//! layers may send a request again, its body is wrapped and remembered once, and the service gets one and the same type.
//!
//! ```
//! # #[cfg(all(feature = "circuit-breaker", feature = "fallback", feature = "hedge", feature = "http", feature = "metrics", feature = "priority", feature = "rate-limit", feature = "recover", feature = "retry", feature = "timeout", feature = "trace-id"))] {
//! use buttress::{Http, Stack, http::ReplayBody, replay::Bare, retry::Retry, stack::FullClient};
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use tower::{ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let upstream = service_fn(async |request: Request<ReplayBody<Full<Bytes>>>| {
//!     Ok::<_, std::io::Error>(Response::new(request.into_body()))
//! });
//! let stack: FullClient<Http, Bare> =
//!     Stack::http_client("payments").retry(Retry::standard()).any_request_body().full().build();
//! let answer = stack.service(upstream).oneshot(Request::new(Full::from("a book"))).await;
//! assert!(answer.is_ok());
//! # }
//! # main() }
//! ```
//!
//! # Several endpoints
//!
//! Where one transport reaches all of them, [`pool`](Stack::pool) is a slot as any other: it writes an endpoint's address
//! into each request.
//!
//! ```
//! # #[cfg(all(feature = "circuit-breaker", feature = "http", feature = "pool", feature = "retry", feature = "timeout"))] {
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//!
//! use buttress::{Stack, circuit_breaker::CircuitBreaker, pool::Pool, retry::Retry};
//! use bytes::Bytes;
//! use http::{Request, Response, uri::Authority};
//! use http_body_util::Full;
//! use tower::{ServiceExt, service_fn};
//!
//! let pool = Pool::builder()
//!     .endpoint("a", Authority::from_static("10.0.0.1:80"))
//!     .endpoint("b", Authority::from_static("10.0.0.2:80"))
//!     .build()?;
//! let stack = Stack::http_client("payments")
//!     .retry(Retry::standard())
//!     .pool(pool.clone())
//!     .circuit_breaker(CircuitBreaker::builder().consecutive_failures(3).build()?)
//!     .attempt_timeout(Duration::from_secs(2))?
//!     .any_request_body()
//!     .build();
//!
//! let transport = service_fn(async |request: Request<_>| match request.uri().host() {
//!     Some("10.0.0.1") => Err(std::io::Error::other("down")),
//!     _ => Ok(Response::new(Full::<Bytes>::default())),
//! });
//! let client = stack.service(transport);
//! for _ in 0..20 {
//!     let request = Request::get("/books").body(Full::<Bytes>::default())?;
//!     assert!(client.clone().oneshot(request).await.is_ok());
//! }
//! assert!(pool.snapshot().endpoint("b").is_some_and(|b| b.success == 20));
//! # Ok(()) }
//! # main().unwrap() }
//! ```
//!
//! Where each endpoint is a service of its own, with its own connections, [`build_split`](Stack::build_split) gives two
//! halves, for above and below the pool.
//!
//! # What it costs
//!
//! Around a plain service, with every slot filled, nothing is allocated for a call whose first attempt succeeds, nor
//! for one that is refused; but one that waits in the queue is an allocation, and a trace-id is one, the context that it
//! is in. Over HTTP the [`CallContext`](crate::CallContext) in the request's extensions, which carries trace and
//! deadline, is four allocations: a map, its table, the context, and the [`Tally`](crate::context::Tally) that all
//! copies of it share. What retry and hedge keep of the request, its headers as a list, is one each; the values of the
//! headers that a trace-id writes are one for an attempt and one for an answer. So a `GET` through a client with every
//! slot filled but the trace-id is six, without a hedge five, and with neither a deadline nor a retry none. A pool of
//! several endpoints keeps the headers as well, which is one more.
//!
//! # Why it is built like this
//!
//! * **A slot holds a policy, not a layer.** The layers are made in `build`, when the protocol is known; so setters
//!   come in any order, and the two kinds of stack have one set of setters and two orders.
//! * **A slot that is not named is [`Identity`](tower_layer::Identity):** no cost, and no bound that only that layer
//!   would need: a request need not be `Clone` for a stack without retry.
//! * **A slot may be filled with `None`:** a policy that is off. The type is that of a policy that is on, so a stack
//!   that is read from a file has one type, [`FullClient`] or `FullServer`, which a struct can name without a box.
//!   [`full`](Stack::full) switches off what is not named.
//! * **What can be wrong is said where it is written.** A policy was checked when it was built; a time limit may be
//!   given as a mere `Duration`, and then its setter returns a `Result`. So `build` cannot fail.
//!
//! [slow]: crate::circuit_breaker::CircuitBreakerBuilder::slow_after

#[macro_use]
mod table;

#[cfg(all(
    feature = "circuit-breaker",
    feature = "fallback",
    feature = "hedge",
    feature = "metrics",
    feature = "priority",
    feature = "rate-limit",
    feature = "recover",
    feature = "retry",
    feature = "timeout",
    feature = "trace-id"
))]
mod config;
#[cfg(all(
    feature = "circuit-breaker",
    feature = "fallback",
    feature = "hedge",
    feature = "metrics",
    feature = "priority",
    feature = "rate-limit",
    feature = "recover",
    feature = "retry",
    feature = "timeout",
    feature = "trace-id"
))]
mod full;
mod keeps;
mod kind;
#[cfg(feature = "timeout")]
mod limit;
mod place;
mod slot;
mod slots;
mod split;

use std::sync::Arc;

pub use keeps::{Keeping, Keeps, Kept, Mode, Untouched};
#[cfg(feature = "http")]
pub use kind::Server;
pub use kind::{Attempts, Calls, Client, Handles, Kind};
#[cfg(feature = "timeout")]
pub use limit::TimeLimit;
pub use place::Place;
pub use slot::Slot;
pub use slots::Slots;
#[cfg(feature = "pool")]
pub use split::{Lower, LowerOf};
pub use split::{Split, Unfilled};
use tower::ServiceBuilder;

#[cfg(feature = "http")]
use crate::http::{Grpc, Http, respond::Edge};
use crate::{
    outcome::Plain,
    registry::Registry,
    replay::{Bare, With},
};
#[cfg(feature = "http")]
use slots::Responding;

with_every_concern! {
    pub use config::ClientConfig;
    pub use full::{Fill, FullClient};
    pub use slots::ClientSlots;
}

#[cfg(feature = "http")]
with_every_concern! {
    pub use config::ServerConfig;
    pub use full::FullServer;
    pub use slots::ServerSlots;
}

/// A stack of policies being put together; the [module](self) tells the whole story.
///
/// `K` is the kind of stack, `S` what stands in its [`Slots`]. Nobody needs to write them: a finished stack is a
/// [`ServiceBuilder`], and [`FullClient`] and `FullServer` name the ones that have every slot filled.
#[derive(Clone, Debug)]
#[must_use = "a stack does nothing until it is built and put around a service"]
pub struct Stack<K, S = Slots> {
    place: Place,
    kind: K,
    slots: S,
}

/// Slots whose policies can be put in the order of a stack of the kind `K`.
pub trait Build<K> {
    /// The layers, one inside the other.
    type Layers;

    /// Makes the layers.
    fn build(self, kind: &K, place: Place) -> ServiceBuilder<Self::Layers>;
}

impl<K> Stack<K> {
    fn of(name: impl Into<Arc<str>>, kind: K) -> Self {
        Self {
            place: Place::new(name.into()),
            kind,
            slots: Slots::default(),
        }
    }
}

impl Stack<Client<Plain>> {
    /// Around a service that is neither HTTP nor gRPC: a function, a database call.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self::of(name, Client::new(Plain::new()))
    }
}

#[cfg(feature = "http")]
impl Stack<Client<Http>> {
    /// Around an HTTP client.
    pub fn http_client(name: impl Into<Arc<str>>) -> Self {
        Self::of(name, Client::new(Http::new()))
    }
}

#[cfg(feature = "http")]
impl Stack<Client<Grpc>> {
    /// Around a gRPC channel.
    pub fn grpc_client(name: impl Into<Arc<str>>) -> Self {
        Self::of(name, Client::new(Grpc::new()))
    }
}

#[cfg(feature = "http")]
impl Stack<Server<Http>, Responding<Http>> {
    /// Around an HTTP handler or router.
    pub fn http_server(name: impl Into<Arc<str>>) -> Self {
        Stack::of(
            name,
            Server {
                protocol: Http::new(),
            },
        )
        .respond_with(Http::new().responder())
    }
}

#[cfg(feature = "http")]
impl Stack<Server<Grpc>, Responding<Grpc>> {
    /// Around gRPC services.
    pub fn grpc_server(name: impl Into<Arc<str>>) -> Self {
        Stack::of(
            name,
            Server {
                protocol: Grpc::new(),
            },
        )
        .respond_with(Grpc::new().responder())
    }
}

impl<K, S> Stack<K, S> {
    /// Lists every policy of the stack in `registry` when it is built, under the policy's own name or, if it has
    /// none, the stack's.
    pub fn registry(mut self, registry: &Registry) -> Self {
        self.place.set_registry(registry);
        self
    }

    /// Puts the layers in their order. `.layer(..)` and `.service(..)` go on from here.
    pub fn build(self) -> ServiceBuilder<S::Layers>
    where
        S: Build<K>,
    {
        self.slots.build(&self.kind, self.place)
    }

    fn with_kind<L>(self, kind: impl FnOnce(K) -> L) -> Stack<L, S> {
        Stack {
            place: self.place,
            kind: kind(self.kind),
            slots: self.slots,
        }
    }
}

impl<P, M, S> Stack<Client<P, M>, S> {
    /// Judges the service's answers by a protocol of your own, or one with your own classification.
    pub fn protocol<Q>(self, protocol: Q) -> Stack<Client<Q, M>, S> {
        self.with_kind(|kind| Client {
            protocol,
            mode: kind.mode,
        })
    }

    /// Makes a body for the service below of a request's body that can be sent again: `axum::body::Body::new`,
    /// `tonic::body::Body::new`. Only what calls again asks for it.
    pub fn request_body<F>(self, body: F) -> Stack<Client<P, With<F>>, S> {
        self.body_mode(With(body))
    }

    /// Lets the service below have the body that can be sent again as it is, for one that takes any body:
    /// hyper-util's client takes a `ReplayBody<B>` where it took `B`.
    pub fn any_request_body(self) -> Stack<Client<P, Bare>, S> {
        self.body_mode(Bare)
    }

    /// Says which request [body](crate::replay) the service below takes, by a mode whose type has a name.
    pub fn body_mode<N>(self, mode: N) -> Stack<Client<P, N>, S> {
        self.with_kind(|kind| Client {
            protocol: kind.protocol,
            mode,
        })
    }
}

#[cfg(feature = "http")]
impl<P, S> Stack<Server<P>, S> {
    /// Judges the handler's answers by a protocol of your own, or one with your own classification.
    pub fn protocol<Q>(self, protocol: Q) -> Stack<Server<Q>, S> {
        self.with_kind(|_| Server { protocol })
    }
}

#[cfg(all(
    test,
    not(loom),
    feature = "circuit-breaker",
    feature = "fallback",
    feature = "hedge",
    feature = "metrics",
    feature = "priority",
    feature = "rate-limit",
    feature = "recover",
    feature = "retry",
    feature = "timeout",
    feature = "trace-id"
))]
mod tests;
