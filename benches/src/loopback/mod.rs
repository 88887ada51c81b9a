//! Servers over loopback: what a whole stack costs where there is a network, a parser and a runtime besides.
//!
//! ```sh
//! cargo run --release -p buttress-benches --bin loopback
//! ```
//!
//! For each kind of server four processes are started: one with a stack that has every slot filled, one without any
//! layer, one with a layer that does nothing, which says how much of the difference is the host's: axum boxes the
//! service, its future and its body anew for each layer; and one with what one would take from tower-http and
//! axum-prometheus instead. They differ in nothing else. A closed loop of clients in this
//! process asks one of them for a turn, then the others, and which of them is first alternates, so that whatever else the
//! machine does meets all alike. Each round gives one ratio of requests a second, with the stack to without, and one of
//! the processor time that the server's process spent on a request. What counts is the median over the rounds, and how low
//! it might be by chance: the lower end of its 95 % bootstrap interval.
//!
//! With `--instructions` it counts those of a request instead, slot by slot, over a pipe in memory.
//!
//! It reads processor times from `/proc`, so it needs Linux.

mod load;
mod passed;
mod server;
mod wire;

use std::{error::Error, fmt, io::Write, str::FromStr, time::Duration};

use self::{load::Load, server::Process};
pub use self::{
    server::serve,
    wire::{ask, instructions},
};
use crate::{cpu, statistics};

/// Where a server is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// axum over HTTP/1.1.
    AxumH1,
    /// axum over HTTP/2.
    AxumH2,
    /// tonic, unary calls.
    TonicUnary,
}

/// With the stack, or without, or with some of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// No layer at all.
    Off,
    /// A layer that does nothing: what the host takes for there being one.
    Passed,
    /// A stack with every slot filled.
    On,
    /// What comes nearest to that from tower-http and axum-prometheus, put together by hand.
    Peers,
    /// A stack without a policy: what answers refusals, and the error's layer.
    Empty,
    /// That, and the trace-id.
    TraceId,
    /// That, and metrics.
    Metrics,
    /// That, and the two that catch panics.
    Recover,
    /// That, and the deadline.
    Deadline,
    /// That, and the breaker.
    CircuitBreaker,
    /// That, and the handler's timeout.
    HandlerTimeout,
}

/// What to measure, and for how long.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How many rounds of turns.
    pub pairs: usize,
    /// How long a turn is.
    pub turn: Duration,
    /// Which servers; all, if none is named.
    pub kinds: Vec<Kind>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            pairs: 24,
            turn: Duration::from_secs(1),
            kinds: Vec::new(),
        }
    }
}

/// What the stack may cost: the median ratio of requests a second, the lower end of its interval, and the ratio of
/// processor time.
const RATE: f64 = 0.97;
const RATE_AT_LEAST: f64 = 0.95;
const CPU: f64 = 1.03;

const SIDES: [Side; 11] = [
    Side::Off,
    Side::Passed,
    Side::Peers,
    Side::Empty,
    Side::TraceId,
    Side::Metrics,
    Side::Recover,
    Side::Deadline,
    Side::CircuitBreaker,
    Side::HandlerTimeout,
    Side::On,
];

const ALL: [Kind; 3] = [Kind::AxumH1, Kind::AxumH2, Kind::TonicUnary];

