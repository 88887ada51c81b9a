use std::{
    fmt,
    marker::PhantomData,
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
        if catcher.is_off() {
            return inner.poll_ready(cx);
        }
        let (mut readiness, mut error) = (Poll::Pending, None);
        let work = || readiness = inner.poll_ready(cx).map(|ready| error = ready.err());
        if let Err(rejected) = catcher.catch(Place::Ready, work) {
            self.poison(Place::Ready);
            return Poll::Ready(Err(rejected.into()));
        }
        readiness.map(|()| error.map_or(Ok(()), Err))
    }

    #[inline]
    fn call(&mut self, request: Request) -> Self::Future {
        let catcher = self.catcher();
        if let (true, Some(inner)) = (catcher.is_off(), &mut self.inner) {
            return RecoverFuture::guarding(inner.call(request), catcher);
        }
        let mut future = RecoverFuture::refused(catcher);
        if let Some(inner) = &mut self.inner {
            if catcher
                .catch(Place::Call, || future.guard(inner.call(request)))
                .is_err()
            {
                self.poison(Place::Call);
            }
        }
        future
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
