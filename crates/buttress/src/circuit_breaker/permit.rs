use std::{fmt, sync::Arc};

use super::{
    core::{Core, book},
    probes::Reservation,
    state::{Generation, State},
};
use crate::{
    clock::{self, Instant},
    error::RejectionKind,
    outcome::{Head, Outcome, Reason, Token, Verdict},
};

/// The leave to make one call.
///
/// Tell it how the call ended with [`record`](Self::record). Dropped untold, the call was cancelled: a probe's
/// slot goes back and nothing is decided, unless the call had been running for longer than `slow_after`, which
/// is a slow failure of the service, so that an outer timeout cannot hide an outage.
#[must_use = "a permit that is dropped at once is a cancelled call"]
pub struct Permit {
    core: Arc<Core>,
    /// Until the headers have come.
    started: Option<Instant>,
    probe: Option<Reservation>,
    generation: Generation,
    role: Role,
    progress: Progress,
    slow: bool,
    /// Set while the inner service is being called or polled: a permit that is dropped then is dropped by the
    /// inner's panic.
    inside: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// Recorded already, or admitted by a breaker that records nothing.
    Unrecorded,
    Ordinary,
    /// Holds a slot of the probation.
    Probe,
    /// Was a probe, and has counted for the probation: its stream goes on.
    Proven,
}

/// How much of a good answer has been seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Nothing,
    /// Good headers that promise data.
    Promising,
    /// Good headers that are proof enough once nobody wants the body, or data after good headers.
    Proof,
}

impl Permit {
    #[inline]
    pub(super) fn ordinary(core: Arc<Core>, generation: Generation, started: Option<Instant>) -> Self {
        Self {
            core,
            started,
            probe: None,
            generation,
            role: Role::Ordinary,
            progress: Progress::Nothing,
            slow: false,
            inside: false,
        }
    }

    pub(super) fn probe(core: Arc<Core>, generation: Generation, probe: Reservation, now: Instant) -> Self {
        let mut permit = Self::ordinary(core, generation, Some(now));
        permit.probe = Some(probe);
        permit.role = Role::Probe;
        permit
    }

    pub(super) fn unrecorded(core: Arc<Core>) -> Self {
        let mut permit = Self::ordinary(core, 0, None);
        permit.role = Role::Unrecorded;
        permit
    }

    /// Records how the call ended.
    pub fn record(self, outcome: Outcome) {
        self.finish(outcome);
    }

    /// Does this call decide on a probation?
    #[must_use]
    pub fn is_probe(&self) -> bool {
        self.role == Role::Probe
    }

    /// Notes the start of the call, if it is not noted yet.
    pub(super) fn start(&mut self) {
        if self.started.is_none() && self.progress == Progress::Nothing {
            self.started = Some(clock::now());
        }
    }

    /// Marks the time in which a drop can only be a panic of the inner service.
    #[inline]
    pub(super) fn set_inside(&mut self, inside: bool) {
        self.inside = inside;
    }

    fn settle(&mut self, outcome: Outcome) {
        let slow = self.slow || self.measure();
        let current = match self.role {
            Role::Unrecorded => return,
            Role::Ordinary => self.core.decide(self.generation, outcome, slow),
            Role::Probe => self.holds_lease() && self.core.decide(self.generation, outcome, slow),
            Role::Proven => self.settle_proven(outcome, slow),
        };
        self.core.book(outcome, slow, current);
        self.give_back();
    }

    /// A stream that has counted for the probation already. If it ends well there is nothing to add; what fails
    /// now is an ordinary failure, of the probation if that still runs, else of the closed state that followed.
    fn settle_proven(&mut self, outcome: Outcome, slow: bool) -> bool {
        self.adopt_successor();
        match outcome.verdict() {
            Verdict::Success | Verdict::Neutral => self.core.is_current(self.generation),
            Verdict::Failure | Verdict::Throttled => self.core.decide(self.generation, outcome, slow),
        }
    }

    fn adopt_successor(&mut self) {
        let word = self.core.machine.load();
        if word.state() == State::Closed && word.generation() == self.generation.wrapping_add(1) {
            self.generation = word.generation();
        }
    }

    /// The call was dropped before it was over.
    fn cancel(&mut self) {
        if self.inside {
            return self.settle(Outcome::failure(Reason::Rejected(RejectionKind::Panicked)));
        }
        if self.started.is_some_and(|started| self.core.is_slow(started)) {
            self.slow = true;
            return self.settle(Outcome::failure(Reason::CutOff));
        }
        let current = match (self.role, self.progress) {
            (Role::Unrecorded, _) => return,
            // What has proved itself and was then dropped is good news to the state; the books call it cancelled.
            (Role::Ordinary, Progress::Proof) => {
                self.core.decide(self.generation, Outcome::SUCCESS, self.slow)
            }
            (Role::Ordinary, _) => self.core.is_current(self.generation),
            (Role::Probe, Progress::Proof) => {
                self.holds_lease() && self.core.probe_succeeded(self.generation)
            }
            (Role::Probe, _) => self.holds_lease() && self.core.is_current(self.generation),
            (Role::Proven, _) => {
                self.adopt_successor();
                self.core.is_current(self.generation)
            }
        };
        let index = if current { book::CANCELLED } else { book::STALE };
        self.core.books.add(index, 1);
        self.give_back();
    }

    /// Was the call slow? Asked only where slow calls are watched: it costs a look at the clock.
    #[inline]
    fn measure(&mut self) -> bool {
        match self.started {
            Some(started) if self.core.is_timed() => self.core.is_slow(started),
            _ => false,
        }
    }

    fn holds_lease(&self) -> bool {
        self.probe
            .as_ref()
            .is_some_and(|probe| self.core.probes.holds(probe))
    }

    #[inline]
    fn give_back(&mut self) {
        self.role = Role::Unrecorded;
        if let Some(probe) = self.probe.take() {
            self.release(&probe);
        }
    }

    fn release(&self, probe: &Reservation) {
        if self.core.probes.release(probe) {
            self.core.waiters.wake();
        }
    }

    /// Counts for the probation as soon as there is proof, for a stream may have no end.
    fn prove(&mut self) {
        if self.holds_lease() && self.core.probe_succeeded(self.generation) {
            self.role = Role::Proven;
            if let Some(probe) = self.probe.take() {
                self.release(&probe);
            }
        }
    }
}

impl Token for Permit {
    fn head(&mut self, head: Head) {
        self.slow |= self.measure();
        self.started = None;
        self.progress = match head {
            Head::Promising => Progress::Promising,
            Head::Good => Progress::Proof,
        };
    }

    fn data(&mut self) {
        if self.progress != Progress::Nothing {
            self.progress = Progress::Proof;
            if self.role == Role::Probe {
                self.prove();
            }
        }
    }

    #[inline]
    fn finish(mut self, outcome: Outcome) {
        self.settle(outcome);
    }
}

impl Drop for Permit {
    #[inline]
    fn drop(&mut self) {
        if self.role != Role::Unrecorded {
            self.cancel();
        }
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit")
            .field("policy", self.core.name())
            .field("role", &self.role)
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}
