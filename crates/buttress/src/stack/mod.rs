//! The builder: policies in, one [`ServiceBuilder`](tower::ServiceBuilder) out, in the one right order.
//!
//! ```
//! # #[cfg(all(feature = "circuit-breaker", feature = "recover", feature = "metrics"))] {
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use buttress::{Registry, Stack, circuit_breaker::CircuitBreaker, metrics::Metrics};
//! use tower::{Service, ServiceExt, service_fn};
//!
//! let registry = Registry::new();
//! let stack = Stack::new("db")
//!     .registry(&registry)
//!     .circuit_breaker(CircuitBreaker::builder().consecutive_failures(3).build()?)
//!     .metrics(Metrics::new())
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
//!  client (new, http_client, grpc_client)      server (http_server, grpc_server)
//!
//!  outside      the user's own layer            outside      the user's own layer
//!                                               respond      refusals become responses
//!  metrics                                      metrics
//!  recover                                      recover
//!  circuit breaker                              circuit breaker
//!  recover                                      recover
//!  error        E becomes Error<E>              error        E becomes Error<E>
//!  inside       the user's own layer            inside       the user's own layer
//!  ── the service ──                            ── the handler ──
//! ```
//!
//! * `recover` stands twice: in the outer place so that a panic anywhere, a user's own layer included, becomes an
//!   error that the metrics see; in the inner place so that a panic of the service is a failure that the breaker
//!   sees.
//! * `respond` stands outside the metrics, which so see the rejection itself; outside it they could not tell our
//!   503 from the handler's.
//! * The user's layers never have to know about rejections: [`inside`](Stack::inside) lies below the layer that
//!   brings them in, [`outside`](Stack::outside) of a server above the one that answers them.
//!
//! # Why it is built like this
//!
//! * **A slot holds a policy, not a layer.** The layers are made in `build`, when the protocol is known; so setters
//!   come in any order, and the two kinds of stack have one set of setters and two `build`s.
//! * **A slot that is not named is [`Identity`]:** no cost, and no bound that only that layer would need.
//! * **A slot may be filled with `None`:** a policy that is off. The type is that of a policy that is on, so a stack
//!   that is read from a file has one type, [`FullClient`] or [`FullServer`], which a struct can name without a box.

mod build;
#[cfg(all(feature = "circuit-breaker", feature = "metrics", feature = "recover"))]
mod config;
#[cfg(all(feature = "circuit-breaker", feature = "metrics", feature = "recover"))]
mod full;
mod slot;

use std::sync::Arc;

pub use build::ClientStack;
#[cfg(feature = "http")]
pub use build::ServerStack;
#[cfg(all(feature = "circuit-breaker", feature = "metrics", feature = "recover"))]
pub use config::StackConfig;
#[cfg(all(feature = "circuit-breaker", feature = "metrics", feature = "recover"))]
pub use full::FullClient;
#[cfg(all(
    feature = "circuit-breaker",
    feature = "http",
    feature = "metrics",
    feature = "recover"
))]
pub use full::FullServer;
pub use slot::{Place, Slot};
use tower_layer::Identity;

#[cfg(feature = "circuit-breaker")]
use crate::circuit_breaker::CircuitBreaker;
#[cfg(feature = "http")]
use crate::http::{
    Grpc, Http,
    respond::{Edge, RespondLayer, Responder},
};
#[cfg(feature = "metrics")]
use crate::metrics::Metrics;
#[cfg(feature = "recover")]
use crate::recover::Recover;
use crate::{error::ErrorLayer, outcome::Plain, registry::Registry};

/// A stack of policies being put together; the [module](self) tells the whole story.
///
/// The type parameters are the kind of stack and its slots. Nobody needs to write them: a finished stack is a
/// [`ServiceBuilder`](tower::ServiceBuilder), and [`FullClient`] and [`FullServer`] name the ones that have every
/// slot filled.
#[derive(Clone, Debug)]
#[must_use = "a stack does nothing until it is built and put around a service"]
pub struct Stack<
    Kind,
    Outside = Identity,
    MetricsSlot = Identity,
    RecoverSlot = Identity,
    BreakerSlot = Identity,
    ErrorSlot = ErrorLayer,
    Inside = Identity,
