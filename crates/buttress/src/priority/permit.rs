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

/// Whole words: a call moves its permit from place to place, and a word that was written in parts cannot be read as one
/// until they have arrived in memory. That would cost more than the rest of the queue.
#[derive(Clone, Copy)]
struct Call {
    /// When it was admitted, in nanoseconds of the queue's life, from 1 on. 0 where no limit wants to know.
    started: u64,
    /// How long it took to the headers; 0 until they are there.
    latency: u64,
    marks: Marks,
}

/// How many were running when the call was admitted, itself included, above these bits.
#[derive(Clone, Copy)]
struct Marks(u64);

impl Marks {
    /// The slot is given back at the headers.
    const UNTIL_HEAD: u64 = 1;
    /// It has been given back.
    const RETURNED: u64 = 2;
    /// All slots were taken when it was admitted, or it had to wait.
    const FULL: u64 = 4;
    const SHIFT: u32 = 3;

    #[inline]
    fn new(admission: &Admission) -> Self {
        let word = admission.word;
        let full = match admission.waited.is_some() || !word.has_room(0) {
            true => Self::FULL,
            false => 0,
        };
        Self(u64::from(word.taken()) << Self::SHIFT | full)
    }

    #[inline]
    fn has(self, mark: u64) -> bool {
        self.0 & mark != 0
    }

    #[inline]
    fn set(&mut self, mark: u64) {
        self.0 |= mark;
    }

    fn running(self) -> u32 {
        (self.0 >> Self::SHIFT) as u32
    }
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
        Self {
            call: Call {
                started: admission.started,
                latency: 0,
                marks: Marks::new(&admission),
            },
            shared: Some(shared),
        }
    }

    /// Records how the call ended, and gives the slot back.
    pub fn record(self, outcome: Outcome) {
        self.finish(outcome);
    }

    /// The slot is to be given back when the headers are there, whatever comes after them.
    #[inline]
    pub(super) fn held_to_head(mut self) -> Self {
        self.call.marks.set(Marks::UNTIL_HEAD);
        self
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
        // Only a success says how long the work takes. What asked for less, or took too long, says that there is too
        // much of it; any other failure may come from anywhere, and says nothing.
        let dropped = match (outcome.verdict(), outcome.reason()) {
            (Verdict::Success, _) => false,
            (Verdict::Throttled, _) | (Verdict::Failure, Reason::Rejected(RejectionKind::TimedOut)) => true,
            _ => return None,
        };
        let since = || shared.nanos().saturating_sub(self.started);
        Some(Measure {
            started: self.started,
            latency: if self.latency > 0 { self.latency } else { since() },
            running: self.marks.running(),
            full: self.marks.has(Marks::FULL),
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
        if self.call.marks.has(Marks::UNTIL_HEAD) && !self.call.marks.has(Marks::RETURNED) {
            self.call.marks.set(Marks::RETURNED);
            shared.give_back();
        }
    }

    // Always: by a call of it the permit would have to be in memory.
    #[inline(always)]
    fn finish(self, outcome: Outcome) {
        let (Some(shared), call) = self.into_parts() else {
            return;
        };
        let failed = outcome.verdict() == Verdict::Failure;
        shared
            .books
            .add(if failed { book::FAILED } else { book::COMPLETED }, 1);
        if call.started > 0 {
            return end_timed(&shared, call.started, call.latency, call.marks, outcome);
        }
        if !call.marks.has(Marks::RETURNED) {
            shared.give_back();
        }
    }
}

/// The end of a call from which an adaptive limit learns. Called word by word, so that the call need not be in memory
/// where there is none.
#[inline(never)]
fn end_timed(shared: &Shared, started: u64, latency: u64, marks: Marks, outcome: Outcome) {
    let call = Call {
        started,
        latency,
        marks,
    };
    // Before the slot is given back: to wake who gets it is no part of this call.
    let measure = call.measure(shared, outcome);
    // Before the limit learns: its algorithm may be a user's, and slow.
    if !marks.has(Marks::RETURNED) {
        shared.give_back();
    }
    if let Some(measure) = measure {
        shared.learn(measure);
    }
}

impl Drop for Permit {
    #[inline]
    fn drop(&mut self) {
        if let Some(shared) = self.shared.take() {
            shared.books.add(book::CANCELLED, 1);
            if !self.call.marks.has(Marks::RETURNED) {
                shared.give_back();
            }
        }
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit")
            .field("queue", &self.shared.as_ref().map(|shared| shared.name().clone()))
            .field("running", &self.call.marks.running())
            .finish_non_exhaustive()
    }
}
