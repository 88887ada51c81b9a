use std::{fmt, mem::ManuallyDrop, num::NonZeroU64, sync::Arc};

use super::{
    core::{Core, book},
    marks::{Marks, Progress, Role},
    probes::Reservation,
    state::{Generation, State},
};
use crate::{
    admission::Admitted,
    clock::Instant,
    error::{Rejected, RejectionKind},
    outcome::{Head, Outcome, Reason, Token, Verdict},
};

/// The leave to make one call.
///
/// Tell it how the call ended with [`record`](Self::record). Dropped untold, the call was cancelled: a probe's
/// slot goes back and nothing is decided, unless the call had been running for longer than `slow_after`, which
/// is a slow failure of the service, so that an outer timeout cannot hide an outage.
#[must_use = "a permit that is dropped at once is a cancelled call"]
pub struct Permit {
    /// Taken once the call is over; `None` also where nothing is recorded.
    core: Option<Arc<Core>>,
    call: Call,
}

/// What is known of the call: whole words, for the reason that [`Marks`] gives, and handed to functions by value, so
/// that on the usual way nothing takes their address and most of them are never written.
#[derive(Clone, Copy)]
pub(super) struct Call {
    /// In nanoseconds since the breaker was made; until the headers have come. Of a call that was refused, the
    /// nanoseconds after which it is worth trying again.
    started: Option<NonZeroU64>,
    /// The word in the slot of a probe that holds one.
    probe: Option<NonZeroU64>,
    marks: Marks,
}

impl Permit {
    #[inline]
    pub(super) fn new(core: Arc<Core>, call: Call) -> Self {
        Self {
            core: Some(core),
            call,
        }
    }

    #[inline]
    pub(super) fn is_refused(&self) -> bool {
        self.call.marks.role() == Role::Refused
    }

    /// Why the call was refused, once.
    // Always: a rejection that is returned by a call has been in memory.
    #[inline(always)]
    pub(super) fn take_refusal(&mut self) -> Option<Rejected> {
        if !self.is_refused() {
            return None;
        }
        let name = self.core.take()?.name().clone();
        let rejected = Rejected::new(RejectionKind::CircuitOpen, name);
        Some(match self.call.started {
            Some(after) => rejected.with_retry_after_nanos(after.get()),
            None => rejected,
        })
    }

    /// Of a breaker that records nothing, or of none.
    #[inline]
    pub(super) const fn unrecorded() -> Self {
        Self {
            core: None,
            call: Call {
                started: None,
                probe: None,
                marks: Marks::new(0),
            },
        }
    }

    /// Records how the call ended.
    pub fn record(self, outcome: Outcome) {
        self.finish(outcome);
    }

    /// Does this call decide on a probation?
    #[must_use]
    pub fn is_probe(&self) -> bool {
        self.call.marks.role() == Role::Probe
    }

    /// Marks that the call is being made, and the time in which a drop can only be a panic of the inner service.
    #[inline]
    pub(super) fn set_polled(&mut self) {
        self.call.marks.set_polled();
    }

    /// Notes the start of the call, which has begun, if it is not noted yet.
    // A call of it would have the permit in memory, also where the call is over at once.
    #[inline]
    pub(super) fn start(&mut self) {
        self.call.marks.set_begun();
        if let Some(core) = &self.core {
            if self.call.started.is_none() && self.call.marks.progress() == Progress::Nothing {
                self.call.started = Some(core.nanos());
            }
        }
    }

    /// Notes that the call started then, if it is not noted yet.
    pub(super) fn start_at(&mut self, now: Instant) {
        self.call.marks.set_begun();
        if let Some(core) = &self.core {
            self.call.started.get_or_insert(core.nanos_at(now));
        }
    }

    /// The permit without its breaker, to be put together again by [`of_words`](Self::of_words).
    #[inline]
    pub(super) fn into_words(self) -> Admitted {
        let (core, call) = self.into_parts();
        let word = |word: Option<NonZeroU64>| word.map_or(0, NonZeroU64::get);
        Admitted::new(match core {
            Some(_) => [word(call.started), word(call.probe), call.marks.to_word()],
            None => [0; 3],
        })
    }

