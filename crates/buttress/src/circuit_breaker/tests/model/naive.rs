//! A circuit breaker that is obvious: plain fields, one thread, a list where the real one has atomics.
//!
//! Time is in ticks of 10 µs, the real one's unit; every duration is a whole number of them.

mod by_hand;
mod config;
mod decide;
mod told;

use std::collections::VecDeque;

pub(super) use self::config::{Config, Shape};
use crate::{circuit_breaker::State, outcome::Verdict};

pub(super) type Ticks = u64;

#[derive(Clone, Copy, Debug)]
struct Recorded {
    /// The tenth of a time window that it fell into.
    bucket: u64,
    failed: bool,
    slow: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Role {
    Unrecorded,
    Ordinary,
    Probe,
    Proven,
}

/// A call that is under way.
#[derive(Clone, Debug)]
pub(super) struct Call {
    id: u64,
    life: u64,
    pub(super) role: Role,
    /// Until the headers have come.
    pub(super) started: Option<Ticks>,
    pub(super) has_head: bool,
    is_promising: bool,
    is_proof: bool,
    slow: bool,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Books {
    pub(super) success: u64,
    pub(super) failure: u64,
    pub(super) throttled: u64,
    pub(super) neutral: u64,
    pub(super) cancelled: u64,
    pub(super) stale: u64,
    pub(super) rejected: u64,
    pub(super) slow: u64,
}

#[derive(Debug)]
pub(super) struct Naive {
    pub(super) config: Config,
    pub(super) now: Ticks,
    pub(super) state: State,
    /// A new one with each change of state.
    life: u64,
    /// Failures in a row.
    streak: u64,
    window: VecDeque<Recorded>,
    pub(super) open_until: Ticks,
    passed_probes: u64,
    /// Who holds each probe's slot, and until when.
    slots: Vec<Option<(u64, Ticks)>>,
    pub(super) books: Books,
    pub(super) entered: Ticks,
    outage_since: Option<Ticks>,
    failed_probations: u32,
    pub(super) times_opened: u64,
    recoveries: Vec<Ticks>,
    next_id: u64,
}

impl Naive {
    pub(super) fn new(config: Config) -> Self {
        Self {
            config,
            now: 0,
            state: State::Closed,
            life: 0,
            streak: 0,
            window: VecDeque::new(),
            open_until: 0,
            passed_probes: 0,
            slots: vec![None; 16],
            books: Books::default(),
            entered: 0,
            outage_since: None,
            failed_probations: 0,
            times_opened: 0,
            recoveries: Vec::new(),
            next_id: 0,
        }
    }

    // ===== calls =====

    /// `Err` with the time that is left, if that is known.
    pub(super) fn acquire(&mut self) -> Result<Call, Option<Ticks>> {
        if self.state == State::Open && self.now >= self.open_until {
            self.change(State::HalfOpen);
        }
        let role = match self.state {
            State::Closed | State::MetricsOnly => Role::Ordinary,
            State::Disabled => Role::Unrecorded,
            State::HalfOpen if self.free_slot(self.now).is_some() => Role::Probe,
            State::Open => {
                self.books.rejected += 1;
                return Err(Some(self.open_until - self.now));
            }
            _ => {
                self.books.rejected += 1;
                return Err(None);
            }
        };
        self.next_id += 1;
        if role == Role::Probe {
            let slot = self.free_slot(self.now).expect("looked a moment ago");
            self.slots[slot] = Some((self.next_id, self.now + self.config.lease()));
        }
        Ok(Call {
            id: self.next_id,
            life: self.life,
            role,
            started: (role != Role::Unrecorded).then_some(self.now),
            has_head: false,
            is_promising: false,
            is_proof: false,
            slow: false,
        })
    }

    fn free_slot(&self, now: Ticks) -> Option<usize> {
        (0..self.config.half_open_probes).find(|&i| self.slots[i].is_none_or(|(_, until)| until <= now))
    }

