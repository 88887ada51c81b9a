//! What a hedge is to do with each call, told moment by moment.

use std::collections::BTreeSet;

use super::*;
use crate::test_services::{Fate, NaivePurse, Reply};

#[derive(Clone, Copy, Debug)]
pub(super) struct Config {
    pub(super) after: u64,
    /// Second attempts a second.
    pub(super) budget: Option<u32>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Books {
    pub(super) calls: u64,
    pub(super) hedges: u64,
    pub(super) after_failure: u64,
    pub(super) won: u64,
    pub(super) out_of_time: u64,
    pub(super) out_of_budget: u64,
}

/// What is to become of a call, and when; and from when to when each attempt lasts.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) fate: (u64, Fate<Result<Reply, Fault>>),
    pub(super) attempts: Vec<(u64, u64)>,
}

pub(super) struct Naive {
    config: Config,
    purse: NaivePurse,
    pub(super) books: Books,
}

/// What happens to a call; of what happens at the same moment the first comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Next {
    Begin,
    /// An attempt is over.
    Over(usize),
    /// The first attempt is found to be slow.
    Due,
}

/// A call that is not over.
#[derive(Clone, Debug, Default)]
struct Course {
    /// When each attempt began.
    began: Vec<u64>,
    /// When each was over, with what it came to.
    over: [Option<(u64, Result<Reply, Fault>)>; 2],
    forbids: bool,
}

impl Naive {
    pub(super) fn new(config: Config) -> Self {
        Self {
            config,
            purse: NaivePurse::new(config.budget),
            books: Books::default(),
        }
    }

    pub(super) fn perform(&mut self, calls: &[Call]) -> Vec<Told> {
        let mut told: Vec<Option<Told>> = calls.iter().map(|_| None).collect();
        let mut courses = vec![Course::default(); calls.len()];
        let begins = calls
            .iter()
            .enumerate()
            .map(|(i, call)| (call.at, i, Next::Begin));
        let mut events: BTreeSet<_> = begins.collect();
        while let Some((now, i, next)) = events.pop_first() {
            let (call, course) = (&calls[i], &mut courses[i]);
            if told[i].is_some() || call.gives_up.is_some_and(|at| at < now) {
                continue;
            }
            let fate = match next {
                Next::Begin => {
                    self.books.calls += 1;
                    self.begin(call, course, now, |at, next| {
                        events.insert((at, i, next));
                    });
                    let due = now + self.config.after;
                    if call.deadline.is_none_or(|after| due < now + after) {
                        events.insert((due, i, Next::Due));
                    }
                    None
                }
                Next::Due => {
                    if course.began.len() == 1 && self.may_hedge(call, now) {
                        self.begin(call, course, now, |at, next| {
                            events.insert((at, i, next));
                        });
                    }
                    None
                }
                Next::Over(attempt) => {
                    let (fate, begins) = self.over(call, course, attempt, now);
                    if begins {
                        self.begin(call, course, now, |at, next| {
                            events.insert((at, i, next));
                        });
                    }
                    fate
                }
            };
            told[i] = fate.map(|fate| course.told(call, now, fate));
        }
        let ended = told.into_iter().enumerate().map(|(i, told)| {
            told.unwrap_or_else(|| {
                let at = calls[i].gives_up.expect("it has come to an end");
                courses[i].told(&calls[i], at, Fate::Cancelled)
            })
        });
        ended.collect()
    }

    fn begin(&self, call: &Call, course: &mut Course, now: u64, mut then: impl FnMut(u64, Next)) {
        let attempt = course.began.len();
        course.began.push(now);
        if call.script[attempt].end != End::Never {
            then(now + call.script[attempt].takes, Next::Over(attempt));
        }
    }

    /// What the caller hears, if it is over, and whether the second attempt begins.
    fn over(
        &mut self,
        call: &Call,
        course: &mut Course,
        attempt: usize,
        now: u64,
    ) -> (Option<Fate<Result<Reply, Fault>>>, bool) {
        let end = call.script[attempt].end;
        if end == End::Panic {
            return (Some(Fate::Panicked), false);
        }
        let (result, fault) = end.told(attempt as u32 + 1);
        course.over[attempt] = Some((now, result));
        let is_final = fault.is_none_or(|fault| fault.verdict == Verdict::Neutral);
        if is_final {
            self.books.won += attempt as u64;
            return (Some(Fate::Over(result)), false);
        }
        let fault = fault.expect("it is no answer");
        if attempt == 0 {
            course.forbids = fault.forbids;
        }
        match course.over {
            // The first has failed alone.
            [Some(_), None] if course.began.len() == 1 => {
                let is_worth_it =
                    fault.verdict == Verdict::Failure && !fault.forbids && fault.asked.unwrap_or(0) == 0;
                if is_worth_it && self.may_hedge(call, now) {
                    self.books.after_failure += 1;
                    return (None, true);
                }
                (Some(Fate::Over(result)), false)
            }
            [Some((first_at, first)), Some((second_at, second))] => {
                // A response that fails is not held while the other is waited for, unless it has the last word.
                let is_held = first.is_err() || course.forbids || first_at >= second_at;
                (Some(Fate::Over(if is_held { first } else { second })), false)
            }
            _ => (None, false),
        }
    }

    fn may_hedge(&mut self, call: &Call, now: u64) -> bool {
        if call.deadline.is_some_and(|after| call.at + after <= now) {
            self.books.out_of_time += 1;
            return false;
        }
        if !self.purse.pay(now) {
            self.books.out_of_budget += 1;
            return false;
        }
        self.books.hedges += 1;
        true
    }
}

impl Course {
    /// What there is goes at that moment.
    fn told(&self, call: &Call, now: u64, fate: Fate<Result<Reply, Fault>>) -> Told {
        let until = |(attempt, began): (usize, &u64)| match call.script[attempt] {
            Line { end: End::Never, .. } => now,
            line => (began + line.takes).min(now),
        };
        let attempts = self.began.iter().enumerate();
        Told {
            fate: (now, fate),
            attempts: attempts.map(|attempt| (*attempt.1, until(attempt))).collect(),
        }
    }
}
