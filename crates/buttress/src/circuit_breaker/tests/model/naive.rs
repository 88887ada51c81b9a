//! A circuit breaker that is obvious: plain fields, one thread, a list where the real one has atomics.
//!
//! Time is in ticks of 10 µs, the real one's unit; every duration is a whole number of them.

use std::collections::VecDeque;

use crate::{circuit_breaker::State, outcome::Verdict};

pub(super) type Ticks = u64;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Config {
    pub(super) consecutive_failures: Option<u32>,
    /// In percent.
    pub(super) failure_rate: Option<u64>,
    pub(super) slow_call_rate: Option<u64>,
    pub(super) slow_after: Ticks,
    pub(super) window: Shape,
    pub(super) minimum_calls: Option<u32>,
    pub(super) open_for: Ticks,
    pub(super) open_growth: u64,
    pub(super) max_open_for: Option<Ticks>,
    pub(super) steady_after: Option<Ticks>,
    pub(super) half_open_probes: usize,
    pub(super) success_threshold: u64,
    pub(super) probe_lease: Option<Ticks>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Shape {
    Calls(u32),
    Time(Ticks),
}

impl Config {
    fn watches_rates(&self) -> bool {
        self.failure_rate.is_some() || self.slow_call_rate.is_some()
    }

    fn minimum(&self) -> usize {
        let default = match self.window {
            Shape::Calls(calls) => calls.min(20),
            Shape::Time(_) => 20,
        };
        self.minimum_calls.unwrap_or(default) as usize
    }

    fn lease(&self) -> Ticks {
        self.probe_lease.unwrap_or(self.open_for)
    }

    fn open_time(&self, failed_probations: u32, asked: Option<Ticks>) -> Ticks {
        let five_minutes = 5 * 60 * 100_000;
        let cap = self.max_open_for.unwrap_or(five_minutes).max(self.open_for);
        let mut time = self.open_for;
        for _ in 0..failed_probations {
            time = (time * self.open_growth).min(cap);
        }
        time.max(asked.unwrap_or(0).min(cap))
    }
}

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
        self.books.slow += u64::from(slow);
    }

    // ===== decisions =====

    /// `false` if it comes too late.
    fn decide(&mut self, life: u64, verdict: Verdict, slow: bool, asked: Option<Ticks>) -> bool {
        if life != self.life {
            return false;
        }
        match self.state {
            State::Closed | State::MetricsOnly => self.weigh(verdict, slow, asked),
            State::HalfOpen => match verdict {
                Verdict::Success => {
                    self.pass(life);
                }
                Verdict::Neutral => {}
                Verdict::Failure | Verdict::Throttled => {
                    self.failed_probations += 1;
                    self.open(asked);
                }
            },
            _ => {}
        }
        true
    }

    fn weigh(&mut self, verdict: Verdict, slow: bool, asked: Option<Ticks>) {
        match verdict {
            Verdict::Success => self.streak = 0,
            Verdict::Failure => self.streak += 1,
            Verdict::Throttled => {}
            Verdict::Neutral => return,
        }
        let failed = matches!(verdict, Verdict::Failure | Verdict::Throttled);
        if self.config.watches_rates() {
            let bucket = self.bucket();
            self.window.push_back(Recorded { bucket, failed, slow });
        }
        let streak = verdict == Verdict::Failure
            && self
                .config
                .consecutive_failures
                .is_some_and(|limit| self.streak >= limit.into());
        if self.state == State::Closed && (streak || self.a_rate_is_reached()) {
            self.forget_growth_if_steady();
            self.open(asked);
        }
    }

    fn a_rate_is_reached(&self) -> bool {
        let (calls, failed, slow) = self.tally();
        let reached = |part: usize, percent: Option<u64>| {
            percent.is_some_and(|p| part > 0 && part as u64 * 100 >= p * calls as u64)
        };
        self.config.watches_rates()
            && calls >= self.config.minimum()
            && (reached(failed, self.config.failure_rate) || reached(slow, self.config.slow_call_rate))
    }

    fn bucket(&self) -> u64 {
        match self.config.window {
            Shape::Calls(_) => 0,
            Shape::Time(time) => self.now / time.div_ceil(10),
        }
    }

    /// Calls, failed, slow.
    fn tally(&self) -> (usize, usize, usize) {
        let held: Vec<_> = match self.config.window {
            Shape::Calls(calls) => self.window.iter().rev().take(calls as usize).collect(),
            Shape::Time(_) => {
                let present = self.bucket();
                self.window.iter().filter(|r| r.bucket + 10 > present).collect()
            }
        };
        (
            held.len(),
            held.iter().filter(|r| r.failed).count(),
            held.iter().filter(|r| r.slow).count(),
        )
    }

    fn pass(&mut self, life: u64) -> bool {
        if life != self.life || self.state != State::HalfOpen {
            return false;
        }
        self.passed_probes += 1;
        if self.passed_probes >= self.config.success_threshold {
            self.change(State::Closed);
        }
        true
    }

    fn open(&mut self, asked: Option<Ticks>) {
        self.open_until = self.now + self.config.open_time(self.failed_probations, asked);
        self.change(State::Open);
    }

    fn forget_growth_if_steady(&mut self) {
        let steady = self.config.steady_after.unwrap_or(self.config.open_for);
        if self.state == State::Closed && self.now - self.entered >= steady {
            self.failed_probations = 0;
        }
    }

    fn change(&mut self, to: State) {
        self.state = to;
        self.life += 1;
        self.streak = 0;
        self.passed_probes = 0;
        self.window.clear();
        self.slots.fill(None);
        self.entered = self.now;
        match to {
            State::Open | State::ForcedOpen => {
                self.times_opened += 1;
                self.outage_since.get_or_insert(self.now);
            }
            State::Closed => {
                if let Some(since) = self.outage_since.take() {
                    self.recoveries.push(self.now - since);
                }
            }
            _ => {}
        }
    }

    // ===== by hand =====

    pub(super) fn force(&mut self, to: State) {
        self.forget_growth_if_steady();
        if to == State::Open {
            self.open(None);
        } else {
            self.change(to);
        }
    }

    pub(super) fn close(&mut self) {
        if self.state != State::Closed {
            self.force(State::Closed);
        }
    }

    pub(super) fn reset(&mut self) {
        self.books = Books::default();
        self.outage_since = None;
        self.times_opened = 0;
        self.recoveries.clear();
        self.failed_probations = 0;
        self.change(State::Closed);
    }

    pub(super) fn record(&mut self, verdict: Verdict) {
        if self.state != State::Disabled {
            let counts = self.decide(self.life, verdict, false, None);
            self.book(verdict, false, counts);
        }
    }

    pub(super) fn reconfigure(&mut self, config: Config) {
        if config.window != self.config.window || !config.watches_rates() {
            self.window.clear();
        }
        self.config = config;
    }

    // ===== what it tells =====

    fn counts(&self) -> bool {
        matches!(self.state, State::Closed | State::MetricsOnly)
    }

    pub(super) fn told_state(&self) -> State {
        if self.state == State::Open && self.now >= self.open_until {
            State::HalfOpen
        } else {
            self.state
        }
    }

    pub(super) fn told_streak(&self) -> u64 {
        if self.counts() { self.streak } else { 0 }
    }

    /// Failure rate and slow rate.
    pub(super) fn rates(&self) -> Option<(f64, f64)> {
        let (calls, failed, slow) = self.tally();
        (self.counts() && self.config.watches_rates() && calls > 0)
            .then(|| (failed as f64 / calls as f64, slow as f64 / calls as f64))
    }

    pub(super) fn retry_after(&self) -> Option<Ticks> {
        (self.state == State::Open && self.open_until > self.now).then(|| self.open_until - self.now)
    }

    pub(super) fn mean_time_to_recover(&self) -> Option<Ticks> {
        let n = self.recoveries.len() as u64;
        (n > 0).then(|| self.recoveries.iter().sum::<Ticks>() / n)
    }
}