/// Measures, and writes a table. Whether all servers are within what the stack may cost.
///
/// # Errors
///
/// If a server cannot be started or asked.
pub fn run(plan: &Plan, out: &mut impl Write) -> Result<bool, Box<dyn Error>> {
    let kinds: &[Kind] = if plan.kinds.is_empty() { &ALL } else { &plan.kinds };
    let mut within = true;
    for &kind in kinds {
        let rounds = measure(kind, plan)?;
        let median =
            |of: &dyn Fn(&Round) -> f64| statistics::median(&rounds.iter().map(of).collect::<Vec<_>>());
        writeln!(
            out,
            "{:12} {:>9} {:>8} {:>8} {:>10} {:>8}",
            kind.to_string(),
            "1/s",
            "ratio",
            "lower",
            "cpu, us",
            "ratio"
        )?;
        for (at, side) in ROUND.into_iter().enumerate() {
            let (rate, cpu) = (median(&|r| r[at].rate), median(&|r| r[at].cpu) * 1e6);
            write!(out, "  {:10} {rate:>9.0}", side.to_string())?;
            if at == OFF {
                writeln!(out, " {:>8} {:>8} {cpu:>10.2}", "", "")?;
            } else {
                let (ratio, lower, more) = compared(&rounds, at, OFF);
                writeln!(out, " {ratio:>8.3} {lower:>8.3} {cpu:>10.2} {more:>8.3}")?;
                within &= at != ON || (ratio >= RATE && lower >= RATE_AT_LEAST && more <= CPU);
            }
        }
        for (name, to) in [("on to passed", PASSED), ("on to peers", PEERS)] {
            let (ratio, lower, more) = compared(&rounds, ON, to);
            writeln!(
                out,
                "  {name:20} {ratio:>8.3} {lower:>8.3} {:>10} {more:>8.3}",
                ""
            )?;
        }
    }
    writeln!(
        out,
        "{} rounds of {:?} each; wanted of on: ratio {RATE}, lower {RATE_AT_LEAST}, cpu {CPU}",
        plan.pairs, plan.turn
    )?;
    Ok(within)
}

/// The sides of a round.
const ROUND: [Side; 4] = [Side::Off, Side::Passed, Side::Peers, Side::On];
const OFF: usize = 0;
const PASSED: usize = 1;
const PEERS: usize = 2;
const ON: usize = 3;

/// What a turn of each side came to.
type Round = [Turn; ROUND.len()];

struct Turn {
    /// Requests a second.
    rate: f64,
    /// Seconds of the server's processor time a request.
    cpu: f64,
}

/// One side to another: the ratio of requests a second, how low that may be, and the ratio of processor time.
fn compared(rounds: &[Round], side: usize, to: usize) -> (f64, f64, f64) {
    let ratios: Vec<_> = rounds.iter().map(|r| r[side].rate / r[to].rate).collect();
    let more: Vec<_> = rounds.iter().map(|r| r[side].cpu / r[to].cpu).collect();
    (
        statistics::median(&ratios),
        statistics::lower_bound_of_median(&ratios),
        statistics::median(&more),
    )
}

fn measure(kind: Kind, plan: &Plan) -> Result<Vec<Round>, Box<dyn Error>> {
    let mut sides = Vec::new();
    for side in ROUND {
        let process = Process::start(kind, side)?;
        let load = Load::start(kind, process.address)?;
        sides.push((process, load));
    }
    let turn = |(process, load): &(Process, Load)| -> Result<Turn, Box<dyn Error>> {
        let before = cpu::of(process.id())?;
        let (requests, took) = load.turn(plan.turn)?;
        let spent = cpu::of(process.id())? - before;
        Ok(Turn {
            rate: requests as f64 / took.as_secs_f64(),
            cpu: spent.as_secs_f64() / requests as f64,
        })
    };
    // To have everything in place and warm.
    for _ in 0..2 {
        for side in &sides {
            turn(side)?;
        }
    }
    let mut rounds = Vec::with_capacity(plan.pairs);
    for round in 0..plan.pairs {
        let mut turns = Vec::with_capacity(ROUND.len());
        if round % 2 == 0 {
            for side in &sides {
                turns.push(turn(side)?);
            }
        } else {
            for side in sides.iter().rev() {
                turns.push(turn(side)?);
            }
            turns.reverse();
        }
        rounds.push(
            turns
                .try_into()
                .map_err(|_| "a round without a turn of each side")?,
        );
    }
    Ok(rounds)
}

macro_rules! named {
    ($Type:ident { $($Variant:ident = $name:literal),* }) => {
        impl fmt::Display for $Type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$Variant => $name),* })
            }
        }

        impl FromStr for $Type {
            type Err = ();

            fn from_str(name: &str) -> Result<Self, ()> {
                match name {
                    $($name => Ok(Self::$Variant),)*
                    _ => Err(()),
                }
            }
        }
    };
}

named! { Kind { AxumH1 = "axum-h1", AxumH2 = "axum-h2", TonicUnary = "tonic-unary" } }
named! { Side {
    Off = "off", Passed = "passed", On = "on", Peers = "peers", Empty = "empty", TraceId = "trace-id", Metrics = "metrics",
    Recover = "recover", Deadline = "deadline", CircuitBreaker = "circuit-breaker", HandlerTimeout = "handler-timeout"
} }