    /// The permit of these words, which its breaker gave out.
    #[inline]
    pub(super) fn of_words(core: &Arc<Core>, words: &Admitted) -> Self {
        let [started, probe, marks] = words.words();
        match Marks::of_word(marks) {
            None => Self::unrecorded(),
            Some(marks) => Self {
                core: Some(core.clone()),
                call: Call {
                    started: NonZeroU64::new(started),
                    probe: NonZeroU64::new(probe),
                    marks,
                },
            },
        }
    }

    /// Takes the permit and leaves one that records nothing.
    #[inline]
    pub(super) fn take(&mut self) -> Self {
        Self {
            core: self.core.take(),
            call: self.call.copied(),
        }
    }

    /// Marks the time in which a drop can only be a panic of the inner service.
    #[inline]
    pub(super) fn set_inside(&mut self, inside: bool) {
        self.call.marks.set_inside(inside);
    }

    /// The token of the call, if it records anything.
    #[inline]
    pub(super) fn into_token(self) -> Option<Self> {
        let (core, call) = self.into_parts();
        core.map(|core| Self {
            core: Some(core),
            call,
        })
    }

    /// Once the core is taken there is nothing left to drop, and nothing that would have to be in memory for it.
    #[inline]
    fn into_parts(self) -> (Option<Arc<Core>>, Call) {
        let mut this = ManuallyDrop::new(self);
        (this.core.take(), this.call)
    }
}

impl Call {
    #[inline]
    pub(super) fn ordinary(generation: Generation, started: Option<NonZeroU64>) -> Self {
        Self {
            started,
            probe: None,
            marks: Marks::new(generation),
        }
    }

    pub(super) fn probe(generation: Generation, probe: Reservation, started: Option<NonZeroU64>) -> Self {
        let mut call = Self::ordinary(generation, started);
        call.probe = Some(probe.word);
        call.marks.set_slot(probe.index);
        call.marks.set_role(Role::Probe);
        call
    }

    /// Not a call at all, but why there is none. A refusal travels in the same words as the leave does: the
    /// [`Rejected`] with its many small parts is made of it where it is wanted.
    pub(super) fn refused(retry_after: Option<NonZeroU64>) -> Self {
        let mut call = Self::ordinary(0, retry_after);
        call.marks.set_role(Role::Refused);
        call
    }

    /// Word by word: as a whole it would be in memory, and what it is copied to as well.
    #[inline]
    pub(super) const fn copied(&self) -> Self {
        Self {
            started: self.started,
            probe: self.probe,
            marks: self.marks,
        }
    }

    /// The call is over. One that was refused never began.
    #[inline]
    fn settle(mut self, core: &Core, outcome: &Outcome) {
        if outcome.verdict() == Verdict::Neutral && outcome.is_unfinished() {
            // Cut off from outside, by somebody who has told us.
            return self.cancel(core);
        }
        let slow = self.marks.slow() || self.measure(core);
        let current = match self.marks.role() {
            Role::Ordinary => core.decide(self.marks.generation(), outcome, slow),
            Role::Probe => self.holds_lease(core) && core.decide(self.marks.generation(), outcome, slow),
            Role::Proven => self.settle_proven(core, outcome, slow),
            Role::Refused => return,
        };
        core.book(outcome.verdict(), slow, current);
        self.give_back(core);
    }

    /// A stream that has counted for the probation already. If it ends well there is nothing to add; what fails
    /// now is an ordinary failure, of the probation if that still runs, else of the closed state that followed.
    fn settle_proven(&mut self, core: &Core, outcome: &Outcome, slow: bool) -> bool {
        self.adopt_successor(core);
        match outcome.verdict() {
            Verdict::Success | Verdict::Neutral => core.is_current(self.marks.generation()),
            Verdict::Failure | Verdict::Throttled => core.decide(self.marks.generation(), outcome, slow),
        }
    }

    fn adopt_successor(&mut self, core: &Core) {
        let word = core.machine.load();
        if word.state() == State::Closed && word.generation() == self.marks.generation().wrapping_add(1) {
            self.marks.set_generation(word.generation());
        }
    }

