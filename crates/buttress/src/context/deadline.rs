use std::{
    cell::Cell,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;

use super::{CallContext, with_current};
use crate::clock::Instant;

thread_local! {
    /// The deadline of what is being polled. No more does this.
    pub(super) static DEADLINE: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// The deadline of the [current](CallContext::current) context, without a copy of the context.
#[cfg_attr(
    not(any(feature = "priority", feature = "rate-limit", feature = "timeout")),
    allow(dead_code)
)]
#[inline]
pub(crate) fn current_deadline() -> Option<Instant> {
    let known = with_current(CallContext::deadline).flatten();
    nearest(known, DEADLINE.get())
}

#[inline]
pub(crate) fn nearest(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// Has what runs until it is dropped know of a deadline.
#[derive(Debug)]
#[must_use = "the deadline is forgotten when this is dropped"]
pub(crate) struct InDeadline {
    outer: Option<Instant>,
}

impl InDeadline {
    #[cfg_attr(not(feature = "timeout"), allow(dead_code))]
    #[inline]
    pub(crate) fn enter(deadline: Instant) -> Self {
        let outer = DEADLINE.get();
        DEADLINE.set(nearest(outer, Some(deadline)));
        Self { outer }
    }
}

impl Drop for InDeadline {
    #[inline]
    fn drop(&mut self) {
        DEADLINE.set(self.outer);
    }
}

pin_project! {
    /// A future in which the [current](CallContext::current) context has no more time than until a deadline, or, with
    /// `None`, as much as outside of it.
    ///
    /// This is how a deadline travels with a call whose request has no room for a context; unlike a
    /// [scope](CallContext::scope) it costs no allocation. Dropping is done outside of it.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct WithDeadline<F> {
        deadline: Option<Instant>,
        #[pin]
        inner: F,
    }
}

impl<F> WithDeadline<F> {
    /// Runs `inner` with that deadline, or the nearer one that it runs in.
    pub const fn new(deadline: Option<Instant>, inner: F) -> Self {
        Self { deadline, inner }
    }
}

impl<F: Future> Future for WithDeadline<F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _deadline = this.deadline.map(InDeadline::enter);
        this.inner.poll(cx)
    }
}
