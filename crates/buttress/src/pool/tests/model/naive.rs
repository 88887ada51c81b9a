//! A pool that is obvious: plain fields, one thread, and every question answered by a look at all endpoints.
//!
//! Time is in milliseconds since it was made. Which of several endpoints a call gets is not foretold: it is asked
//! whether the call may have gone where it went.

use std::{cell::RefCell, rc::Rc};

mod breaker;
mod calls;
mod health;

use self::breaker::{Breaker, NEVER, State};
pub(super) use self::{
    breaker::{Leave, Rules},
    calls::{At, Call, Told},
};
use super::{place::Readiness, *};

pub(super) type Millis = u64;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Config {
    pub(super) breaker: Option<Rules>,
    pub(super) failover: u32,
    pub(super) panic_mode: bool,
    pub(super) slow_start: Millis,
    pub(super) max_retry_after: Millis,
    /// So many checks in a row decide: bad ones, and good ones.
    pub(super) checks: (u32, u32),
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Books {
    pub(super) success: u64,
    pub(super) failure: u64,
    pub(super) throttled: u64,
    pub(super) neutral: u64,
    pub(super) cancelled: u64,
    pub(super) moved: u64,
    pub(super) failovers: u64,
    pub(super) recoveries: u64,
}

#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) name: String,
    pub(super) readiness: Readiness,
    pub(super) weight: u32,
    /// In thousandths.
    pub(super) counts_as: u64,
    pub(super) removed: bool,
    pub(super) draining: bool,
    pub(super) is_bad: bool,
    /// What the checks have said since they last decided something: whether it is well, and whether that was news.
    checks: Vec<(bool, bool)>,
    pub(super) throttled_until: Millis,
    breaker: Option<Breaker>,
    pub(super) phase: Phase,
    /// When it last got its share of the calls, by the number of the step.
    offered_since: usize,
    ramp_from: Option<Millis>,
    failed_since: Option<Millis>,
    failed_before: Millis,
    /// Successes and failures when it was last weighed.
    weighed: (u64, u64),
    pub(super) in_flight: u64,
    /// Those of all that have had the name in turn.
    pub(super) books: Rc<RefCell<Books>>,
}

#[derive(Debug)]
pub(super) struct Naive {
    pub(super) config: Config,
    pub(super) now: Millis,
    pub(super) step: usize,
    /// All that there ever were.
    pub(super) endpoints: Vec<Endpoint>,
    /// Those that there are, in order.
    pub(super) members: Vec<usize>,
    /// Those that failed and for which nobody has answered yet.
    moving: Vec<usize>,
    pub(super) calls: u64,
    pub(super) no_endpoint: u64,
    /// What was told, as `node_marked_failed 0`.
    pub(super) events: Vec<String>,
}

impl Endpoint {
    fn is_offered(&self) -> bool {
        !self.removed && !self.draining
    }

    pub(super) fn is_usable(&self, now: Millis) -> bool {
        self.is_offered()
            && !self.is_bad
            && self.throttled_until <= now
            && self
                .breaker
                .as_ref()
                .is_none_or(|breaker| breaker.would_admit(now))
    }

    /// When it may be used though nothing else happens, if that is known.
    fn next_chance(&self, now: Millis) -> Option<Millis> {
        let chance = match &self.breaker {
            Some(breaker) => breaker.next_chance(now)?,
            None => now,
        };
        (self.is_offered() && !self.is_bad).then_some(chance.max(self.throttled_until).max(now))
    }

    /// Which share of its calls it gets.
    fn ramp(&self, slow_start: Millis, now: Millis) -> f64 {
        match self.ramp_from {
            Some(from) => ((now - from) as f64 / slow_start.max(1) as f64).clamp(0.1, 1.0),
            None => 1.0,
        }
    }

    pub(super) fn effective_weight(&self, slow_start: Millis, now: Millis) -> f64 {
        self.counts_as as f64 / 1000.0 * self.ramp(slow_start, now)
    }

    pub(super) fn failed_for(&self, now: Millis) -> (Option<Duration>, Duration) {
        let present = self.failed_since.map(|since| now - since);
        (present.map(ms), ms(self.failed_before + present.unwrap_or(0)))
    }

    fn judged(&self) -> (u64, u64) {
        let books = self.books.borrow();
        (books.success, books.failure + books.throttled)
    }
}

impl Naive {
    pub(super) fn new(config: Config) -> Self {
        Self {
            config,
            now: 0,
            step: 0,
            endpoints: Vec::new(),
            members: Vec::new(),
            moving: Vec::new(),
            calls: 0,
            no_endpoint: 0,
            events: Vec::new(),
        }
    }

    pub(super) fn tell(&mut self, what: &str, endpoint: usize) {
        self.events
            .push(format!("{what} {}", self.endpoints[endpoint].name));
    }

