use std::{
    cell::RefCell,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;

use super::CallContext;

thread_local! {
    /// The context of the scope that is being polled. A scope swaps its own in and out, so a poll copies nothing and
    /// counts nothing up and down.
    static CURRENT: RefCell<Option<CallContext>> = const { RefCell::new(None) };
}

/// What `read` makes of the current context, if there is one. The mark of an attempt is not in it.
#[inline]
pub(crate) fn with_current<R>(read: impl FnOnce(&CallContext) -> R) -> Option<R> {
    let read = |current: &RefCell<Option<CallContext>>| current.borrow().as_ref().map(read);
    // There is none while a thread is being torn down.
    CURRENT.try_with(read).ok().flatten()
}

/// Swaps a context in, and out again when dropped. `None` changes nothing.
pub(crate) struct Entered<'a> {
    context: &'a mut Option<CallContext>,
    is_in: bool,
}

impl<'a> Entered<'a> {
    #[inline]
    pub(crate) fn enter(context: &'a mut Option<CallContext>) -> Self {
        let is_in = context.is_some() && swap(context);
        Self { context, is_in }
    }
}

impl Drop for Entered<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.is_in {
            swap(self.context);
        }
    }
}

#[inline]
fn swap(context: &mut Option<CallContext>) -> bool {
    let swap = |current: &RefCell<Option<CallContext>>| std::mem::swap(&mut *current.borrow_mut(), context);
    CURRENT.try_with(swap).is_ok()
}

/// The priority of the [current](CallContext::current) context, if there is one, without a copy of it.
#[cfg_attr(not(feature = "priority"), allow(dead_code))]
#[inline]
pub(crate) fn current_priority() -> Option<Option<u8>> {
    with_current(CallContext::priority)
}

/// Runs `work` with a copy of the current context that has this priority as the current one, if there is one.
#[cfg_attr(not(feature = "priority"), allow(dead_code))]
pub(crate) fn with_priority<R>(priority: u8, work: impl FnOnce() -> R) -> R {
    match with_current(Clone::clone) {
        Some(mut context) => {
            context.set_priority(priority);
            context.sync_scope(work)
        }
        None => work(),
    }
}

pin_project! {
    /// A future in the [scope](CallContext::scope) of a context, or in none: one type for calls whose request has
    /// room for the context and for those whose request has not.
    ///
    /// Each poll has the context as the current one. Dropping is done outside of it.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct Scoped<F> {
        context: Option<CallContext>,
        #[pin]
        inner: F,
    }
}

impl<F> Scoped<F> {
    /// Runs `inner` with that context as the current one; with none, as it is.
    pub const fn new(context: Option<CallContext>, inner: F) -> Self {
        Self { context, inner }
    }

    /// The context, if there is one.
    #[cfg_attr(not(feature = "trace-id"), allow(dead_code))]
    #[inline]
    pub(crate) fn context(&self) -> Option<&CallContext> {
        self.context.as_ref()
    }

    /// Takes the context away, from a future that is ready.
    #[cfg_attr(not(feature = "trace-id"), allow(dead_code))]
    #[inline]
    pub(crate) fn take_context(self: Pin<&mut Self>) -> Option<CallContext> {
        self.project().context.take()
    }
}

impl<F: Future> Future for Scoped<F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _entered = Entered::enter(this.context);
        this.inner.poll(cx)
    }
}
