//! What is known about one call, shared by the layers it passes.
//!
//! The outermost layer of a stack puts one [`CallContext`] into the request's extensions; inner layers read it
//! and change it for those further in. Requests without extensions carry it in a task-local
//! [scope](CallContext::scope). It is the only extension that this crate adds.
//!
//! # Two directions
//!
//! What flows *inward* (trace-id, deadline, attempt, priority) is a value: a second attempt or a hedge gets a
//! copy of its own and cannot disturb the first. What flows *outward* (how many attempts were made, how long
//! the call stood in queues) is a [`Tally`], one for all the copies, which the outermost layer reads when the
//! call is over.
//!
//! # Attempts
//!
//! A layer that repeats a call says so to those further in, so that they know which attempt they are part of, and do
//! not repeat it themselves: three attempts of three attempts are nine calls on a service that is failing already. It
//! says so in the request's context, if there is one, and to whatever runs inside of its future, by a mark on the
//! task: so [`CallContext::current`] knows the attempt of a call that carries no context.

use std::{
    cell::Cell,
    num::NonZeroU128,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use pin_project_lite::pin_project;

use crate::clock::Instant;

tokio::task_local! {
    static CURRENT: CallContext;
}

thread_local! {
    /// The attempt that is being polled, 0 for none. Unlike a context it costs no allocation to set.
    static ATTEMPT: Cell<u32> = const { Cell::new(0) };
}

/// The context of one call.
#[derive(Clone, Debug)]
pub struct CallContext {
    trace_id: Option<NonZeroU128>,
    deadline: Option<Instant>,
    attempt: u32,
    is_repeated: bool,
    priority: Option<u8>,
    tally: Arc<Tally>,
}

/// What the inner layers learnt about a call, for the outer ones to read when it is over.
#[derive(Debug, Default)]
pub struct Tally {
    attempts: AtomicU32,
    queued: AtomicU64,
}

impl Default for CallContext {
    fn default() -> Self {
        Self::new()
    }
}

impl CallContext {
    /// A context of which nothing is known yet: the first attempt, no deadline.
    #[must_use]
    pub fn new() -> Self {
        Self {
            trace_id: None,
            deadline: None,
            attempt: 1,
            is_repeated: false,
            priority: None,
            tally: Arc::default(),
        }
    }

    /// The id of the trace that this call belongs to.
    #[must_use]
    pub fn trace_id(&self) -> Option<NonZeroU128> {
        self.trace_id
    }

    /// Sets the trace's id.
    pub fn set_trace_id(&mut self, id: NonZeroU128) {
        self.trace_id = Some(id);
    }

    /// The moment by which the caller wants its answer.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Brings the deadline forward: a layer further in may allow less time than the caller, never more.
    pub fn limit_deadline(&mut self, deadline: Instant) {
        self.deadline = Some(self.deadline.map_or(deadline, |d| d.min(deadline)));
    }

    /// Which attempt at the call this is; the first is 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Makes this the context of the given attempt.
    pub fn set_attempt(&mut self, attempt: u32) {
        self.attempt = attempt;
    }

    /// Whether a layer further out repeats the call if it fails: then those further in should not.
    #[must_use]
    pub fn is_repeated(&self) -> bool {
        self.is_repeated || self.attempt > 1
    }

    /// Notes that this layer repeats the call if it fails.
    pub fn set_repeated(&mut self) {
        self.is_repeated = true;
    }

    /// How important the call is, 0 to 100, if anything has decided that.
    #[must_use]
    pub fn priority(&self) -> Option<u8> {
        self.priority
    }

    /// Sets how important the call is.
    pub fn set_priority(&mut self, priority: u8) {
        self.priority = Some(priority);
    }

    /// What the inner layers have learnt so far; shared with every copy of this context.
    #[must_use]
    pub fn tally(&self) -> &Arc<Tally> {
        &self.tally
    }

    /// Runs `future` with this context as the [`current`](Self::current) one of its task.
    pub fn scope<F: Future>(self, future: F) -> impl Future<Output = F::Output> {
        CURRENT.scope(self, future)
    }

    /// Runs `work` with this context as the [`current`](Self::current) one.
    pub fn sync_scope<R>(self, work: impl FnOnce() -> R) -> R {
        CURRENT.sync_scope(self, work)
    }

    /// The context of the [scope](Self::scope) that is running. Inside of a retry it has the number of the attempt;
    /// there it is a new one if there is no scope.
    #[must_use]
    pub fn current() -> Option<Self> {
        let mut current = CURRENT.try_with(Clone::clone).ok();
        let attempt = ATTEMPT.get();
        if attempt > 0 {
            let context = current.get_or_insert_with(Self::new);
            context.set_attempt(attempt);
            context.set_repeated();
        }
        current
    }
}

/// What a layer that repeats calls has to know of what it runs in.
#[cfg_attr(not(feature = "retry"), allow(dead_code))]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Surroundings {
    /// Whether a layer further out repeats the call if it fails.
    pub(crate) is_repeated: bool,
    /// That of the current context.
    pub(crate) deadline: Option<Instant>,
    /// Whether there is a current context.
    pub(crate) has_context: bool,
}