    /// Where a call that has been to those may go.
    pub(super) fn usable(&self, tried: &[usize]) -> Vec<usize> {
        let offered = || self.members.iter().filter(|e| self.endpoints[**e].is_offered());
        let out = offered()
            .filter(|e| !self.endpoints[**e].is_usable(self.now))
            .count();
        let is_panic = self.config.panic_mode && out * 2 > offered().count();
        let may_take = |e: &&usize| is_panic || self.endpoints[**e].is_usable(self.now);
        offered()
            .filter(may_take)
            .copied()
            .filter(|e| !tried.contains(e))
            .collect()
    }

    /// Of the endpoints that nobody took out by hand, how many have their share of the calls, and how many not.
    pub(super) fn up_and_down(&self) -> (usize, usize) {
        let offered = self.endpoints.iter().filter(|e| e.is_offered());
        let (up, down): (Vec<_>, Vec<_>) = offered.partition(|e| e.phase == Phase::Up);
        (up.len(), down.len())
    }

    /// When there may be an endpoint again, if that is known.
    pub(super) fn next_chance(&self) -> Option<Millis> {
        let chances = self.members.iter();
        chances
            .filter_map(|e| self.endpoints[*e].next_chance(self.now))
            .min()
    }

    /// Moments at which something comes to an end.
    pub(super) fn ends(&self) -> Vec<Millis> {
        let of = |e: &Endpoint| {
            let breaker = e
                .breaker
                .as_ref()
                .and_then(|breaker| breaker.next_chance(self.now));
            [Some(e.throttled_until), breaker]
        };
        let ends = self
            .members
            .iter()
            .flat_map(|e| of(&self.endpoints[*e]))
            .flatten();
        ends.filter(|end| *end > self.now).collect()
    }

    // ===== endpoints that come and go =====

    /// In place of the one of its name, if there is one.
    pub(super) fn add(&mut self, name: &str, weight: u32) -> usize {
        let number = self.endpoints.len();
        let known = self.members.iter().position(|e| self.endpoints[*e].name == name);
        let before = known.map(|known| &self.endpoints[self.members[known]]);
        let (books, failed_before, weighed) = match before {
            Some(before) => (
                before.books.clone(),
                before.failed_for(self.now).1.as_millis() as Millis,
                before.judged(),
            ),
            None => Default::default(),
        };
        self.endpoints.push(Endpoint {
            name: name.to_owned(),
            readiness: Readiness::Ready,
            weight,
            counts_as: u64::from(weight) * 1000,
            removed: false,
            draining: false,
            is_bad: false,
            checks: Vec::new(),
            throttled_until: 0,
            breaker: self.config.breaker.map(Breaker::new),
            phase: Phase::Up,
            offered_since: self.step,
            ramp_from: None,
            failed_since: None,
            failed_before,
            weighed,
            in_flight: 0,
            books,
        });
        self.tell("node_added", number);
        match known {
            Some(known) => {
                let replaced = std::mem::replace(&mut self.members[known], number);
                self.take_out(replaced, |endpoint| endpoint.removed = true);
            }
            None => self.members.push(number),
        }
        number
    }

    pub(super) fn remove(&mut self, e: usize) {
        self.members.retain(|member| *member != e);
        self.take_out(e, |endpoint| endpoint.removed = true);
        self.tell("node_removed", e);
    }

    /// `false` if that has been done.
    pub(super) fn drain(&mut self, e: usize) -> bool {
        if self.endpoints[e].draining {
            return false;
        }
        self.take_out(e, |endpoint| endpoint.draining = true);
        self.tell("node_draining", e);
        true
    }

    fn take_out(&mut self, e: usize, out: impl FnOnce(&mut Endpoint)) {
        let was_up = self.endpoints[e].is_offered() && self.endpoints[e].phase == Phase::Up;
        out(&mut self.endpoints[e]);
        self.moving.retain(|from| *from != e);
        let (up, down) = self.up_and_down();
        if was_up && up == 0 && down > 0 {
            self.events.push("exhausted".to_owned());
        }
    }

    /// `false` if it was not draining.
    pub(super) fn resume(&mut self, e: usize) -> bool {
        let resumes = std::mem::take(&mut self.endpoints[e].draining);
        if resumes {
            self.endpoints[e].offered_since = self.step;
        }
        resumes
    }

    pub(super) fn set_weight(&mut self, e: usize, weight: u32) {
        self.endpoints[e].weight = weight;
        self.endpoints[e].counts_as = u64::from(weight) * 1000;
    }

    pub(super) fn rebalance(&mut self) {
        for e in self.members.clone() {
            let endpoint = &mut self.endpoints[e];
            let (before, now) = (endpoint.weighed, endpoint.judged());
            let (successes, failures) = (now.0 - before.0, now.1 - before.1);
            let rate = match successes + failures {
                0 => 1.0,
                all => successes as f64 / all as f64,
            };
            let whole = u64::from(endpoint.weight) * 1000;
            endpoint.counts_as = ((whole as f64 * rate) as u64).max(whole / 10);
            endpoint.weighed = now;
        }
    }
}
