//! Servers over loopback: what a whole stack costs where there is a network, a parser and a runtime besides.
//!
//! ```sh
//! cargo run --release -p buttress-benches --bin loopback
//! ```
//!
//! For each kind of server two processes are started, one with a stack that has every slot filled and one without any;
//! they differ in nothing else. A closed loop of clients in this process asks one of the two for a turn, then the other,
//! and which of them is first alternates, so that whatever else the machine does meets both alike. Each pair of turns
//! gives one ratio of requests a second, with the stack to without, and one of the processor time that the server's
//! process spent on a request. What counts is the median over the pairs, and how low it might be by chance: the lower end
//! of its 95 % bootstrap interval.
//!
//! It reads processor times from `/proc`, so it needs Linux.

mod cpu;
mod load;
mod server;
mod statistics;

use std::{error::Error, fmt, io::Write, str::FromStr, time::Duration};

pub use self::server::serve;
use self::{load::Load, server::Process};

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

/// With the stack, or without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// A stack with every slot filled.
    On,
    /// No layer at all.
    Off,
}

/// What to measure, and for how long.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How many pairs of turns.
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

const ALL: [Kind; 3] = [Kind::AxumH1, Kind::AxumH2, Kind::TonicUnary];

/// Measures, and writes a table. Whether all servers are within what the stack may cost.
///
/// # Errors
///
/// If a server cannot be started or asked.
pub fn run(plan: &Plan, out: &mut impl Write) -> Result<bool, Box<dyn Error>> {
    let kinds: &[Kind] = if plan.kinds.is_empty() { &ALL } else { &plan.kinds };
    let mut within = true;
    writeln!(
        out,
        "{:12} {:>9} {:>9} {:>8} {:>8} {:>10} {:>10} {:>7}",
        "", "off, 1/s", "on, 1/s", "ratio", "lower", "off, us", "on, us", "cpu"
    )?;
    for &kind in kinds {
        let pairs = measure(kind, plan)?;
        let column = |of: fn(&Pair) -> f64| statistics::median(&pairs.iter().map(of).collect::<Vec<_>>());
        let ratios: Vec<_> = pairs.iter().map(|pair| pair.on.rate / pair.off.rate).collect();
        let (ratio, lower) = (
            statistics::median(&ratios),
            statistics::lower_bound_of_median(&ratios),
        );
        let cpu = column(|pair| pair.on.cpu / pair.off.cpu);
        writeln!(
            out,
            "{:12} {:>9.0} {:>9.0} {:>8.3} {:>8.3} {:>10.2} {:>10.2} {:>7.3}",
            kind.to_string(),
            column(|pair| pair.off.rate),
            column(|pair| pair.on.rate),
            ratio,
            lower,
            column(|pair| pair.off.cpu) * 1e6,
            column(|pair| pair.on.cpu) * 1e6,
            cpu,
        )?;
        within &= ratio >= RATE && lower >= RATE_AT_LEAST && cpu <= CPU;
    }
    writeln!(
        out,
        "{} pairs of {:?}; wanted: ratio {RATE}, lower {RATE_AT_LEAST}, cpu {CPU}",
        plan.pairs, plan.turn
    )?;
    Ok(within)
}

/// One turn each.
struct Pair {
    off: Turn,
    on: Turn,
}

struct Turn {
    /// Requests a second.
    rate: f64,
    /// Seconds of the server's processor time a request.
    cpu: f64,
}

fn measure(kind: Kind, plan: &Plan) -> Result<Vec<Pair>, Box<dyn Error>> {
    let (off, on) = (Process::start(kind, Side::Off)?, Process::start(kind, Side::On)?);
    let (asks_off, asks_on) = (Load::start(kind, off.address)?, Load::start(kind, on.address)?);
    let turn = |process: &Process, load: &Load, long: Duration| -> Result<Turn, Box<dyn Error>> {
        let before = cpu::of(process.id())?;
        let (requests, took) = load.turn(long)?;
        let spent = cpu::of(process.id())? - before;
        Ok(Turn {
            rate: requests as f64 / took.as_secs_f64(),
            cpu: spent.as_secs_f64() / requests as f64,
        })
    };
    // To have everything in place and warm.
    for _ in 0..2 {
        turn(&off, &asks_off, plan.turn)?;
        turn(&on, &asks_on, plan.turn)?;
    }
    let mut pairs = Vec::with_capacity(plan.pairs);
    for pair in 0..plan.pairs {
        pairs.push(if pair % 2 == 0 {
            let off = turn(&off, &asks_off, plan.turn)?;
            let on = turn(&on, &asks_on, plan.turn)?;
            Pair { off, on }
        } else {
            let on = turn(&on, &asks_on, plan.turn)?;
            let off = turn(&off, &asks_off, plan.turn)?;
            Pair { off, on }
        });
    }
    Ok(pairs)
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
named! { Side { On = "on", Off = "off" } }
