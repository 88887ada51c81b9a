use std::{
    fmt,
    marker::PhantomData,
    mem::ManuallyDrop,
    task::{Context, Poll},
};

use tower_service::Service;

use super::{Catcher, Place, Recover, RecoverBody, RecoverFuture};
use crate::{
    error::CallError,
    outcome::{BodyProtocol, Plain},
};

/// The service that [`RecoverLayer`](super::RecoverLayer) makes.
///
/// An instance whose `poll_ready` or `call` panicked is **poisoned**: the service inside is dropped, since nobody
/// can say what state it is in, and this instance and the clones made of it from then on answer
/// [`Panicked`](crate::RejectionKind::Panicked), from `poll_ready`, which in tower's words means "throw this
/// instance away". Clones made before are not concerned.
pub struct RecoverService<S, P = Plain> {
    /// `None` once poisoned.
    inner: Option<S>,
    recover: Option<Recover>,
    protocol: PhantomData<fn() -> P>,
}

impl<S, P> RecoverService<S, P> {
    pub(super) fn new(inner: S, recover: Option<Recover>) -> Self {
        Self {
            inner: Some(inner),
            recover,
            protocol: PhantomData,
        }
    }

    #[inline]
    fn catcher(&self) -> Catcher {
        self.recover.as_ref().map_or(Catcher::OFF, Recover::catcher)
    }

    #[cold]
    fn poison(&mut self, place: Place) {
        let inner = self.inner.take();
        self.catcher().discard(place, move || drop(inner));
    }
}

impl<S, P, Request> Service<Request> for RecoverService<S, P>
where
    S: Service<Request>,
    S::Error: CallError,
    P: BodyProtocol<S::Response>,
{
    type Response = P::Response<RecoverBody<P::Body>>;
    type Error = S::Error;
    type Future = RecoverFuture<S::Future, P>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        let catcher = self.catcher();
        let Some(inner) = &mut self.inner else {
            return Poll::Ready(Err(catcher.rejection().into()));
        };
        // The error has a place of its own, which is written only if there is one.
        let (mut readiness, mut error) = (Poll::Pending, None);
        let work = || {
            readiness = match inner.poll_ready(cx) {
                Poll::Ready(Ok(())) => Poll::Ready(()),
                Poll::Ready(Err(failed)) => {
                    error = Some(failed);
                    Poll::Ready(())
                }
                Poll::Pending => Poll::Pending,
            }
        };
        if let Err(rejected) = catcher.catch(Place::Ready, work) {
            self.poison(Place::Ready);
            return Poll::Ready(Err(rejected.into()));
        }
        match error {
            Some(failed) => Poll::Ready(Err(failed)),
            None => readiness.map(Ok),
        }
    }

    #[inline]
    fn call(&mut self, request: Request) -> Self::Future {
        let catcher = self.catcher();
        let Some(inner) = &mut self.inner else {
            return RecoverFuture::new(None, catcher);
        };
        // As in `Catching`: there is nothing to be dropped in it on any of the ways out.
        let mut future = ManuallyDrop::new(None);
        let work = || future = ManuallyDrop::new(Some(inner.call(request)));
        if catcher.catch(Place::Call, work).is_err() {
            self.poison(Place::Call);
        }
        RecoverFuture::new(ManuallyDrop::into_inner(future), catcher)
    }
}

impl<S: Clone, P> Clone for RecoverService<S, P> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            recover: self.recover.clone(),
            protocol: PhantomData,
        }
    }
}

impl<S: fmt::Debug, P> fmt::Debug for RecoverService<S, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecoverService")
            .field("inner", &self.inner)
            .field("recover", &self.recover)
            .finish()
    }
}