> {
    place: Place,
    kind: Kind,
    outside: Outside,
    metrics: MetricsSlot,
    recover: RecoverSlot,
    breaker: BreakerSlot,
    error: ErrorSlot,
    inside: Inside,
}

/// The kind of a stack around a service that is called, speaking the protocol `P`.
#[derive(Clone, Copy, Debug)]
pub struct Client<P> {
    protocol: P,
}

/// The kind of a stack around a handler, speaking the protocol `P` and refusing in the form of `R`.
#[cfg(feature = "http")]
#[derive(Clone, Copy, Debug)]
pub struct Server<P, R> {
    protocol: P,
    respond: RespondLayer<R>,
}

impl<Kind> Stack<Kind> {
    fn of(name: impl Into<Arc<str>>, kind: Kind) -> Self {
        Self {
            place: Place::new(name.into()),
            kind,
            outside: Identity::new(),
            metrics: Identity::new(),
            recover: Identity::new(),
            breaker: Identity::new(),
            error: ErrorLayer::new(),
            inside: Identity::new(),
        }
    }
}

impl Stack<Client<Plain>> {
    /// Around a service that is neither HTTP nor gRPC: a function, a database call.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self::of(
            name,
            Client {
                protocol: Plain::new(),
            },
        )
    }
}

#[cfg(feature = "http")]
impl Stack<Client<Http>> {
    /// Around an HTTP client.
    pub fn http_client(name: impl Into<Arc<str>>) -> Self {
        Self::of(
            name,
            Client {
                protocol: Http::new(),
            },
        )
    }
}

#[cfg(feature = "http")]
impl Stack<Client<Grpc>> {
    /// Around a gRPC channel.
    pub fn grpc_client(name: impl Into<Arc<str>>) -> Self {
        Self::of(
            name,
            Client {
                protocol: Grpc::new(),
            },
        )
    }
}

#[cfg(feature = "http")]
impl Stack<Server<Http, <Http as Edge>::Responder>> {
    /// Around an HTTP handler or router.
    pub fn http_server(name: impl Into<Arc<str>>) -> Self {
        Self::of(name, Server::new(Http::new()))
    }
}

#[cfg(feature = "http")]
impl Stack<Server<Grpc, <Grpc as Edge>::Responder>> {
    /// Around gRPC services.
    pub fn grpc_server(name: impl Into<Arc<str>>) -> Self {
        Self::of(name, Server::new(Grpc::new()))
    }
}

#[cfg(feature = "http")]
impl<P: Edge> Server<P, P::Responder> {
    fn new(protocol: P) -> Self {
        let respond = RespondLayer::with(protocol.responder());
        Self { protocol, respond }
    }
}

