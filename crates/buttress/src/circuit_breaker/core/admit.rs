//! Which call is let through.

use std::{num::NonZeroU64, sync::Arc};

use super::{Core, book};
use crate::{
    circuit_breaker::{
        permit::{Call, Permit},
        policy::{NANOS_PER_TICK, to_ticks},
        probes::Reservation,
        state::{State, Word},
        transition::Cause,
    },
    clock,
};

impl Core {
    // ===== admission =====

    /// The leave for one call, or a [refusal](Permit::refused).
    #[inline]
    pub(in super::super) fn admit(this: &Arc<Self>) -> Permit {
        let word = this.machine.glance();
        if word.is_closed() {
            let started = this.is_timed().then(|| this.nanos());
            Permit::new(this.clone(), Call::ordinary(word.generation(), started))
        } else {
            match Self::admit_unless_open(this) {
                Some(call) => Permit::new(this.clone(), call.copied()),
                None => Permit::unrecorded(),
            }
        }
    }

    /// What is known of a call that finds the circuit not simply closed; `None` if nothing of it is recorded.
    // A way of its own: it is long, and most calls do not go it.
    #[inline(never)]
    fn admit_unless_open(&self) -> Option<Call> {
        let now = clock::now();
        let ticks = self.ticks(now);
        let started = || self.is_timed().then(|| self.nanos_at(now));
        let mut word = self.machine.load();
        loop {
            match word.state() {
                State::Closed | State::MetricsOnly => {
                    return Some(Call::ordinary(word.generation(), started()));
                }
                State::Disabled => return None,
                State::ForcedOpen => return Some(self.refuse(0)),
                State::Open => {
                    let until = word.payload();
                    if ticks < until {
                        return Some(self.refuse(until - ticks));
                    }
                    word = match self.machine.advance(word, State::HalfOpen, 0) {
                        Ok(next) => {
                            self.entered(State::Open, State::HalfOpen, Cause::OpenTimeOver);
                            next
                        }
                        Err(next) => next,
                    };
                }
                State::HalfOpen => match self.reserve_probe(word, ticks) {
                    Ok(Some(probe)) => {
                        return Some(Call::probe(word.generation(), probe, started()));
                    }
                    Ok(None) => return Some(self.refuse(0)),
                    Err(next) => word = next,
                },
            }
        }
    }

    /// A probe's slot; `Err` with the present word if the probation ended meanwhile.
    fn reserve_probe(&self, word: Word, now: u64) -> Result<Option<Reservation>, Word> {
        let settings = self.settings.load();
        let lease = now.saturating_add(to_ticks(settings.options.effective_lease()).max(1));
        let capacity = settings.options.half_open_probes;
        let Some(probe) = self.probes.reserve(word.generation(), now, lease, capacity) else {
            return Ok(None);
        };
        let after = self.machine.load();
        if after.generation() == word.generation() {
            Ok(Some(probe))
        } else {
            self.probes.release(probe);
            Err(after)
        }
    }

    /// For so many ticks, where that is known.
    fn refuse(&self, ticks: u64) -> Call {
        self.books.add(book::REJECTED, 1);
        Call::refused(NonZeroU64::new(ticks.saturating_mul(NANOS_PER_TICK.into())))
    }

    pub(in super::super) fn would_admit(&self, now: u64) -> bool {
        let word = self.machine.load();
        match word.state() {
            State::Closed | State::Disabled | State::MetricsOnly => true,
            State::ForcedOpen => false,
            State::Open => now >= word.payload(),
            State::HalfOpen => {
                let capacity = self.settings.load().options.half_open_probes;
                self.probes.has_free(word.generation(), now, capacity)
            }
        }
    }

    /// The tick at which a call may be admitted though nothing else happens.
    pub(in super::super) fn next_chance(&self, now: u64) -> Option<u64> {
        let word = self.machine.load();
        match word.state() {
            State::Closed | State::Disabled | State::MetricsOnly => Some(now),
            State::ForcedOpen => None,
            State::Open => Some(word.payload()),
            State::HalfOpen => {
                let capacity = self.settings.load().options.half_open_probes;
                self.probes.next_free(word.generation(), now, capacity)
            }
        }
    }
}
