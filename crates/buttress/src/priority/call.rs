use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;

use super::{Acquire, Permit};
use crate::{
    context::{self, Scoped},
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
        #[pin]
        inner: Scoped<ErrorFuture<F>>,
    }
}

impl<F> PriorityCall<F> {
    pub(super) fn new(acquire: Acquire, class: super::Priority, future: F) -> Self {
        let context = context::current_scope().map(|mut context| {
            context.set_priority(class.get());
            context
        });
        Self {
            acquire: Some(acquire),
            permit: None,
            inner: Scoped::new(context, ErrorFuture::new(future)),
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
        let result = ready!(this.inner.poll(cx));
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
