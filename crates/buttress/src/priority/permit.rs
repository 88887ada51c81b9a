use std::{fmt, mem::ManuallyDrop, sync::Arc};

use super::shared::{Admission, Shared, book};
use crate::{
    error::RejectionKind,
    outcome::{Head, Outcome, Reason, Token, Verdict},
};

/// The right to run: one of the queue's slots.
///
/// The slot is given back when it is dropped, or when it is told how the call ended ([`record`](Self::record)). Only
/// from the latter can an adaptive limit learn, and only then is the call in the books as completed: one that is dropped
/// untold was cancelled.
#[must_use = "a permit that is dropped at once gives its slot back"]
pub struct Permit {
    /// Taken once the call is over; `None` also where there is no queue.
    shared: Option<Arc<Shared>>,
    call: Call,
}

#[derive(Clone, Copy, Debug)]
struct Call {
    /// When it was admitted, in nanoseconds of the queue's life, from 1 on. 0 where no limit wants to know.
    started: u64,
    /// How long it took to the headers; 0 until they are there.
    latency: u64,
    /// How many were running when it was admitted, itself included.
    running: u32,
    marks: Marks,
}

#[derive(Clone, Copy, Debug, Default)]
struct Marks {
    /// The slot is given back at the headers.
    until_head: bool,
    /// It has been given back.
    returned: bool,
    /// All slots were taken when it was admitted.
    full: bool,
}

/// What an adaptive limit gets to know of a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measure {
    pub(super) started: u64,
    pub(super) latency: u64,
    pub(super) running: u32,
    pub(super) full: bool,
    pub(super) dropped: bool,
}

impl Permit {
    #[inline]
    pub(super) fn new(shared: Arc<Shared>, admission: Admission) -> Self {
        let Admission {
            started,
            word,
            waited,
        } = admission;
        let marks = Marks {
            full: waited.is_some() || !word.has_room(0),
            ..Marks::default()
        };
        Self {
            shared: Some(shared),
            call: Call {
                started,
                latency: 0,
                running: word.taken(),
                marks,
            },
        }
    }

    /// Records how the call ended, and gives the slot back.
    pub fn record(self, outcome: Outcome) {
        self.finish(outcome);
    }

    /// The slot is to be given back when the headers are there, whatever comes after them.
    pub(super) fn hold_to_head(&mut self) {
        self.call.marks.until_head = true;
    }

    #[inline]
    fn into_parts(self) -> (Option<Arc<Shared>>, Call) {
        let mut this = ManuallyDrop::new(self);
        (this.shared.take(), this.call)
    }
}

impl Call {
    /// Of a call that is over: what the limit may learn from it.
    fn measure(self, shared: &Shared, outcome: Outcome) -> Option<Measure> {
        if self.started == 0 {
            return None;
        }
        // Only a success says how long the work takes. What asked for less, or took too long, says that there is too
        // much of it; any other failure may come from anywhere, and says nothing.
        let dropped = match (outcome.verdict(), outcome.reason()) {
            (Verdict::Success, _) => false,
            (Verdict::Throttled, _) | (_, Reason::Rejected(RejectionKind::TimedOut)) => true,
            _ => return None,
        };
        let since = || shared.nanos().saturating_sub(self.started);
        Some(Measure {
            started: self.started,
            latency: if self.latency > 0 { self.latency } else { since() },
            running: self.running,
            full: self.marks.full,
            dropped,
        })
    }
}

impl Token for Permit {
    fn head(&mut self, _: Head) {
        let Some(shared) = &self.shared else { return };
        if self.call.started > 0 && self.call.latency == 0 {
            self.call.latency = shared.nanos().saturating_sub(self.call.started).max(1);
        }
        if self.call.marks.until_head && !self.call.marks.returned {
            self.call.marks.returned = true;
            shared.give_back();
        }
    }

    #[inline]
    fn finish(self, outcome: Outcome) {
        let (Some(shared), call) = self.into_parts() else {
            return;
        };
        let failed = outcome.verdict() == Verdict::Failure;
        shared
            .books
            .add(if failed { book::FAILED } else { book::COMPLETED }, 1);
        if let Some(measure) = call.measure(&shared, outcome) {
            shared.learn(measure);
        }
        if !call.marks.returned {
            shared.give_back();
        }
    }
}

impl Drop for Permit {
    #[inline]
    fn drop(&mut self) {
        if let Some(shared) = self.shared.take() {
            shared.books.add(book::CANCELLED, 1);
            if !self.call.marks.returned {
                shared.give_back();
            }
        }
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit")
            .field("queue", &self.shared.as_ref().map(|shared| shared.name().clone()))
            .field("call", &self.call)
            .finish_non_exhaustive()
    }
}
