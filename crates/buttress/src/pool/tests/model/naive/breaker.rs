//! A breaker that counts failures in a row, and nothing else.

use super::*;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(in super::super) struct Rules {
    pub(in super::super) failures: u32,
    pub(in super::super) open_for: Millis,
    pub(in super::super) probes: usize,
    pub(in super::super) successes: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Closed,
    /// With the moment at which its time is over; never, if it was forced.
    Open(Millis),
    HalfOpen,
}

#[derive(Clone, Debug)]
pub(super) struct Breaker {
    rules: Rules,
    pub(super) state: State,
    /// A new one with each change of state.
    life: u32,
    failures: u32,
    successes: u32,
    /// Who holds each probe's slot, and until when.
    slots: Vec<Option<(usize, Millis)>>,
    granted: usize,
}

/// The leave to make one call.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Leave {
    number: usize,
    life: u32,
    is_probe: bool,
}

pub(super) const NEVER: Millis = Millis::MAX;

impl Breaker {
    pub(super) fn new(rules: Rules) -> Self {
        Self {
            rules,
            state: State::Closed,
            life: 0,
            failures: 0,
            successes: 0,
            slots: vec![None; rules.probes],
            granted: 0,
        }
    }

    pub(super) fn is_down(&self) -> bool {
        matches!(self.state, State::Open(_))
    }

    pub(super) fn would_admit(&self, now: Millis) -> bool {
        match self.state {
            State::Closed => true,
            State::Open(until) => until <= now,
            State::HalfOpen => self.free_slot(now).is_some(),
        }
    }

    fn free_slot(&self, now: Millis) -> Option<usize> {
        self.slots
            .iter()
            .position(|slot| slot.is_none_or(|(_, until)| until <= now))
    }

    /// When it would admit a call, if nothing else happens.
    pub(super) fn next_chance(&self, now: Millis) -> Option<Millis> {
        match self.state {
            State::Closed => Some(now),
            State::Open(NEVER) => None,
            State::Open(until) => Some(until),
            State::HalfOpen if self.free_slot(now).is_some() => Some(now),
            State::HalfOpen => self.slots.iter().flatten().map(|(_, until)| *until).min(),
        }
    }

    pub(super) fn admit(&mut self, now: Millis) -> Leave {
        assert!(self.would_admit(now), "nobody asks it otherwise");
        if self.is_down() {
            self.change(State::HalfOpen);
        }
        self.granted += 1;
        let is_probe = self.state == State::HalfOpen;
        if is_probe {
            let free = self.free_slot(now).expect("it would admit one");
            self.slots[free] = Some((self.granted, now + self.rules.open_for));
        }
        Leave {
            number: self.granted,
            life: self.life,
            is_probe,
        }
    }

    pub(super) fn end(&mut self, leave: Leave, verdict: Verdict, asked: Option<Millis>, now: Millis) {
        let counts = !leave.is_probe || self.release(leave);
        if !counts || leave.life != self.life {
            return;
        }
        match (self.state, verdict) {
            (State::Closed, Verdict::Success) => self.failures = 0,
            (State::Closed, Verdict::Failure) => {
                self.failures += 1;
                if self.failures >= self.rules.failures {
                    self.open(asked, now);
                }
            }
            (State::HalfOpen, Verdict::Success) => {
                self.successes += 1;
                if self.successes >= self.rules.successes {
                    self.change(State::Closed);
                }
            }
            (State::HalfOpen, Verdict::Failure | Verdict::Throttled) => self.open(asked, now),
            _ => {}
        }
    }

    pub(super) fn cancel(&mut self, leave: Leave) {
        self.release(leave);
    }

    /// Gives its slot back, if it holds one.
    fn release(&mut self, leave: Leave) -> bool {
        let held = self
            .slots
            .iter()
            .position(|slot| slot.is_some_and(|(number, _)| number == leave.number));
        if let Some(held) = held {
            self.slots[held] = None;
        }
        held.is_some()
    }

    pub(super) fn open(&mut self, asked: Option<Millis>, now: Millis) {
        self.change(State::Open(now + self.rules.open_for.max(asked.unwrap_or(0))));
    }

    pub(super) fn change(&mut self, to: State) {
        self.state = to;
        self.life += 1;
        (self.failures, self.successes) = (0, 0);
        self.slots.fill(None);
    }
}