impl Surroundings {
    #[cfg_attr(not(feature = "retry"), allow(dead_code))]
    #[inline]
    pub(crate) fn look() -> Self {
        let mut around = CURRENT
            .try_with(|context| Self {
                is_repeated: context.is_repeated(),
                deadline: context.deadline,
                has_context: true,
            })
            .unwrap_or_default();
        around.is_repeated |= ATTEMPT.get() > 0;
        around
    }
}

/// Notes in the current context's tally, if there is one, that an attempt has begun.
#[cfg_attr(not(feature = "retry"), allow(dead_code))]
pub(crate) fn add_attempt() {
    // Nobody keeps a tally where there is no context.
    let _ = CURRENT.try_with(|context| context.tally.add_attempt());
}

/// Notes in the current context's tally, if there is one, that the call has stood in a queue.
#[cfg_attr(not(feature = "priority"), allow(dead_code))]
pub(crate) fn add_queued(time: Duration) {
    // Nobody keeps a tally where there is no context.
    let _ = CURRENT.try_with(|context| context.tally.add_queued(time));
}

/// Marks what runs until it is dropped as part of an attempt.
#[cfg_attr(not(feature = "retry"), allow(dead_code))]
#[derive(Debug)]
#[must_use = "the mark is gone when this is dropped"]
pub(crate) struct InAttempt {
    outer: u32,
}

impl InAttempt {
    #[cfg_attr(not(feature = "retry"), allow(dead_code))]
    #[inline]
    pub(crate) fn enter(attempt: u32) -> Self {
        Self {
            outer: ATTEMPT.replace(attempt),
        }
    }
}

impl Drop for InAttempt {
    #[inline]
    fn drop(&mut self) {
        ATTEMPT.set(self.outer);
    }
}

/// The deadline of the [current](CallContext::current) context, without a copy of the context.
#[cfg_attr(not(any(feature = "priority", feature = "timeout")), allow(dead_code))]
#[inline]
pub(crate) fn current_deadline() -> Option<Instant> {
    CURRENT.try_with(CallContext::deadline).ok().flatten()
}

/// The priority of the [current](CallContext::current) context, if there is one, without a copy of it.
#[cfg_attr(not(feature = "priority"), allow(dead_code))]
#[inline]
pub(crate) fn current_priority() -> Option<Option<u8>> {
    CURRENT.try_with(CallContext::priority).ok()
}

/// Runs `work` with a copy of the current context that has this priority as the current one, if there is one.
#[cfg_attr(not(feature = "priority"), allow(dead_code))]
pub(crate) fn with_priority<R>(priority: u8, work: impl FnOnce() -> R) -> R {
    match CURRENT.try_with(Clone::clone) {
        Ok(mut context) => {
            context.set_priority(priority);
            context.sync_scope(work)
        }
        Err(_) => work(),
    }
}

pin_project! {
    /// A future in the [scope](CallContext::scope) of a context, or in none: one type for calls whose request has
    /// room for the context and for those whose request has not.
    ///
    /// Each poll has a copy of the context as the current one. Dropping is done outside of it.
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
}

