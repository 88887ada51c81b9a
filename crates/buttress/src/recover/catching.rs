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
}

impl<F, R, E> Catching<F>
where
    F: Future<Output = Result<R, E>>,
{
    /// Polls the future; `done`, `failed` and `refused` make of its answer, of its error or of a panic what the
    /// caller's is.
    // Always: an answer that is returned by a call has been in memory.
    #[inline(always)]
    pub(super) fn poll_into<T, X>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        done: impl FnOnce(R, Catcher) -> T,
        failed: impl FnOnce(E) -> X,
        refused: impl FnOnce(Rejected) -> X,
    ) -> Poll<Result<T, X>> {
        let mut this = self.project();
        let catcher = *this.catcher;
        let Some(inner) = this.inner.as_mut().as_pin_mut() else {
            return Poll::Ready(Err(refused(catcher.rejection())));
        };
        // Answer and error each have a place of their own: in one they would share their bytes, and be moved by
        // copying all of them, of which the smaller has only just written a part. The processor waits for that.
        //
        // Whatever panics, it does so before there is anything in here to be dropped. Said to the compiler, for a value
        // that might have to be dropped by one of the ways out would be in memory, and be copied from there.
        let (mut answer, mut error) = (ManuallyDrop::new(None), ManuallyDrop::new(None));
        let work = || match inner.poll(cx) {
            Poll::Ready(Ok(response)) => answer = ManuallyDrop::new(Some(done(response, catcher))),
            Poll::Ready(Err(inner)) => error = ManuallyDrop::new(Some(inner)),
            Poll::Pending => {}
        };
        if let Err(rejected) = catcher.catch(Place::Future, work) {
            // An assignment overwrites even where the old value's `Drop` panics, so this leaves `None` behind
            // in any case.
            catcher.discard(Place::Future, || this.inner.set(None));
            return Poll::Ready(Err(refused(rejected)));
        }
        match (ManuallyDrop::into_inner(answer), ManuallyDrop::into_inner(error)) {
            (Some(answer), _) => Poll::Ready(Ok(answer)),
            (None, Some(error)) => Poll::Ready(Err(failed(error))),
            (None, None) => Poll::Pending,
        }
    }
}
