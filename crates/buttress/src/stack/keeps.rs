//! Which body each of the layers that call again gets, if there are several of them in a stack.
//!
//! The body of an HTTP request is remembered while it is sent, in a `ReplayBody`. Of all who want to send it again the
//! outermost wraps it, those further in share what is remembered, and the innermost gives the service the body that it
//! takes. Alone it does both. So what a slot's layer does depends on what stands in the other slots: that is worked out
//! here, by types alone.

use tower_layer::Identity;

use crate::replay::{Again, Bare};

/// What may stand in a slot, as seen by those who keep requests.
#[diagnostic::on_unimplemented(
    message = "a stack cannot tell whether `{Self}` keeps the bodies of requests",
    note = "what a fallback keeps of requests by a type of your own: let that be `Keeps<By = Untouched>` if it leaves the request's type as it is"
)]
pub trait Keeps {
    /// Whether it keeps requests: [`Untouched`] or [`Kept`].
    type By: Keeping;
}

/// Whether bodies are kept, as a type.
pub trait Keeping {
    /// Whether they are, by this or by another.
    type Or<Other: Keeping>: Keeping;

    /// Which body those further out give on, if all that are further in give it on as `M` says.
    type Outside<M>;

    /// Which body those further in take and give on.
    type Inside<M>;

    /// The mode of those further out.
    fn outside<M>(mode: M) -> Self::Outside<M>;

    /// The mode of those further in.
    fn inside<M>(mode: M) -> Self::Inside<M>;
}

/// Bodies go by as they are.
#[derive(Clone, Copy, Debug)]
pub struct Untouched;

/// Bodies are kept, to be sent again.
#[derive(Clone, Copy, Debug)]
pub struct Kept;

impl Keeping for Untouched {
    type Or<Other: Keeping> = Other;
    type Outside<M> = M;
    type Inside<M> = M;

    fn outside<M>(mode: M) -> M {
        mode
    }

    fn inside<M>(mode: M) -> M {
        mode
    }
}

impl Keeping for Kept {
    type Or<Other: Keeping> = Self;
    type Outside<M> = Bare;
    type Inside<M> = Again<M>;

    fn outside<M>(_: M) -> Bare {
        Bare
    }

    fn inside<M>(mode: M) -> Again<M> {
        Again(mode)
    }
}

/// The mode of one that stands between `Outer` and `Inner`, where the service takes what `M` says.
pub type Mode<Outer, Inner, M> =
    <<Outer as Keeps>::By as Keeping>::Inside<<<Inner as Keeps>::By as Keeping>::Outside<M>>;

pub(super) fn mode<Outer: Keeps, Inner: Keeps, M>(mode: M) -> Mode<Outer, Inner, M> {
    Outer::By::inside(Inner::By::outside(mode))
}

impl Keeps for () {
    type By = Untouched;
}

impl Keeps for Identity {
    type By = Untouched;
}

/// Either.
impl<A: Keeps, B: Keeps> Keeps for (A, B) {
    type By = <A::By as Keeping>::Or<B::By>;
}

#[cfg(feature = "pool")]
impl<T> Keeps for crate::pool::Pool<T> {
    type By = Kept;
}

#[cfg(feature = "pool")]
impl<T, F> Keeps for crate::pool::PoolBy<T, F> {
    type By = Kept;
}

#[cfg(feature = "retry")]
impl Keeps for Option<crate::retry::Retry> {
    type By = Kept;
}

#[cfg(feature = "hedge")]
impl Keeps for Option<crate::hedge::Hedge> {
    type By = Kept;
}

#[cfg(feature = "fallback")]
impl<A, K: Keeps> Keeps for Option<crate::fallback::Fallback<A, K>> {
    type By = K::By;
}

#[cfg(feature = "fallback")]
impl Keeps for crate::fallback::Nothing {
    type By = Untouched;
}

#[cfg(feature = "fallback")]
impl<G> Keeps for crate::fallback::Part<G> {
    type By = Untouched;
}

#[cfg(feature = "fallback")]
impl Keeps for crate::fallback::Whole {
    type By = Kept;
}
