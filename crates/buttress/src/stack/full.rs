//! Stacks that have every slot filled.

use tower::ServiceBuilder;
use tower_layer::Identity;

use super::{Build, Client, ClientSlots, Stack};
use crate::{error::ErrorLayer, replay::Same};
#[cfg(feature = "http")]
use crate::{
    http::respond::{Edge, RespondLayer},
    stack::{Server, ServerSlots},
};

/// A client's stack with every slot filled, by policies that may be off: the type of one that is read from a file.
///
/// ```
/// use buttress::{Plain, Stack, metrics::Metrics, stack::FullClient};
///
/// struct Clients {
///     db: FullClient<Plain>,
/// }
/// let clients = Clients { db: Stack::new("db").metrics(Metrics::new()).full().build() };
/// # let _ = clients.db;
/// ```
///
/// Its fallback is one that a file can write; see [`FileFallback`](crate::fallback::FileFallback).
///
/// `M` says which request [body](crate::replay) the service takes; see [`Stack::request_body`]. Where the service's
/// error can carry a rejection already, so that the stack is told to [`keep_error`](Stack::keep_error), `E` is
/// [`Identity`]. `O` and `I` are the user's own layers [outside](Stack::outside) and [inside](Stack::inside). `N` is the
/// [pool](Stack::pool) of its endpoints, where it has several: that is no policy to be switched off.
pub type FullClient<P, M = Same, E = ErrorLayer, O = Identity, I = Identity, N = Identity> =
    ServiceBuilder<<ClientSlots<P, E, O, I, N> as Build<Client<P, M>>>::Layers>;

/// A server's stack with every slot filled, by policies that may be off: the type of one that is read from a file.
/// `F` is what makes a response of a refusal, the others are as in [`FullClient`].
#[cfg(feature = "http")]
pub type FullServer<P, F = <P as Edge>::Responder, E = ErrorLayer, O = Identity, I = Identity> =
    ServiceBuilder<<ServerSlots<RespondLayer<F>, E, O, I> as Build<Server<P>>>::Layers>;

impl<K, S: Fill<K>> Stack<K, S> {
    /// Fills the slots that are not named with policies that are off. The stack is then a [`FullClient`] or a
    /// `FullServer`, whichever policies it has.
    pub fn full(self) -> Stack<K, S::Full> {
        Stack {
            place: self.place,
            kind: self.kind,
            slots: self.slots.fill(),
        }
    }
}

/// Slots that can be filled: all that a stack of the kind `K` can have.
pub trait Fill<K> {
    /// What then stands in them.
    type Full;

    /// Fills the empty ones.
    fn fill(self) -> Self::Full;
}

/// A slot that can be filled so that a `T` stands in it.
pub trait FillSlot<T> {
    /// What stands in it, or a policy that is off.
    fn fill_slot(self) -> T;
}

impl<T> FillSlot<T> for T {
    fn fill_slot(self) -> T {
        self
    }
}

impl<T> FillSlot<Option<T>> for Identity {
    fn fill_slot(self) -> Option<T> {
        None
    }
}
