use std::{
    mem::ManuallyDrop,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;

use super::{Catcher, Place};
use crate::error::Rejected;

pin_project! {
    /// A future whose panic becomes an output.
    #[derive(Debug)]
    pub(super) struct Catching<F> {
        // `None` once it has panicked, or where there never was one: the rejection is all there is to say.
        #[pin]
        inner: Option<F>,
        catcher: Catcher,
    }
}

impl<F> Catching<F> {
    #[inline]
    pub(super) fn new(inner: Option<F>, catcher: Catcher) -> Self {
        Self { inner, catcher }
    }

    #[inline]
    pub(super) fn set(&mut self, inner: F) {
        self.inner = Some(inner);
    }
}

impl<F: Future> Catching<F> {
    /// Polls the future; `done` and `refused` make the caller's output of its own or of a panic.
    #[inline]
    pub(super) fn poll_into<T>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        done: impl FnOnce(F::Output, Catcher) -> T,
        refused: impl FnOnce(Rejected) -> T,
    ) -> Poll<T> {
        let mut this = self.project();
        let catcher = *this.catcher;
        let Some(inner) = this.inner.as_mut().as_pin_mut() else {
            return Poll::Ready(refused(catcher.rejection()));
        };
        if catcher.is_off() {
            // What no closure holds need not be in memory.
            return inner.poll(cx).map(|output| done(output, catcher));
        }
        // Whatever panics, it does so before there is anything in here to be dropped. Said to the compiler, for a value
        // that might have to be dropped by one of the ways out would be in memory, and be copied from there.
        let mut poll = ManuallyDrop::new(Poll::Pending);
        let work = || poll = ManuallyDrop::new(inner.poll(cx).map(|output| done(output, catcher)));
        if let Err(rejected) = catcher.catch(Place::Future, work) {
            // An assignment overwrites even where the old value's `Drop` panics, so this leaves `None` behind
            // in any case.
            catcher.discard(Place::Future, || this.inner.set(None));
            return Poll::Ready(refused(rejected));
        }
        ManuallyDrop::into_inner(poll)
    }
}