    /// The call was dropped before it was over.
    fn cancel(mut self, core: &Core) {
        if self.marks.inside() {
            return self.settle(core, &Outcome::failure(Reason::Rejected(RejectionKind::Panicked)));
        }
        // One that was kept and never made has not kept anybody waiting.
        if self.marks.begun() && self.started.is_some_and(|started| core.is_slow(started)) {
            self.marks.set_slow();
            return self.settle(core, &Outcome::failure(Reason::CutOff));
        }
        let current = match (self.marks.role(), self.marks.progress()) {
            // What has proved itself and was then dropped is good news to the state; the books call it cancelled.
            (Role::Ordinary, Progress::Proof) => {
                core.decide(self.marks.generation(), &Outcome::SUCCESS, self.marks.slow())
            }
            (Role::Ordinary, _) => core.is_current(self.marks.generation()),
            (Role::Probe, Progress::Proof) => {
                self.holds_lease(core) && core.probe_succeeded(self.marks.generation())
            }
            (Role::Probe, _) => self.holds_lease(core) && core.is_current(self.marks.generation()),
            (Role::Proven, _) => {
                self.adopt_successor(core);
                core.is_current(self.marks.generation())
            }
            (Role::Refused, _) => return,
        };
        let index = if current { book::CANCELLED } else { book::STALE };
        core.books.add(index, 1);
        self.give_back(core);
    }

    /// Was the call slow? Asked only where slow calls are watched: it costs a look at the clock.
    #[inline]
    fn measure(&self, core: &Core) -> bool {
        match self.started {
            Some(started) if core.is_timed() => core.is_slow(started),
            _ => false,
        }
    }

    fn reservation(&self) -> Option<Reservation> {
        let index = self.marks.slot();
        self.probe.map(|word| Reservation { index, word })
    }

    fn holds_lease(&self, core: &Core) -> bool {
        self.reservation().is_some_and(|probe| core.probes.holds(probe))
    }

    fn give_back(&mut self, core: &Core) {
        if let Some(probe) = self.reservation() {
            self.probe = None;
            if core.probes.release(probe) {
                core.waiters.wake();
            }
        }
    }

    /// Counts for the probation as soon as there is proof, for a stream may have no end.
    fn prove(&mut self, core: &Core) {
        if self.holds_lease(core) && core.probe_succeeded(self.marks.generation()) {
            self.marks.set_role(Role::Proven);
            self.give_back(core);
        }
    }
}

// These two are called word by word: a call that had to be handed over in memory would be there on the usual way too.

#[inline(never)]
fn settle(
    core: &Core,
    started: Option<NonZeroU64>,
    probe: Option<NonZeroU64>,
    marks: Marks,
    outcome: Outcome,
) {
    Call {
        started,
        probe,
        marks,
    }
    .settle(core, &outcome);
}

#[cold]
#[inline(never)]
fn cancel(core: Arc<Core>, started: Option<NonZeroU64>, probe: Option<NonZeroU64>, marks: Marks) {
    Call {
        started,
        probe,
        marks,
    }
    .cancel(&core);
}

impl Token for Permit {
    #[inline]
    fn head(&mut self, head: Head) {
        if self.core.as_ref().is_some_and(|core| self.call.measure(core)) {
            self.call.marks.set_slow();
        }
        self.call.started = None;
        self.call.marks.set_progress(match head {
            Head::Promising => Progress::Promising,
            Head::Good => Progress::Proof,
        });
    }

    #[inline]
    fn data(&mut self) {
        if self.call.marks.progress() != Progress::Nothing {
            self.call.marks.set_progress(Progress::Proof);
            if let (Role::Probe, Some(core)) = (self.call.marks.role(), &self.core) {
                self.call.prove(core);
            }
        }
    }

    // Always: by a call of it the permit would have to be in memory, and the compiler finds it a little too long.
    #[inline(always)]
    fn finish(self, outcome: Outcome) {
        let (Some(core), call) = self.into_parts() else {
            return;
        };
        // Nearly every call ends so, and it is worth a way of its own.
        let usual = call.marks.is_usual() && core.book_as_usual(call.marks.generation(), outcome.verdict());
        if !usual {
            // Made anew, so that there is nothing of it on the usual way.
            let outcome =
                Outcome::new(outcome.verdict(), outcome.reason()).with_retry_after(outcome.retry_after());
            settle(&core, call.started, call.probe, call.marks, outcome);
        }
    }
}

impl Drop for Permit {
    #[inline]
    fn drop(&mut self) {
        if let Some(core) = self.core.take() {
            cancel(core, self.call.started, self.call.probe, self.call.marks);
        }
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit")
            .field("policy", &self.core.as_ref().map(|core| core.name()))
            .field("call", &self.call.marks)
            .finish_non_exhaustive()
    }
}
