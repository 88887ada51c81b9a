//! Reverse proxies in front of one upstream: the gateway with every policy, the gateway without any, nginx and HAProxy.
//!
//! ```sh
//! benches/proxies.sh
//! ```
//!
//! All of them run at once and are asked in turns, and the order of the turns is reversed in every second round, so that
//! whatever else the machine does meets all alike. A round has two turns for each: one in which a closed loop of clients
//! asks as fast as it is answered, for requests a second and the proxy's processor time a request; and one at a rate that
//! all of them can do, for how long an answer takes. Each round gives a ratio to the gateway without policies; what counts
//! is the median over the rounds, and how low it might be by chance: the lower end of its 95 % bootstrap interval.
//!
//! All of it shares one core, so that a request costs what is done for it. Where the proxy has a core for itself, the
//! kernel's work in waking the other is a good part of what it does, and the more the longer the other has slept.
//!
//! With `--instructions` it counts those of the gateway for a request instead, policy by policy.
//!
//! It reads processor times from `/proc`, so it needs Linux, and `taskset` to choose cores.

mod clients;
mod instructions;
mod proxy;
mod upstream;

use std::{error::Error, fmt, io::Write, process::Command, str::FromStr, time::Duration};

use self::{clients::Clients, proxy::Running};
pub use self::{instructions::instructions, upstream::serve};
use crate::{cpu, statistics};

/// What stands between the clients and the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proxy {
    /// The gateway with a file that has every policy off.
    Empty,
    /// The gateway with every section of its file.
    Full,
    /// The same with a pool of two endpoints.
    Pool,
    /// nginx, as a plain proxy.
    Nginx,
    /// HAProxy, as a plain proxy.
    HaProxy,
}

/// Who runs where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cores {
    /// All on one core; a proxy has one thread.
    One,
    /// The proxies have the first core for themselves, and one thread each; clients and upstream share the second.
    Apart,
    /// Wherever there is room; a proxy has two threads.
    All,
}

/// What to measure, and for how long.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How many rounds of turns.
    pub rounds: usize,
    /// How long a turn is.
    pub turn: Duration,
    /// Who runs where.
    pub cores: Cores,
    /// How many connections there are to each.
    pub connections: usize,
    /// Requests a second where it is asked how long they take.
    pub rate: u32,
    /// Which proxies beside the empty one; all, if none is named.
    pub proxies: Vec<Proxy>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            rounds: 24,
            turn: Duration::from_millis(500),
            cores: Cores::One,
            connections: 32,
            rate: 2_000,
            proxies: Vec::new(),
        }
    }
}

/// What the full gateway is to reach, to the empty one: the lower end of requests a second.
const WANTED: f64 = 0.95;

const ALL: [Proxy; 5] = [
    Proxy::Empty,
    Proxy::Full,
    Proxy::Pool,
    Proxy::Nginx,
    Proxy::HaProxy,
];

const QUANTILES: [f64; 3] = [0.5, 0.99, 0.999];

/// What one turn at full speed and one at a rate came to.
struct Turn {
    /// Requests a second.
    rate: f64,
    /// Seconds of the proxy's processor time a request.
    cpu: f64,
    /// Seconds at the quantiles, at the rate that was asked for.
    took: [f64; 3],
}

/// Measures, and writes a table. Whether the full gateway is as fast as wanted.
///
/// # Errors
///
/// If a proxy cannot be started or asked.
pub fn run(plan: &Plan, out: &mut impl Write) -> Result<bool, Box<dyn Error>> {
    if plan.cores != Cores::All {
        stay_on(SECOND)?;
    }
    let is_wanted =
        |proxy: &Proxy| *proxy == Proxy::Empty || plan.proxies.is_empty() || plan.proxies.contains(proxy);
    let proxies: Vec<_> = ALL.into_iter().filter(is_wanted).collect();
    let rounds = measure(plan, &proxies)?;
    let median = |of: &dyn Fn(&[Turn]) -> f64| -> f64 {
        statistics::median(&rounds.iter().map(|round| of(round)).collect::<Vec<_>>())
    };
    writeln!(
        out,
        "{:14} {:>8} {:>7} {:>7} {:>8} {:>7} {:>9} {:>9} {:>9}",
        "", "1/s", "ratio", "lower", "cpu, us", "ratio", "p50, us", "p99", "p99.9"
    )?;
    let mut within = true;
    for (at, proxy) in proxies.iter().enumerate() {
        let ratios: Vec<_> = rounds.iter().map(|r| r[at].rate / r[0].rate).collect();
        let (ratio, lower) = (
            statistics::median(&ratios),
            statistics::lower_bound_of_median(&ratios),
        );
        write!(
            out,
            "{:14} {:>8.0} {ratio:>7.3} {lower:>7.3} {:>8.2} {:>7.3}",
            proxy.to_string(),
            median(&|round| round[at].rate),
            median(&|round| round[at].cpu) * 1e6,
            median(&|round| round[at].cpu / round[0].cpu),
        )?;
        for quantile in 0..QUANTILES.len() {
            write!(out, " {:>9.0}", median(&|round| round[at].took[quantile]) * 1e6)?;
        }
        writeln!(out)?;
        within &= *proxy != Proxy::Full || lower >= WANTED;
    }
    writeln!(
        out,
        "{} rounds, two turns of {:?} each; cores: {}; {} connections; quantiles at {} a second",
        plan.rounds, plan.turn, plan.cores, plan.connections, plan.rate
    )?;
    Ok(within)
}