/// Writes a setter: the slot that it fills, and those that it leaves alone.
macro_rules! setter {
    (
        $(#[$meta:meta])*
        $name:ident$(<$generic:ident>)?($argument:ident: $type:ty) = $value:expr;
        [$($before:ident: $Before:ident),*] $slot:ident: $Slot:ty [$($after:ident: $After:ident),*]
    ) => {
        $(#[$meta])*
        pub fn $name$(<$generic>)?(self, $argument: $type) -> Stack<$($Before,)* $Slot, $($After,)*> {
            Stack {
                place: self.place,
                $($before: self.$before,)*
                $slot: $value,
                $($after: self.$after,)*
            }
        }
    };
}

impl<K, O, M, R, B, E, I> Stack<K, O, M, R, B, E, I> {
    /// Lists every policy of the stack in `registry` when it is built, under the policy's own name or, if it has
    /// none, the stack's.
    pub fn registry(mut self, registry: &Registry) -> Self {
        self.place.set_registry(registry);
        self
    }

    setter! {
        /// Counts every call, its outcome and its durations. `None` is off.
        #[cfg(feature = "metrics")]
        metrics(metrics: impl Into<Option<Metrics>>) = metrics.into();
        [kind: K, outside: O] metrics: Option<Metrics> [recover: R, breaker: B, error: E, inside: I]
    }

    setter! {
        /// Turns panics into errors, with a [`Recover`] of your own; `None` is off. See
        /// [`recover`](Self::recover).
        #[cfg(feature = "recover")]
        recover_with(recover: impl Into<Option<Recover>>) = recover.into();
        [kind: K, outside: O, metrics: M] recover: Option<Recover> [breaker: B, error: E, inside: I]
    }

    /// Turns panics into errors.
    #[cfg(feature = "recover")]
    pub fn recover(self) -> Stack<K, O, M, Option<Recover>, B, E, I> {
        self.recover_with(Recover::new())
    }

    setter! {
        /// Stops calling the service while it is down. `None` is off.
        #[cfg(feature = "circuit-breaker")]
        circuit_breaker(breaker: impl Into<Option<CircuitBreaker>>) = breaker.into();
        [kind: K, outside: O, metrics: M, recover: R] breaker: Option<CircuitBreaker> [error: E, inside: I]
    }

    setter! {
        /// Puts a layer of your own above everything else. Use a [`tower_layer::Stack`] or a `ServiceBuilder` for
        /// several.
        outside<L>(layer: L) = layer;
        [kind: K] outside: L [metrics: M, recover: R, breaker: B, error: E, inside: I]
    }

    setter! {
        /// Puts a layer of your own below everything else, directly around the service. It never sees a rejection.
        inside<L>(layer: L) = layer;
        [kind: K, outside: O, metrics: M, recover: R, breaker: B, error: E] inside: L []
    }

    /// Leaves out the layer that turns the service's error `E` into [`Error<E>`](crate::Error): for services whose
    /// error is a [`CallError`](crate::CallError) already, such as tower's `Buffer` (a `BoxError`) or another
    /// stack. Rejections from in there are then understood as what they are.
    pub fn keep_error(self) -> Stack<K, O, M, R, B, Identity, I> {
        Stack {
            place: self.place,
            kind: self.kind,
            outside: self.outside,
            metrics: self.metrics,
            recover: self.recover,
            breaker: self.breaker,
            error: Identity::new(),
            inside: self.inside,
        }
    }

    fn with_kind<Kind>(self, kind: impl FnOnce(K) -> Kind) -> Stack<Kind, O, M, R, B, E, I> {
        Stack {
            place: self.place,
            kind: kind(self.kind),
            outside: self.outside,
            metrics: self.metrics,
            recover: self.recover,
            breaker: self.breaker,
            error: self.error,
            inside: self.inside,
        }
    }
}

impl<P, O, M, R, B, E, I> Stack<Client<P>, O, M, R, B, E, I> {
    /// Judges the service's answers by a protocol of your own, or one with your own classification.
    pub fn protocol<Q>(self, protocol: Q) -> Stack<Client<Q>, O, M, R, B, E, I> {
        self.with_kind(|_| Client { protocol })
    }
}

#[cfg(feature = "http")]
impl<P, F, O, M, R, B, E, I> Stack<Server<P, F>, O, M, R, B, E, I> {
    /// Judges the handler's answers by a protocol of your own, or one with your own classification.
    pub fn protocol<Q>(self, protocol: Q) -> Stack<Server<Q, F>, O, M, R, B, E, I> {
        self.with_kind(|kind| Server {
            protocol,
            respond: kind.respond,
        })
    }

    /// Answers refusals in a form of your own.
    pub fn respond_with<G: Responder>(self, responder: G) -> Stack<Server<P, G>, O, M, R, B, E, I> {
        self.with_kind(|kind| Server {
            protocol: kind.protocol,
            respond: RespondLayer::with(responder),
        })
    }
}

#[cfg(all(
    test,
    not(loom),
    feature = "circuit-breaker",
    feature = "metrics",
    feature = "recover"
))]
mod tests;
