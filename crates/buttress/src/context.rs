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
//! task: so [`CallContext::current`] knows the attempt of a call that carries no context. In the same way it knows the
//! [deadline](WithDeadline) of a call that has nothing else to carry: neither costs an allocation.
//!
//! A hedge is an attempt as well, one more than the attempt that it stands beside. A layer that hedges says that too:
//! inside of a retry it is welcome, inside of another hedge it is not.

mod trace;

use std::{
    cell::{Cell, RefCell},
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
pub use trace::Trace;

use crate::clock::Instant;

thread_local! {
    /// The context of the scope that is being polled. A scope swaps its own in and out, so a poll copies nothing and
    /// counts nothing up and down.
    static CURRENT: RefCell<Option<CallContext>> = const { RefCell::new(None) };

    /// Unlike a context it costs no allocation to set.
    static MARK: Cell<Mark> = const { Cell::new(Mark { attempt: 0, is_hedged: false }) };

    /// Where the attempts before it have been, see [`Tally::tried`].
    static TRIED: Cell<u64> = const { Cell::new(0) };

    /// The deadline of what is being polled. No more does this.
    static DEADLINE: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// The attempt that is being polled.
#[derive(Clone, Copy, Debug)]
struct Mark {
    /// 0 for none.
    attempt: u32,
    is_hedged: bool,
}

/// The context of one call.
#[derive(Clone, Debug)]
pub struct CallContext {
    trace: Option<Trace>,
    deadline: Option<Instant>,
    attempt: u32,
    is_repeated: bool,
    is_hedged: bool,
    priority: Option<u8>,
    tally: Arc<Tally>,
}

/// What the inner layers learnt about a call, for the outer ones to read when it is over.
#[derive(Debug, Default)]
pub struct Tally {
    attempts: AtomicU32,
    queued: AtomicU64,
    tried: AtomicU64,
    /// That of the call in which this one was made.
    outer: Option<Arc<Tally>>,
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
            trace: None,
            deadline: None,
            attempt: 1,
            is_repeated: false,
            is_hedged: false,
            priority: None,
            tally: Arc::default(),
        }
    }

    /// The context of a call that is made in the course of this one: part of the same trace, with the same deadline
    /// and importance. Its tally is its own, and what it notes is noted in this one's as well.
    #[must_use]
    pub fn nested(&self) -> Self {
        Self {
            attempt: 1,
            is_repeated: self.is_repeated(),
            tally: Arc::new(Tally {
                outer: Some(self.tally.clone()),
                ..Tally::default()
            }),
            ..self.clone()
        }
    }

    /// The context of work that goes on by itself, when this call may be over: it is part of the same trace, and
    /// nothing else of this call is its own.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self {
            trace: self.trace.clone(),
            ..Self::new()
        }
    }

    /// The id of the trace that this call belongs to.
    #[must_use]
    pub fn trace_id(&self) -> Option<NonZeroU128> {
        self.trace.as_ref().map(Trace::id)
    }

    /// The trace that this call belongs to, and where in it it stands.
    #[must_use]
    pub fn trace(&self) -> Option<&Trace> {
        self.trace.as_ref()
    }

    /// Says where in which trace the call stands.
    pub fn set_trace(&mut self, trace: Trace) {
        self.trace = Some(trace);
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

    /// Whether a layer further out makes the call a second time if it is slow: then those further in should not.
    #[must_use]
    pub fn is_hedged(&self) -> bool {
        self.is_hedged
    }

    /// Notes that this layer makes the call a second time if it is slow.
    pub fn set_hedged(&mut self) {
        self.is_hedged = true;
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
    pub fn scope<F: Future>(self, future: F) -> Scoped<F> {
        Scoped::new(Some(self), future)
    }

    /// Runs `work` with this context as the [`current`](Self::current) one.
    pub fn sync_scope<R>(self, work: impl FnOnce() -> R) -> R {
        let mut this = Some(self);
        let _entered = Entered::enter(&mut this);
        work()
    }

    /// The context of the [scope](Self::scope) that is running. Inside of a retry or a hedge it has the number of the
    /// attempt, and [inside of a deadline](WithDeadline) no more time than that leaves; there it is a new one if there
    /// is no scope.
    #[must_use]
    pub fn current() -> Option<Self> {
        let mut current = with_current(Clone::clone);
        if let Some(deadline) = DEADLINE.get() {
            current.get_or_insert_with(Self::new).limit_deadline(deadline);
        }
        let mark = MARK.get();
        if mark.attempt > 0 {
            let context = current.get_or_insert_with(Self::new);
            context.set_attempt(mark.attempt);
            context.set_repeated();
            context.is_hedged |= mark.is_hedged;
        }
        current
    }
}

/// What a layer that repeats calls has to know of what it runs in.
#[cfg_attr(not(any(feature = "hedge", feature = "retry")), allow(dead_code))]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Surroundings {
    /// Which attempt of a layer further out it is part of; 1 if there is none.
    pub(crate) attempt: u32,
    /// Whether a layer further out repeats the call if it fails.
    pub(crate) is_repeated: bool,
    /// Whether a layer further out hedges it.
    pub(crate) is_hedged: bool,
    /// That of the current context.
    pub(crate) deadline: Option<Instant>,
    /// Whether there is a current context.
    pub(crate) has_context: bool,
}

