//! The clock, the rounds and the medians.

#![allow(clippy::disallowed_types)] // what times the crate's clock cannot be the crate's clock

use std::{
    hint,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use crate::{
    allocations,
    catalogue::Entry,
    drive::{Lane, Subject},
};

/// How long and how often.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// How often each subject has its turn.
    pub rounds: usize,
    /// How long a turn takes, about.
    pub turn: Duration,
}

impl Effort {
    /// For figures.
    pub const FULL: Self = Self {
        rounds: 21,
        turn: Duration::from_millis(5),
    };
    /// To see that it runs.
    pub const QUICK: Self = Self {
        rounds: 3,
        turn: Duration::from_micros(200),
    };
}

/// Over how many calls allocations are counted.
const COUNTED: u64 = 1000;

/// What was measured of one subject.
#[derive(Clone, Debug)]
pub struct Figures {
    /// The path and subject.
    pub entry: Entry,
    /// Nanoseconds a call, round by round.
    pub rounds: Vec<f64>,
    /// Allocations a call.
    pub allocations: f64,
    /// The size of service and future in bytes.
    pub bytes: Option<(usize, usize)>,
}

impl Figures {
    /// Nanoseconds a call.
    #[must_use]
    pub fn nanos(&self) -> f64 {
        quantile(self.rounds.clone(), 0.5)
    }

    /// Between which two the middle half of the rounds lies.
    #[must_use]
    pub fn spread(&self) -> (f64, f64) {
        (
            quantile(self.rounds.clone(), 0.25),
            quantile(self.rounds.clone(), 0.75),
        )
    }

    /// The median of what `compare` makes of each round of this one and the other's same round.
    #[must_use]
    pub fn against(&self, other: &Self, compare: impl Fn(f64, f64) -> f64) -> f64 {
        let rounds = self.rounds.iter().zip(&other.rounds);
        quantile(rounds.map(|(&a, &b)| compare(a, b)).collect(), 0.5)
    }
}

fn quantile(mut values: Vec<f64>, q: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    let at = q * last as f64;
    let (low, high) = (at.floor() as usize, at.ceil() as usize);
    match (values.get(low), values.get(high)) {
        (Some(low), Some(high)) => low + (high - low) * at.fract(),
        _ => f64::NAN,
    }
}

/// Measures the entries, all in turn.
#[must_use]
pub fn measure(entries: &[Entry], effort: Effort) -> Vec<Figures> {
    let mut running: Vec<Running> = entries.iter().map(|entry| Running::new(*entry, effort)).collect();
    for round in 0..effort.rounds {
        let turns: &mut dyn Iterator<Item = &mut Running> = if round % 2 == 0 {
            &mut running.iter_mut()
        } else {
            &mut running.iter_mut().rev()
        };
        turns.for_each(Running::turn);
    }
    running.into_iter().map(|running| running.figures).collect()
}

struct Running {
    subject: Subject,
    calls: u64,
    figures: Figures,
}

impl Running {
    /// Built, warm, and with the number of calls that fill a turn.
    fn new(entry: Entry, effort: Effort) -> Self {
        let mut subject = (entry.make)();
        let mut calls = COUNTED;
        let nanos = loop {
            let nanos = time(&mut subject.lanes, calls);
            if nanos * calls as f64 >= effort.turn.as_nanos() as f64 / 4.0 {
                break nanos;
            }
            calls *= 2;
        };
        let calls = (effort.turn.as_nanos() as f64 / nanos) as u64;
        time(&mut subject.lanes, calls.max(1));
        let lane = &mut subject.lanes[0];
        let allocations = allocations::count(|| lane(COUNTED)) as f64 / COUNTED as f64;
        Self {
            calls: calls.max(1),
            figures: Figures {
                entry,
                rounds: Vec::with_capacity(effort.rounds),
                allocations,
                bytes: subject.bytes,
            },
            subject,
        }
    }

    fn turn(&mut self) {
        // Whoever had the turn before has filled the caches with his own.
        time(&mut self.subject.lanes, (self.calls / 16).max(1));
        let nanos = time(&mut self.subject.lanes, self.calls);
        self.figures.rounds.push(nanos);
    }
}

/// Nanoseconds a call; on several threads at once, as each of them sees it.
fn time(lanes: &mut [Lane], calls: u64) -> f64 {
    match lanes {
        [lane] => {
            let began = Instant::now();
            lane(calls);
            began.elapsed().as_nanos() as f64 / calls as f64
        }
        lanes => time_together(lanes, calls),
    }
}

/// How often it is tried again where the threads were not at work together: on a machine with more to do, the second
/// often gets its core when the first is done with it.
const TRIES: usize = 10;

fn time_together(lanes: &mut [Lane], calls: u64) -> f64 {
    let mut best = (0.0, f64::NAN);
    for _ in 0..TRIES {
        let (together, nanos) = try_together(lanes, calls);
        if together > best.0 || best.1.is_nan() {
            best = (together, nanos);
        }
        if together > 0.9 {
            break;
        }
    }
    best.1
}

/// For which share of the time all of them were at work, and nanoseconds a call.
fn try_together(lanes: &mut [Lane], calls: u64) -> (f64, f64) {
    let missing = AtomicUsize::new(lanes.len());
    let times: Vec<(Instant, Instant)> = thread::scope(|scope| {
        let threads: Vec<_> = lanes
            .iter_mut()
            .map(|lane| {
                scope.spawn(|| {
                    missing.fetch_sub(1, Relaxed);
                    // Not asleep: who must first be woken comes late.
                    while missing.load(Relaxed) > 0 {
                        hint::spin_loop();
                    }
                    let began = Instant::now();
                    lane(calls);
                    (began, Instant::now())
                })
            })
            .collect();
        let ended = threads
            .into_iter()
            .map(|thread| thread.join().expect("a lane does not panic"));
        ended.collect()
    });
    let (begins, ends) = (times.iter().map(|time| time.0), times.iter().map(|time| time.1));
    let all = (begins.clone().min(), begins.max(), ends.clone().min(), ends.max());
    let (Some(first), Some(last), Some(soonest), Some(latest)) = all else {
        return (0.0, f64::NAN);
    };
    let together = soonest.saturating_duration_since(last).as_secs_f64() / (latest - first).as_secs_f64();
    let nanos: f64 = times
        .iter()
        .map(|(began, ended)| (*ended - *began).as_nanos() as f64)
        .sum();
    (together, nanos / calls as f64 / times.len() as f64)
}
