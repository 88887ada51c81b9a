use std::{
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;

use super::{Catcher, catching::Catching};
use crate::error::Error;

pin_project! {
    /// The future of [`Recover::call`](super::Recover::call).
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct RecoverCall<F> {
        #[pin]
        inner: Catching<F>,
    }
}

impl<F> RecoverCall<F> {
    pub(super) fn new(future: F, catcher: Catcher) -> Self {
        Self {
            inner: Catching::new(Some(future), catcher),
        }
    }
}

impl<F, T, E> Future for RecoverCall<F>
where
    F: Future<Output = Result<T, E>>,
{
    type Output = Result<T, Error<E>>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project()
            .inner
            .poll_into(cx, |answer, _| answer, Error::Inner, Error::Rejected)
    }
}