impl Surroundings {
    #[cfg_attr(not(any(feature = "hedge", feature = "retry")), allow(dead_code))]
    #[inline]
    pub(crate) fn look() -> Self {
        let nothing = Self {
            attempt: 1,
            is_repeated: false,
            is_hedged: false,
            deadline: None,
            has_context: false,
        };
        let mut around = with_current(|context| Self {
            attempt: context.attempt,
            is_repeated: context.is_repeated(),
            is_hedged: context.is_hedged,
            deadline: context.deadline,
            has_context: true,
        })
        .unwrap_or(nothing);
        let mark = MARK.get();
        if mark.attempt > 0 {
            around.attempt = mark.attempt;
            around.is_repeated = true;
            around.is_hedged |= mark.is_hedged;
        }
        around.deadline = nearest(around.deadline, DEADLINE.get());
        around
    }
}

/// Notes in the current context's tally, if there is one, that an attempt has begun.
#[cfg_attr(not(any(feature = "hedge", feature = "retry")), allow(dead_code))]
pub(crate) fn add_attempt() {
    // Nobody keeps a tally where there is no context.
    let _ = with_current(|context| context.tally.add_attempt());
}

/// The same for the first attempt, unless a layer further out has noted that.
#[cfg_attr(not(feature = "hedge"), allow(dead_code))]
pub(crate) fn add_first_attempt() {
    let _ = with_current(|context| context.tally.add_first_attempt());
}

/// Notes in the current context's tally, if there is one, that the call has stood in a queue.
#[cfg_attr(not(any(feature = "priority", feature = "rate-limit")), allow(dead_code))]
pub(crate) fn add_queued(time: Duration) {
    // Nobody keeps a tally where there is no context.
    let _ = with_current(|context| context.tally.add_queued(time));
}

/// Marks what runs until it is dropped as part of an attempt.
#[cfg_attr(not(any(feature = "hedge", feature = "retry")), allow(dead_code))]
#[derive(Debug)]
#[must_use = "the mark is gone when this is dropped"]
pub(crate) struct InAttempt {
    outer: Mark,
    /// `None` where the attempt is one of several that the layer further out takes for its one.
    outer_tried: Option<u64>,
}

impl InAttempt {
    #[cfg_attr(not(feature = "retry"), allow(dead_code))]
    #[inline]
    pub(crate) fn enter(attempt: u32) -> Self {
        let outer = MARK.get();
        MARK.set(Mark { attempt, ..outer });
        let outer_tried = Some(TRIED.replace(0));
        Self { outer, outer_tried }
    }

    /// The same, of a call that is hedged.
    #[cfg_attr(not(feature = "hedge"), allow(dead_code))]
    #[inline]
    pub(crate) fn enter_hedged(attempt: u32) -> Self {
        let mark = Mark {
            attempt,
            is_hedged: true,
        };
        let outer = MARK.replace(mark);
        // Inside of a retry, that remembers where both of its attempts have been.
        let outer_tried = (outer.attempt == 0).then(|| TRIED.replace(0));
        Self { outer, outer_tried }
    }