    /// When the leases end.
    pub(super) fn leases(&self) -> impl Iterator<Item = Ticks> {
        self.slots.iter().flatten().map(|(_, until)| *until)
    }

    pub(super) fn would_admit(&self, now: Ticks) -> bool {
        match self.state {
            State::Open => now >= self.open_until,
            State::HalfOpen => self.free_slot(now).is_some(),
            State::ForcedOpen => false,
            _ => true,
        }
    }

    pub(super) fn head(&mut self, call: &mut Call, good: bool) {
        call.slow |= self.takes_long(call) && self.config.slow_call_rate.is_some();
        call.started = None;
        call.has_head = true;
        call.is_promising = true;
        call.is_proof = good;
    }

    pub(super) fn data(&mut self, call: &mut Call) {
        if !call.is_promising {
            return;
        }
        call.is_proof = true;
        if call.role == Role::Probe && self.holds_slot(call) && self.pass(call.life) {
            call.role = Role::Proven;
            self.free(call);
        }
    }

    pub(super) fn finish(&mut self, mut call: Call, verdict: Verdict, asked: Option<Ticks>) {
        if call.role == Role::Unrecorded {
            return;
        }
        let slow = call.slow || self.takes_long(&call) && self.config.slow_call_rate.is_some();
        let counts = match call.role {
            Role::Probe => self.holds_slot(&call) && self.decide(call.life, verdict, slow, asked),
            Role::Proven => {
                self.follow(&mut call);
                match verdict {
                    Verdict::Success | Verdict::Neutral => self.life == call.life,
                    Verdict::Failure | Verdict::Throttled => self.decide(call.life, verdict, slow, asked),
                }
            }
            _ => self.decide(call.life, verdict, slow, asked),
        };
        self.book(verdict, slow, counts);
        self.free(&call);
    }

    /// The call is dropped untold.
    pub(super) fn cancel(&mut self, mut call: Call) {
        if call.role == Role::Unrecorded {
            return;
        }
        if self.takes_long(&call) {
            call.slow = true;
            return self.finish(call, Verdict::Failure, None);
        }
        let counts = match call.role {
            Role::Ordinary if call.is_proof => self.decide(call.life, Verdict::Success, call.slow, None),
            Role::Probe if call.is_proof => self.holds_slot(&call) && self.pass(call.life),
            Role::Probe => self.holds_slot(&call) && self.life == call.life,
            Role::Proven => {
                self.follow(&mut call);
                self.life == call.life
            }
            _ => self.life == call.life,
        };
        if counts {
            self.books.cancelled += 1;
        } else {
            self.books.stale += 1;
        }
        self.free(&call);
    }

    /// A proven stream belongs to the closed state that it helped to bring about.
    fn follow(&self, call: &mut Call) {
        if self.state == State::Closed && self.life == call.life + 1 {
            call.life += 1;
        }
    }

    fn takes_long(&self, call: &Call) -> bool {
        call.started
            .is_some_and(|started| self.now - started >= self.config.slow_after)
    }

    fn holds_slot(&self, call: &Call) -> bool {
        self.slots.iter().flatten().any(|(id, _)| *id == call.id)
    }

    fn free(&mut self, call: &Call) {
        for slot in &mut self.slots {
            if slot.is_some_and(|(id, _)| id == call.id) {
                *slot = None;
            }
        }
    }

    fn book(&mut self, verdict: Verdict, slow: bool, counts: bool) {
        if !counts {
            self.books.stale += 1;
            return;
        }
        match verdict {
            Verdict::Success => self.books.success += 1,
            Verdict::Failure => self.books.failure += 1,
            Verdict::Throttled => self.books.throttled += 1,
            Verdict::Neutral => self.books.neutral += 1,
        }
        self.books.slow += u64::from(slow && verdict != Verdict::Neutral);
    }
}
