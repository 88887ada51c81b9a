use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;

use super::{
    Deadline, Timeout, TimeoutFuture,
    deadline::Admission,
    limit::{BodyLimits, Until},
};
use crate::{
    clock,
    context::{self, WithDeadline},
    error::{Error, ErrorFuture},
    outcome::Plain,
};

pin_project! {
    /// A future whose time is limited, from [`Timeout::call`] and [`Deadline::call`].
    #[must_use = "futures do nothing unless polled"]
    pub struct TimeoutCall<F> {
        #[pin]
        inner: TimeoutFuture<ErrorFuture<F>, Plain>,
    }
}

impl<F> TimeoutCall<F> {
    pub(super) fn under_timeout(timeout: &Timeout, future: F) -> Self {
        let until = match context::current_deadline() {
            None => Ok(Until::after(timeout.limits.attempt.nanos())),
            Some(deadline) => timeout.until(deadline, clock::now()),
        };
        let inner = match until {
            Ok(until) => TimeoutFuture::called(
                ErrorFuture::new(future),
                Some(timeout.ledger.id()),
                until,
                BodyLimits::NONE,
            ),
            Err(rejected) => TimeoutFuture::refused(rejected),
        };
        Self { inner }
    }
}

impl<F> TimeoutCall<WithDeadline<F>> {
    pub(super) fn under_deadline(deadline: &Deadline, future: F) -> Self {
        let plain = Plain::new();
        let inner = match deadline.admit(&plain, &mut ()) {
            Admission::Unlimited => {
                TimeoutFuture::unlimited(ErrorFuture::new(WithDeadline::new(None, future)))
            }
            Admission::Limited { until, moment } => TimeoutFuture::called(
                ErrorFuture::new(WithDeadline::new(Some(moment), future)),
                Some(deadline.ledger.id()),
                until,
                BodyLimits::NONE,
            ),
            Admission::Refused(rejected) => TimeoutFuture::refused(rejected),
        };
        Self { inner }
    }
}

impl<F, T, E> Future for TimeoutCall<F>
where
    F: Future<Output = Result<T, E>>,
{
    type Output = Result<T, Error<E>>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().inner.poll(cx)
    }
}

impl<F> fmt::Debug for TimeoutCall<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimeoutCall").field("inner", &self.inner).finish()
    }
}
