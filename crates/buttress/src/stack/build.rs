//! The two orders.

use tower::ServiceBuilder;
use tower_layer::{Identity, Stack as On};

#[cfg(feature = "http")]
use super::Server;
use super::{Client, Slot, Stack};
#[cfg(feature = "http")]
use crate::http::respond::RespondLayer;

/// The type of layers one inside the other, written outside in as one reads it. [`tower_layer::Stack`] is written
/// inside out.
macro_rules! Chain {
    (@ $outer:ty;) => { ServiceBuilder<$outer> };
    (@ $outer:ty; $next:ty, $($rest:ty,)*) => { Chain!(@ On<$next, $outer>; $($rest,)*) };
    ($($layer:ty,)+) => { Chain!(@ Identity; $($layer,)+) };
}

/// The layers themselves, outside in.
macro_rules! chain {
    ($($layer:expr),+ $(,)?) => { ServiceBuilder::new()$(.layer($layer))+ };
}

/// What [`Stack::build`] makes of a client's stack.
pub type ClientStack<P, O, M, R, B, E, I> = Chain!(
    O,
    <M as Slot<P>>::Layer,
    <R as Slot<P>>::Layer,
    <B as Slot<P>>::Layer,
    <R as Slot<P>>::Layer,
    <E as Slot<P>>::Layer,
    I,
);

/// What [`Stack::build`] makes of a server's stack.
#[cfg(feature = "http")]
pub type ServerStack<P, F, O, M, R, B, E, I> = Chain!(
    O,
    RespondLayer<F>,
    <M as Slot<P>>::Layer,
    <R as Slot<P>>::Layer,
    <B as Slot<P>>::Layer,
    <R as Slot<P>>::Layer,
    <E as Slot<P>>::Layer,
    I,
);

impl<P, O, M, R, B, E, I> Stack<Client<P>, O, M, R, B, E, I>
where
    M: Slot<P>,
    R: Slot<P> + Clone,
    B: Slot<P>,
    E: Slot<P>,
{
    /// Puts the layers in their order. `.layer(..)` and `.service(..)` go on from here.
    pub fn build(self) -> ClientStack<P, O, M, R, B, E, I> {
        let (protocol, place) = (&self.kind.protocol, &self.place);
        chain![
            self.outside,
            self.metrics.into_layer(protocol, place),
            self.recover.clone().into_layer(protocol, place),
            self.breaker.into_layer(protocol, place),
            self.recover.into_layer(protocol, place),
            self.error.into_layer(protocol, place),
            self.inside,
        ]
    }
}

#[cfg(feature = "http")]
impl<P, F, O, M, R, B, E, I> Stack<Server<P, F>, O, M, R, B, E, I>
where
    M: Slot<P>,
    R: Slot<P> + Clone,
    B: Slot<P>,
    E: Slot<P>,
{
    /// Puts the layers in their order. `.layer(..)` and `.service(..)` go on from here.
    pub fn build(self) -> ServerStack<P, F, O, M, R, B, E, I> {
        let (protocol, place) = (&self.kind.protocol, &self.place);
        chain![
            self.outside,
            self.kind.respond,
            self.metrics.into_layer(protocol, place),
            self.recover.clone().into_layer(protocol, place),
            self.breaker.into_layer(protocol, place),
            self.recover.into_layer(protocol, place),
            self.error.into_layer(protocol, place),
            self.inside,
        ]
    }
}
