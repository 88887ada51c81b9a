//! What a stack is put around, and what follows from it.

use super::keeps::{self, Keeps, Mode};
use crate::replay::Same;

/// The kind of a stack around a service that is called, speaking the protocol `P`. `M` says which request
/// [body](crate::replay) the service takes.
#[derive(Clone, Copy, Debug)]
pub struct Client<P, M = Same> {
    pub(super) protocol: P,
    pub(super) mode: M,
}

/// The kind of a stack around a handler, speaking the protocol `P`.
#[cfg(feature = "http")]
#[derive(Clone, Copy, Debug)]
pub struct Server<P> {
    pub(super) protocol: P,
}

impl<P> Client<P> {
    pub(super) const fn new(protocol: P) -> Self {
        Self { protocol, mode: Same }
    }
}

/// What every kind of stack has.
pub trait Kind {
    /// Whether requests come in from a client, as they do at a server, and are not sent on.
    const INBOUND: bool;

    /// How calls end, and what that says.
    type Protocol: Clone;

    /// How calls end, and what that says.
    fn protocol(&self) -> &Self::Protocol;
}

impl<P: Clone, M> Kind for Client<P, M> {
    const INBOUND: bool = false;
    type Protocol = P;

    fn protocol(&self) -> &P {
        &self.protocol
    }
}

#[cfg(feature = "http")]
impl<P: Clone> Kind for Server<P> {
    const INBOUND: bool = true;
    type Protocol = P;

    fn protocol(&self) -> &P {
        &self.protocol
    }
}

/// A kind of stack around a service that is called: [`Client`].
///
/// Only such a stack has a place for what makes a call a second time.
#[diagnostic::on_unimplemented(
    message = "this has no place in the stack of a `{Self}`, which stands around a handler",
    label = "only for the stack of a client",
    note = "whoever called is the one to call again: retry, hedge and fallback belong into the client's stack",
    note = "the time limits of a server are `.deadline(..)` and `.handler_timeout(..)`"
)]
pub trait Calls {
    /// The same kind as one sees it that may send requests again and stands between others that may; see [`Mode`].
    type Between<Outer: Keeps, Inner: Keeps>;

    /// The same, the value.
    fn between<Outer: Keeps, Inner: Keeps>(&self) -> Self::Between<Outer, Inner>;
}

impl<P: Clone, M: Clone> Calls for Client<P, M> {
    type Between<Outer: Keeps, Inner: Keeps> = Client<P, Mode<Outer, Inner, M>>;

    fn between<Outer: Keeps, Inner: Keeps>(&self) -> Self::Between<Outer, Inner> {
        Client {
            protocol: self.protocol.clone(),
            mode: keeps::mode::<Outer, Inner, M>(self.mode.clone()),
        }
    }
}

/// A kind of stack around a handler: `Server`.
#[diagnostic::on_unimplemented(
    message = "this has no place in the stack of a `{Self}`, which stands around a service that is called",
    label = "only for the stack of a server",
    note = "the time limits of a client are `.total_timeout(..)` and `.attempt_timeout(..)`"
)]
pub trait Handles {}

#[cfg(feature = "http")]
impl<P> Handles for Server<P> {}