impl<F: Future> Future for Scoped<F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        match this.context {
            Some(context) => context.clone().sync_scope(|| this.inner.poll(cx)),
            None => this.inner.poll(cx),
        }
    }
}

impl Tally {
    /// How many attempts have been begun.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.attempts.load(Relaxed)
    }

    /// Notes that an attempt has begun.
    pub fn add_attempt(&self) {
        self.attempts.fetch_add(1, Relaxed);
    }

    /// How long the call has waited in queues, all attempts together.
    #[must_use]
    pub fn queued(&self) -> Duration {
        Duration::from_nanos(self.queued.load(Relaxed))
    }

    /// Notes time spent waiting in a queue.
    pub fn add_queued(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.queued.fetch_add(nanos, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_only_comes_nearer() {
        let now = crate::clock::now();
        let mut context = CallContext::new();
        context.limit_deadline(now + Duration::from_secs(2));
        context.limit_deadline(now + Duration::from_secs(5));
        assert_eq!(context.deadline(), Some(now + Duration::from_secs(2)));
        context.limit_deadline(now + Duration::from_secs(1));
        assert_eq!(context.deadline(), Some(now + Duration::from_secs(1)));
    }

    #[test]
    fn copies_are_apart_inward_and_one_outward() {
        let first = CallContext::new();
        let mut second = first.clone();
        second.set_attempt(2);
        second.tally().add_attempt();
        second.tally().add_queued(Duration::from_millis(3));
        assert_eq!(first.attempt(), 1);
        assert_eq!(first.tally().attempts(), 1);
        assert_eq!(first.tally().queued(), Duration::from_millis(3));
    }

    #[test]
    fn an_attempt_is_seen_without_a_scope() {
        let is_repeated = || Surroundings::look().is_repeated;
        assert!(CallContext::current().is_none() && !is_repeated());
        let first = InAttempt::enter(1);
        assert_eq!(
            CallContext::current().map(|c| (c.attempt(), c.is_repeated())),
            Some((1, true))
        );
        let second = InAttempt::enter(2);
        assert_eq!(CallContext::current().map(|c| c.attempt()), Some(2));
        drop(second);
        assert_eq!(CallContext::current().map(|c| c.attempt()), Some(1));
        assert!(is_repeated());
        drop(first);
        assert!(CallContext::current().is_none() && !is_repeated());
    }

    #[tokio::test]
    async fn a_scope_in_a_retry_has_the_number_of_the_attempt() {
        let mut context = CallContext::new();
        context.set_priority(80);
        let tally = context.tally().clone();
        context
            .scope(async {
                let _attempt = InAttempt::enter(3);
                let seen = CallContext::current().expect("a scope");
                assert_eq!((seen.attempt(), seen.priority()), (3, Some(80)));
                assert!(Arc::ptr_eq(seen.tally(), &tally));
            })
            .await;
    }

    #[tokio::test]
    async fn a_scope_ends_with_its_future() {
        assert!(CallContext::current().is_none());
        let mut context = CallContext::new();
        context.set_priority(80);
        let seen = context
            .scope(async { CallContext::current().and_then(|c| c.priority()) })
            .await;
        assert_eq!(seen, Some(80));
        assert!(CallContext::current().is_none());
    }

    #[tokio::test]
    async fn a_future_may_be_scoped_or_not() {
        let attempt = || CallContext::current().map_or(0, |c| c.attempt());
        let mut context = CallContext::new();
        context.set_attempt(7);
        for (context, seen) in [(Some(context), 7), (None, 0)] {
            let inner = async {
                let first = attempt();
                tokio::task::yield_now().await;
                (first, attempt())
            };
            let mut scoped = tokio_test::task::spawn(Scoped::new(context, inner));
            tokio_test::assert_pending!(scoped.poll());
            assert_eq!(attempt(), 0, "only while it is polled");
            assert_eq!(tokio_test::assert_ready!(scoped.poll()), (seen, seen));
        }
    }
}
