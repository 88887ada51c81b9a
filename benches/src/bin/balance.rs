//! How well balancers balance, simulated; see the module of that name.

use std::{
    env, fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use buttress::pool::Strategy;
use buttress_benches::{
    balance::{Balancer, CAPACITY, deviation, quantile, simulate},
    plot::Chart,
};

const USAGE: &str = "usage: balance [--quick] [--svg FOLDER]

  --quick   just enough to see that it runs
  --svg     writes the chart there
";

/// Shares of the capacity.
const LOADS: [f64; 6] = [0.1, 0.2, 0.4, 0.6, 0.8, 0.9];

fn main() -> ExitCode {
    let (mut calls, mut seeds, mut svg) = (20_000, 5, None);
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match (argument.as_str(), &mut arguments) {
            ("--quick", _) => (calls, seeds) = (500, 1),
            ("--svg", rest) => match rest.next() {
                Some(folder) => svg = Some(PathBuf::from(folder)),
                None => return usage(),
            },
            _ => return usage(),
        }
    }
    match run(calls, seeds, svg.as_deref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Whether that can be written changes nothing any more.
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    let _ = io::stderr().write_all(USAGE.as_bytes());
    ExitCode::FAILURE
}

/// The p99 at each load, in milliseconds: the median of several runs.
fn p99(balancer: &Balancer, calls: usize, seeds: u64) -> io::Result<Vec<f64>> {
    let mut all = Vec::new();
    for load in LOADS {
        let mut runs = Vec::new();
        for seed in 0..seeds {
            // One runtime for each, so that nothing of another is left in it.
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .start_paused(true)
                .build()?;
            let took = runtime.block_on(simulate(balancer, load * CAPACITY, calls, seed));
            runs.push(quantile(&took, 0.99));
        }
        runs.sort_unstable();
        all.push(millis(runs[runs.len() / 2]));
    }
    Ok(all)
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn run(calls: usize, seeds: u64, svg: Option<&Path>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "p99 in ms, one endpoint of five five times slower; load as a share of what all can do ({CAPACITY} a second); \
         {calls} calls, the median of {seeds} runs\n"
    )?;
    write!(out, "| balancer |")?;
    LOADS.iter().try_for_each(|load| write!(out, " {load} |"))?;
    write!(out, "\n|---|")?;
    LOADS.iter().try_for_each(|_| write!(out, "---:|"))?;
    writeln!(out)?;
    let mut chart = Chart::lines("p99 of a call, one endpoint of five five times slower")
        .x("load, share of what all endpoints can do")
        .y("p99, ms")
        .log_y();
    for balancer in Balancer::all() {
        let figures = p99(&balancer, calls, seeds)?;
        write!(out, "| {} |", balancer.name())?;
        figures.iter().try_for_each(|p99| write!(out, " {p99:.0} |"))?;
        writeln!(out)?;
        chart = chart.line(balancer.name(), LOADS.into_iter().zip(figures));
    }
    writeln!(
        out,
        "\nfurthest from its weight over 100 000 calls, as a share of all; weights 1, 2, 4, 8\n"
    )?;
    writeln!(out, "| strategy | off by |\n|---|---:|")?;
    for strategy in [Strategy::RoundRobin, Strategy::WeightedRandom] {
        let off = deviation(&strategy, &[1, 2, 4, 8], 100_000);
        writeln!(out, "| {} | {:.3} % |", strategy.name(), off * 100.0)?;
    }
    if let Some(folder) = svg {
        fs::create_dir_all(folder)?;
        fs::write(folder.join("balance-p99.svg"), chart.svg())?;
    }
    Ok(())
}