    /// Tells it where the attempts before it have been.
    #[cfg_attr(not(feature = "retry"), allow(dead_code))]
    #[inline]
    pub(crate) fn with_tried(self, tried: u64) -> Self {
        TRIED.set(tried);
        self
    }

    /// Removes the mark, and says where the attempts have been by now.
    #[cfg_attr(not(feature = "retry"), allow(dead_code))]
    #[inline]
    pub(crate) fn leave(self) -> u64 {
        TRIED.get()
    }
}

impl Drop for InAttempt {
    #[inline]
    fn drop(&mut self) {
        MARK.set(self.outer);
        if let Some(tried) = self.outer_tried {
            TRIED.set(tried);
        }
    }
}

/// Where the attempts at the current call have been, see [`Tally::tried`].
#[cfg_attr(not(feature = "pool"), allow(dead_code))]
#[inline]
pub(crate) fn tried() -> u64 {
    TRIED.get() | with_current(|context| context.tally.tried()).unwrap_or(0)
}

/// Notes that an attempt at the current call goes to the endpoint of that slot.
#[cfg_attr(not(feature = "pool"), allow(dead_code))]
#[inline]
pub(crate) fn add_tried(slot: u8) {
    // A mark that nobody will remove is not made.
    if MARK.get().attempt > 0 {
        TRIED.set(TRIED.get() | 1 << (slot & 63));
    }
    // Nobody keeps a tally where there is no context.
    let _ = with_current(|context| context.tally.add_tried(slot));
}

