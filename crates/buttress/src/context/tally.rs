use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use super::{Trace, with_current};

/// What the inner layers learnt about a call, for the outer ones to read when it is over.
#[derive(Debug, Default)]
pub struct Tally {
    attempts: AtomicU32,
    queued: AtomicU64,
    tried: AtomicU64,
    /// That of the call in which this one was made.
    outer: Option<Arc<Tally>>,
    /// Where the call stands. It is here because there is one for all copies of a context, in an allocation that each
    /// call pays for anyway.
    trace: Option<Trace>,
}

impl Tally {
    #[inline]
    pub(super) fn at(trace: Option<Trace>) -> Self {
        Self {
            trace,
            ..Self::default()
        }
    }

    /// What it notes is noted in the outer one as well.
    pub(super) fn within(self, outer: &Arc<Self>) -> Self {
        Self {
            outer: Some(outer.clone()),
            ..self
        }
    }

    #[inline]
    pub(super) fn trace(&self) -> Option<&Trace> {
        self.trace.as_ref()
    }

    pub(super) fn set_trace(&mut self, trace: Trace) {
        self.trace = Some(trace);
    }

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
