//! What a retry is to do with each call, told from the beginning, moment by moment.

use std::collections::BTreeSet;

use super::*;
use crate::{
    random::Source,
    test_services::{Fate, NaivePurse, Reply},
};

#[derive(Clone, Debug)]
pub(super) struct Config {
    pub(super) max_attempts: u32,
    pub(super) shape: Shape,
    pub(super) initial: u64,
    pub(super) cap: u64,
    pub(super) max_elapsed: Option<u64>,
    pub(super) max_retry_after: u64,
    /// Retries a second.
    pub(super) budget: Option<u32>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    Exponential(u64),
    Constant,
    Linear,
    Fibonacci,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Books {
    pub(super) calls: u64,
    pub(super) retries: u64,
    pub(super) recovered: u64,
    pub(super) out_of_attempts: u64,
    pub(super) out_of_time: u64,
    pub(super) out_of_budget: u64,
    pub(super) forbidden: u64,
    pub(super) not_repeatable: u64,
}

/// What the caller gets, and of how many attempts its context knows.
type Got = (Result<Reply, Fault>, u32);

/// What is to become of a call, and when; and from when to when each attempt lasts.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) fate: (u64, Fate<Got>),
    pub(super) attempts: Vec<(u64, u64)>,
}

pub(super) struct Naive {
    config: Config,
    jitter: Option<(Jitter, Source)>,
    purse: NaivePurse,
    pub(super) books: Books,
}

/// What comes next for a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Next {
    Begin,
    /// An attempt is over.
    Over,
}

impl Naive {
    pub(super) fn new(config: Config, jitter: Option<(Jitter, u64)>) -> Self {
        Self {
            purse: NaivePurse::new(config.budget),
            config,
            jitter: jitter.map(|(jitter, seed)| (jitter, Source::new(Some(seed)))),
            books: Books::default(),
        }
    }

    pub(super) fn perform(&mut self, calls: &[Call]) -> Vec<Told> {
        let mut told: Vec<_> = calls.iter().map(Told::new).collect();
        let mut drawn = vec![None; calls.len()];
        // Whatever comes first.
        let mut events: BTreeSet<_> = calls
            .iter()
            .enumerate()
            .map(|(i, call)| (call.at, Next::Begin, i))
            .collect();
        while let Some((now, next, i)) = events.pop_first() {
            let (call, told) = (&calls[i], &mut told[i]);
            if call.gives_up.is_some_and(|at| at < now) {
                continue;
            }
            let number = told.attempts.len();
            let line = call.script[number
                .saturating_sub(usize::from(next == Next::Over))
                .min(call.script.len() - 1)];
            match next {
                Next::Begin => {
                    self.books.calls += u64::from(number == 0);
                    let until = now + line.takes;
                    told.attempts
                        .push((now, call.gives_up.map_or(until, |at| at.min(until))));
                    events.insert((until, Next::Over, i));
                }
                Next::Over => {
                    let number = number as u32;
                    if line.end == End::Panic {
                        told.fate = (now, Fate::Panicked);
                        continue;
                    }
                    let (result, fault) = line.end.told(number);
                    self.books.recovered += u64::from(number > 1 && fault.is_none());
                    let wait = fault.and_then(|fault| self.wait(call, number, fault, now, &mut drawn[i]));
                    match wait {
                        Some(wait) => drop(events.insert((now + wait, Next::Begin, i))),
                        None => {
                            // Nobody counts the attempts of a retry that is off.
                            let is_on = self.config.max_attempts > 1;
                            told.fate = (now, Fate::Over((result, if is_on { number } else { 0 })));
                        }
                    }
                }
            }
        }
        told
    }

    /// How long to wait for the next attempt, if there is to be one.
    fn wait(
        &mut self,
        call: &Call,
        number: u32,
        fault: Fault,
        now: u64,
        drawn: &mut Option<Duration>,
    ) -> Option<u64> {
        if fault.verdict == Verdict::Neutral || self.config.max_attempts == 1 {
            return None;
        }
        if number == self.config.max_attempts {
            self.books.out_of_attempts += 1;
            return None;
        }
        let asked = fault.asked.unwrap_or(0);
        if fault.forbids || asked > self.config.max_retry_after {
            self.books.forbidden += 1;
            return None;
        }
        let (least, own) = self.draw(number, *drawn);
        // What chance has added comes on top of what is asked for, too.
        let wait = match asked {
            0 => own,
            _ => least.max(ms(asked)) + (own - least),
        };
        let again = ms(now) + wait;
        let is_late = self
            .config
            .max_elapsed
            .is_some_and(|most| again > ms(call.at + most));
        let is_over = call.deadline.is_some_and(|after| again >= ms(call.at + after));
        if is_late || is_over {
            self.books.out_of_time += 1;
            return None;
        }
        if !self.purse.pay(now) {
            self.books.out_of_budget += 1;
            return None;
        }
        *drawn = Some(own);
        self.books.retries += 1;
        // A timer is late by less than a millisecond.
        Some((wait.as_nanos() as u64).div_ceil(1_000_000))
    }

    fn step(&self, retry: u32) -> u64 {
        let Config {
            shape, initial, cap, ..
        } = self.config;
        let fibonacci = |n: u32| (0..n).fold((0, 1), |(a, b), _| (b, a + b)).0;
        let times = match shape {
            Shape::Exponential(multiplier) => multiplier.pow(retry - 1),
            Shape::Constant => 1,
            Shape::Linear => retry.into(),
            Shape::Fibonacci => fibonacci(retry),
        };
        (initial * times).min(cap)
    }

    /// The least that may be drawn, and what is.
    fn draw(&self, retry: u32, before: Option<Duration>) -> (Duration, Duration) {
        let step = ms(self.step(retry));
        let Some((jitter, source)) = &self.jitter else {
            return (step, step);
        };
        let (initial, cap) = (ms(self.config.initial), ms(self.config.cap));
        let (least, most) = match *jitter {
            Jitter::Full => (Duration::ZERO, step),
            Jitter::Equal => (step / 2, step),
            Jitter::Range(share) => (step.mul_f64(1.0 - share), step.mul_f64(1.0 + share).min(cap)),
            Jitter::Decorrelated => (initial, (before.unwrap_or(initial) * 3).min(cap)),
            _ => (step, step),
        };
        (least, least + (most - least).mul_f64(source.unit()))
    }
}

impl Told {
    fn new(call: &Call) -> Self {
        Self {
            fate: (call.gives_up.unwrap_or(0), Fate::Cancelled),
            attempts: Vec::new(),
        }
    }
}
