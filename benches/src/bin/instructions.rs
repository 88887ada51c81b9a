//! Instructions a call, counted by callgrind.
//!
//! Each subject runs under valgrind twice, for a few and for many calls; the difference of the two counts, divided by
//! that of the calls, has neither building nor warming in it. It does not depend on what else the machine does, so
//! it is what a change is judged by. (Under valgrind a clock read is a system call: its instructions are fewer than
//! in truth, and the same for all.)

use std::{
    env,
    io::{self, Write},
    process::{Command, ExitCode},
};

use buttress_benches::catalogue::{self, Entry};

const USAGE: &str = "usage: instructions [--filter PART-OF-A-PATH]...
       instructions --run PATH SUBJECT CALLS     only makes the calls, for a profiler
";

const FEW: u64 = 2_000;
const MANY: u64 = 12_000;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["--run", path, subject, calls] => run(path, subject, calls),
        [] => table(&[]),
        ["--filter", ref filters @ ..] => table(filters),
        _ => None,
    };
    match done {
        Some(()) => ExitCode::SUCCESS,
        None => {
            // Whether the usage can be written changes nothing any more.
            let _ = io::stderr().write_all(USAGE.as_bytes());
            ExitCode::FAILURE
        }
    }
}

fn run(path: &str, subject: &str, calls: &str) -> Option<()> {
    let calls = calls.parse().ok()?;
    let entries = catalogue::all();
    let entry = entries.iter().find(|e| e.path == path && e.subject == subject)?;
    let mut subject = (entry.make)();
    subject.lanes[0](calls);
    Some(())
}

fn table(filters: &[&str]) -> Option<()> {
    let mut entries = catalogue::all();
    entries.retain(|entry| filters.is_empty() || filters.iter().any(|filter| entry.path.contains(filter)));
    // Another thread has instructions of its own.
    entries.retain(|entry| !entry.path.contains("2_threads"));
    // Its clock is calibrated when it is made, for as long as that takes, which is most of such a run.
    entries.retain(|entry| !entry.subject.contains("governor"));
    let mut out = io::stdout().lock();
    writeln!(out, "{:<30} {:>12} {:>7}", "", "instructions", "× floor").ok()?;
    for path in entries.chunk_by(|a, b| a.path == b.path) {
        writeln!(out, "{}", path[0].path).ok()?;
        let counts: Vec<f64> = path.iter().map(instructions).collect::<Option<_>>()?;
        let floor = path
            .iter()
            .position(|entry| entry.subject == "floor")
            .map(|at| counts[at]);
        for (entry, count) in path.iter().zip(counts) {
            let times = floor.map_or_else(String::new, |floor| format!("{:.2}", count / floor));
            writeln!(out, "  {:<28} {count:>12.0} {times:>7}", entry.subject).ok()?;
        }
    }
    Some(())
}

fn instructions(entry: &Entry) -> Option<f64> {
    let (few, many) = (total(entry, FEW)?, total(entry, MANY)?);
    Some((many - few) as f64 / (MANY - FEW) as f64)
}

/// All the instructions of a run of so many calls.
fn total(entry: &Entry, calls: u64) -> Option<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(env::current_exe().ok()?)
        .args(["--run", entry.path, entry.subject, &calls.to_string()])
        .output()
        .ok()?;
    // "==123== Collected : 456"
    let report = String::from_utf8_lossy(&output.stderr).into_owned();
    let line = report.lines().find(|line| line.contains("Collected"))?;
    line.rsplit(' ').next()?.parse().ok()
}
