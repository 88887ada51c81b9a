use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;

use super::{Acquire, Permit, Priority};
use crate::{
    context,
    error::{Error, ErrorFuture},
    outcome::{Plain, Protocol},
};

pin_project! {
    /// A future that waits for a slot, from [`PriorityQueue::call`](super::PriorityQueue::call).
    ///
    /// # Cancel safety
    ///
    /// Dropped while it waits, it leaves the line; dropped while it runs, it gives its slot back.
    #[must_use = "futures do nothing unless polled"]
    pub struct PriorityCall<F> {
        #[pin]
        acquire: Option<Acquire>,
        permit: Option<Permit>,
        class: Priority,
        #[pin]
        inner: ErrorFuture<F>,
    }
}

impl<F> PriorityCall<F> {
    pub(super) fn new(acquire: Acquire, class: Priority, future: F) -> Self {
        Self {
            acquire: Some(acquire),
            permit: None,
            class,
            inner: ErrorFuture::new(future),
        }
    }
}

impl<F, T, E> Future for PriorityCall<F>
where
    F: Future<Output = Result<T, E>>,
{
    type Output = Result<T, Error<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Some(acquire) = this.acquire.as_mut().as_pin_mut() {
            let permit = ready!(acquire.poll(cx));
            this.acquire.set(None);
            *this.permit = Some(permit?);
        }
        let (class, inner) = (this.class.get(), this.inner);
        let result = ready!(context::with_priority(class, || inner.poll(cx)));
        Poll::Ready(Plain::new().observe(result, this.permit.take()))
    }
}

impl<F> fmt::Debug for PriorityCall<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PriorityCall")
            .field("admitted", &self.permit.is_some())
            .finish_non_exhaustive()
    }
}
