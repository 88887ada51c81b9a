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

use std::{num::NonZeroU128, sync::Arc};

use crate::clock::Instant;

mod attempt;
mod deadline;
mod scope;
mod tally;
#[cfg(test)]
mod tests;
mod trace;

use attempt::MARK;
#[cfg_attr(
    not(all(feature = "hedge", feature = "pool", feature = "retry")),
    allow(unused_imports)
)]
pub(crate) use attempt::{InAttempt, Surroundings, add_tried, current_attempt, tried};
use deadline::DEADLINE;
pub use deadline::WithDeadline;
#[cfg_attr(
    not(all(feature = "priority", feature = "rate-limit", feature = "timeout")),
    allow(unused_imports)
)]
pub(crate) use deadline::{InDeadline, current_deadline, nearest};
pub use scope::Scoped;
#[cfg_attr(not(feature = "priority"), allow(unused_imports))]
pub(crate) use scope::{Entered, current_priority, with_current, with_priority};
pub use tally::Tally;
#[cfg_attr(
    not(all(
        feature = "hedge",
        feature = "priority",
        feature = "rate-limit",
        feature = "retry"
    )),
    allow(unused_imports)
)]
pub(crate) use tally::{add_attempt, add_first_attempt, add_queued};
pub use trace::Trace;

/// The context of one call.
#[derive(Clone, Debug)]
pub struct CallContext {
    // It holds the trace as well: copies are made and moved more often than anything else is done with a context.
    tally: Arc<Tally>,
    // In place of the one there, where others share that.
    trace: Option<Arc<Trace>>,
    deadline: Option<Instant>,
    attempt: u32,
    is_repeated: bool,
    is_hedged: bool,
    priority: Option<u8>,
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
        Self::with_tally(Tally::default())
    }

    /// The context of a call of which nothing but its place in a trace is known.
    #[cfg_attr(not(feature = "trace-id"), allow(dead_code))]
    #[inline]
    pub(crate) fn at(trace: Trace) -> Self {
        Self::with_tally(Tally::at(Some(trace)))
    }

    #[inline]
    fn with_tally(tally: Tally) -> Self {
        Self {
            tally: Arc::new(tally),
            trace: None,
            deadline: None,
            attempt: 1,
            is_repeated: false,
            is_hedged: false,
            priority: None,
        }
    }

    /// The context of a call that is made in the course of this one: part of the same trace, with the same deadline
    /// and importance. Its tally is its own, and what it notes is noted in this one's as well.
    #[must_use]
    pub fn nested(&self) -> Self {
        self.nested_at(self.trace().cloned())
    }

    /// The same at that place in a trace.
    pub(crate) fn nested_at(&self, trace: Option<Trace>) -> Self {
        Self {
            tally: Arc::new(Tally::at(trace).within(&self.tally)),
            trace: None,
            attempt: 1,
            is_repeated: self.is_repeated(),
            ..*self
        }
    }

    /// The context of work that goes on by itself, when this call may be over: it is part of the same trace, and
    /// nothing else of this call is its own.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self::with_tally(Tally::at(self.trace().cloned()))
    }

    /// The id of the trace that this call belongs to.
    #[must_use]
    pub fn trace_id(&self) -> Option<NonZeroU128> {
        self.trace().map(Trace::id)
    }

    /// The trace that this call belongs to, and where in it it stands.
    #[inline]
    #[must_use]
    pub fn trace(&self) -> Option<&Trace> {
        match &self.trace {
            Some(own) => Some(own),
            None => self.tally.trace(),
        }
    }

    /// Says where in which trace the call stands. Copies that have been made before stay where they are.
    pub fn set_trace(&mut self, trace: Trace) {
        match Arc::get_mut(&mut self.tally) {
            Some(tally) => {
                tally.set_trace(trace);
                self.trace = None;
            }
            None => self.trace = Some(Arc::new(trace)),
        }
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
    #[inline]
    #[must_use]
    pub fn current() -> Option<Self> {
        let is_alone = with_current(|_| ()).is_none() && DEADLINE.get().is_none() && MARK.get().attempt == 0;
        if is_alone { None } else { Self::look_around() }
    }

    fn look_around() -> Option<Self> {
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
