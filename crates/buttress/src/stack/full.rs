//! Stacks that have every slot filled.

use tower_layer::Identity;

use super::ClientStack;
use crate::{circuit_breaker::CircuitBreaker, error::ErrorLayer, metrics::Metrics, recover::Recover};
#[cfg(feature = "http")]
use crate::{http::Edge, stack::ServerStack};

/// A client's stack with every slot filled, by policies that may be off: the type of one that is read from a file.
///
/// ```
/// use buttress::{Plain, Stack, metrics::Metrics, stack::FullClient};
///
/// struct Clients {
///     db: FullClient<Plain>,
/// }
/// let clients = Clients {
///     db: Stack::new("db").metrics(Metrics::new()).circuit_breaker(None).recover_with(None).build(),
/// };
/// # let _ = clients.db;
/// ```
///
/// Where the service's error can carry a rejection already, so that the stack is told to
/// [`keep_error`](super::Stack::keep_error), `E` is [`Identity`].
pub type FullClient<P, E = ErrorLayer> =
    ClientStack<P, Identity, Option<Metrics>, Option<Recover>, Option<CircuitBreaker>, E, Identity>;

/// A server's stack with every slot filled, by policies that may be off: the type of one that is read from a file.
/// `E` is as in [`FullClient`].
#[cfg(feature = "http")]
pub type FullServer<P, F = <P as Edge>::Responder, E = ErrorLayer> =
    ServerStack<P, F, Identity, Option<Metrics>, Option<Recover>, Option<CircuitBreaker>, E, Identity>;