fn measure(plan: &Plan, proxies: &[Proxy]) -> Result<Vec<Vec<Turn>>, Box<dyn Error>> {
    let upstream = upstream::Process::start()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut sides = Vec::new();
    for &proxy in proxies {
        let running = Running::start(proxy, upstream.addresses, plan.cores)?;
        let clients = runtime.block_on(Clients::connect(running.address, plan.connections))?;
        sides.push((running, clients));
    }
    let mut turn = |at: usize| -> Result<Turn, Box<dyn Error>> {
        let (running, clients): &mut (Running, Clients) = &mut sides[at];
        let before = cpu::of_family(running.id())?;
        let (requests, took) = runtime.block_on(clients.as_fast_as_possible(plan.turn))?;
        let spent = cpu::of_family(running.id())? - before;
        let mut each = runtime.block_on(clients.at_a_rate(plan.rate, plan.turn))?;
        each.sort_unstable();
        let last = each.len().saturating_sub(1) as f64;
        Ok(Turn {
            rate: requests as f64 / took.as_secs_f64(),
            cpu: spent.as_secs_f64() / requests as f64,
            took: QUANTILES.map(|quantile| {
                each.get((last * quantile).round() as usize)
                    .map_or(f64::NAN, Duration::as_secs_f64)
            }),
        })
    };
    // To have everything in place and warm.
    for at in 0..proxies.len() {
        turn(at)?;
    }
    let mut rounds = Vec::with_capacity(plan.rounds);
    for round in 0..plan.rounds {
        let mut turns = Vec::with_capacity(proxies.len());
        if round % 2 == 0 {
            for at in 0..proxies.len() {
                turns.push(turn(at)?);
            }
        } else {
            for at in (0..proxies.len()).rev() {
                turns.push(turn(at)?);
            }
            turns.reverse();
        }
        rounds.push(turns);
    }
    Ok(rounds)
}

/// The core of the proxies, where they have one for themselves.
const FIRST: &str = "0";
/// That of the clients and the upstream.
const SECOND: &str = "1";

/// Threads and processes that this one starts inherit it.
fn stay_on(core: &str) -> Result<(), Box<dyn Error>> {
    let own = std::process::id().to_string();
    let status = Command::new("taskset")
        .args(["-p", "-c", core, &own])
        .stdout(std::process::Stdio::null())
        .status()?;
    match status.success() {
        true => Ok(()),
        false => Err("taskset: there is no second core; use --cores all".into()),
    }
}

const NAMES: [(Proxy, &str); 5] = [
    (Proxy::Empty, "gateway-empty"),
    (Proxy::Full, "gateway-full"),
    (Proxy::Pool, "gateway-pool"),
    (Proxy::Nginx, "nginx"),
    (Proxy::HaProxy, "haproxy"),
];

const CORES: [(Cores, &str); 3] = [(Cores::One, "one"), (Cores::Apart, "apart"), (Cores::All, "all")];

macro_rules! named {
    ($Type:ident, $NAMES:ident) => {
        impl fmt::Display for $Type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let name = $NAMES.iter().find(|(known, _)| known == self);
                f.write_str(name.map_or("", |(_, name)| name))
            }
        }

        impl FromStr for $Type {
            type Err = ();

            fn from_str(name: &str) -> Result<Self, ()> {
                let found = $NAMES.iter().find(|(_, known)| *known == name);
                found.map(|(known, _)| *known).ok_or(())
            }
        }
    };
}

named!(Proxy, NAMES);
named!(Cores, CORES);
