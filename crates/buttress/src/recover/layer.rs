use std::{fmt, marker::PhantomData};

use tower_layer::Layer;

use super::{Recover, RecoverService};
use crate::outcome::Plain;

/// Wraps services so that their panics become errors, all under one [`Recover`]. Made by [`Recover::layer`].
///
/// `P` is the protocol, of which only the type matters: it decides whether responses have a body to guard.
pub struct RecoverLayer<P = Plain> {
    recover: Option<Recover>,
    protocol: PhantomData<fn() -> P>,
}

impl<P> RecoverLayer<P> {
    /// `None` is a policy that is off: the same types, and nothing is caught.
    pub(crate) fn new(recover: Option<Recover>, _: P) -> Self {
        Self {
            recover,
            protocol: PhantomData,
        }
    }
}

impl<S, P> Layer<S> for RecoverLayer<P> {
    type Service = RecoverService<S, P>;

    fn layer(&self, inner: S) -> Self::Service {
        RecoverService::new(inner, self.recover.clone())
    }
}

impl<P> Clone for RecoverLayer<P> {
    fn clone(&self) -> Self {
        Self {
            recover: self.recover.clone(),
            protocol: PhantomData,
        }
    }
}

impl<P> fmt::Debug for RecoverLayer<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecoverLayer")
            .field("recover", &self.recover)
            .finish()
    }
}