/// The number of the current attempt, 1 if nothing repeats the call.
#[cfg_attr(not(feature = "pool"), allow(dead_code))]
#[inline]
pub(crate) fn current_attempt() -> u32 {
    let marked = MARK.get().attempt;
    marked.max(with_current(CallContext::attempt).unwrap_or(1)).max(1)
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

#[inline]
fn nearest(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
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

impl Tally {
    /// How many attempts have been begun.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.attempts.load(Relaxed)
    }

    /// Notes that an attempt has begun.
    pub fn add_attempt(&self) {
        self.attempts.fetch_add(1, Relaxed);
        if let Some(outer) = &self.outer {
            outer.add_attempt();
        }
    }

    /// Notes that the first attempt has begun, unless a layer further out has noted that.
    pub fn add_first_attempt(&self) {
        let noted = self.attempts.compare_exchange(0, 1, Relaxed, Relaxed);
        if let (Ok(_), Some(outer)) = (noted, &self.outer) {
            outer.add_attempt();
        }
    }

    /// Which endpoints of a pool the call has been to, all attempts together: a bit for each, modulo 64. It is for
    /// passing over those that have been tried, where there are others.
    #[must_use]
    pub fn tried(&self) -> u64 {
        self.tried.load(Relaxed)
    }

    /// Notes that an attempt goes to the endpoint of that slot, modulo 64.
    pub fn add_tried(&self, slot: u8) {
        self.tried.fetch_or(1 << (slot & 63), Relaxed);
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
        if let Some(outer) = &self.outer {
            outer.add_queued(time);
        }
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
    fn a_nested_call_has_a_tally_of_its_own_that_adds_to_the_outer_one() {
        let mut outer = CallContext::new();
        outer.limit_deadline(crate::clock::now() + Duration::from_secs(1));
        outer.set_attempt(2);
        let (one, other) = (outer.nested(), outer.nested());
        one.tally().add_attempt();
        other.tally().add_attempt();
        other.tally().add_queued(Duration::from_millis(3));
        assert_eq!((one.tally().attempts(), outer.tally().attempts()), (1, 2));
        assert_eq!(outer.tally().queued(), Duration::from_millis(3));
        assert_eq!((one.attempt(), one.is_repeated()), (1, true));
        assert_eq!(one.deadline(), outer.deadline());
    }

    #[test]
    fn what_goes_on_by_itself_keeps_the_trace_alone() {
        let mut call = CallContext::new();
        call.set_trace(Trace::new());
        call.limit_deadline(crate::clock::now());
        let detached = call.detached();
        assert_eq!(detached.trace(), call.trace());
        assert_eq!(detached.deadline(), None);
        detached.tally().add_attempt();
        assert_eq!(call.tally().attempts(), 0);
    }

    #[test]
    fn a_context_is_small() {
        assert!(size_of::<Trace>() <= 48 && size_of::<CallContext>() <= 80);
        assert_eq!(size_of::<Option<CallContext>>(), size_of::<CallContext>());
    }

    #[test]
    fn a_scope_that_panics_is_left() {
        let result = std::panic::catch_unwind(|| CallContext::new().sync_scope(|| panic!("inside")));
        assert!(result.is_err() && CallContext::current().is_none());
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

    #[test]
    fn a_hedge_is_seen_without_a_scope_and_through_a_retry() {
        let seen = || {
            let around = Surroundings::look();
            (around.attempt, around.is_repeated, around.is_hedged)
        };
        assert_eq!(seen(), (1, false, false));
        let retry = InAttempt::enter(2);
        assert_eq!(seen(), (2, true, false));
        let hedge = InAttempt::enter_hedged(3);
        assert_eq!(seen(), (3, true, true));
        let inner = InAttempt::enter(1);
        assert_eq!(seen(), (1, true, true));
        assert!(CallContext::current().is_some_and(|c| c.is_hedged()));
        drop(inner);
        drop(hedge);
        assert_eq!(seen(), (2, true, false));
        drop(retry);
        assert_eq!(seen(), (1, false, false));
    }

    #[test]
    fn the_first_attempt_is_noted_once() {
        let context = CallContext::new();
        context.tally().add_first_attempt();
        context.tally().add_first_attempt();
        context.tally().add_attempt();
        assert_eq!(context.tally().attempts(), 2);
    }

    #[test]
    fn attempts_remember_where_they_have_been() {
        add_tried(3);
        assert_eq!(tried(), 0, "nobody would forget it");
        let first = InAttempt::enter(1);
        add_tried(3);
        add_tried(70);
        let been = first.leave();
        assert_eq!((been, tried()), (1 << 3 | 1 << 6, 0));
        let second = InAttempt::enter(2).with_tried(been);
        let inner = InAttempt::enter(1);
        assert_eq!((tried(), current_attempt()), (0, 1));
        drop(inner);
        assert_eq!((tried(), current_attempt()), (been, 2));
        drop(second);
        assert_eq!((tried(), current_attempt()), (0, 1));
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
    async fn a_deadline_is_known_without_a_scope_and_comes_nearer_in_one() {
        let soon = crate::clock::now() + Duration::from_secs(1);
        let later = soon + Duration::from_secs(1);
        let seen = async || {
            tokio::task::yield_now().await;
            let look = CallContext::current().and_then(|c| c.deadline());
            assert_eq!((look, Surroundings::look().deadline), (current_deadline(), look));
            look
        };
        assert_eq!(WithDeadline::new(Some(soon), seen()).await, Some(soon));
        assert_eq!(WithDeadline::new(None, seen()).await, None);
        for (outer, inner) in [(soon, later), (later, soon)] {
            let nested = WithDeadline::new(Some(outer), WithDeadline::new(Some(inner), seen()));
            assert_eq!(nested.await, Some(soon));
            let mut context = CallContext::new();
            context.limit_deadline(inner);
            let scoped = WithDeadline::new(Some(outer), context.scope(seen()));
            assert_eq!(scoped.await, Some(soon));
        }
        assert!(CallContext::current().is_none() && current_deadline().is_none());
    }

    #[test]
    fn a_deadline_is_forgotten_after_a_panic() {
        let deadline = crate::clock::now();
        let caught = std::panic::catch_unwind(|| {
            let _deadline = InDeadline::enter(deadline);
            panic!("as the test wants it");
        });
        assert!(caught.is_err() && current_deadline().is_none());
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
