//! Instructions a call, counted by callgrind.
//!
//! Each subject runs under valgrind twice, for a few and for many calls; the difference of the two counts, divided by
//! that of the calls, has neither building nor warming in it. It does not depend on what else the machine does, so
//! it is what a change is judged by. (Under valgrind a clock read is a system call: its instructions are fewer than
//! in truth, and the same for all.)
//!
//! `--check` compares our own counts with those that are committed in `instructions.txt`, so that a regression is seen on
//! a noisy machine too.

use std::{
    collections::HashMap,
    env, fs,
    io::{self, Write},
    process::{Command, ExitCode},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    thread,
};

use buttress_benches::catalogue::{self, Entry};

const USAGE: &str = "usage: instructions [--filter PART-OF-A-PATH]...
       instructions --check                      our own, beside those in benches/instructions.txt; fails at +10 %
       instructions --run PATH SUBJECT CALLS     only makes the calls, for a profiler
";

const FEW: u64 = 2_000;
const MANY: u64 = 12_000;

/// What `instructions` printed when it was last committed.
const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/instructions.txt");
const OURS: &str = "buttress";
/// How much more than the committed count is a regression: a tenth, and more than where the compiler puts things moves
/// the shortest paths by.
const SLACK: (f64, f64) = (1.1, 10.0);

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["--check"] => {
            return match check() {
                Ok(true) => ExitCode::SUCCESS,
                Ok(false) => ExitCode::FAILURE,
                Err(problem) => {
                    let _ = writeln!(io::stderr(), "{problem}");
                    ExitCode::FAILURE
                }
            };
        }
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

/// Whether none of our own paths takes more than it did.
fn check() -> Result<bool, String> {
    let text = fs::read_to_string(COMMITTED).map_err(|problem| format!("{COMMITTED}: {problem}"))?;
    let committed = committed(&text);
    let entries: Vec<Entry> = catalogue::all()
        .into_iter()
        .filter(|entry| entry.subject.starts_with(OURS) && !entry.path.contains("2_threads"))
        .collect();
    let counts = counted(&entries);
    let mut out = io::stdout().lock();
    let mut well = true;
    for (entry, count) in entries.iter().zip(counts) {
        let count =
            count.ok_or("valgrind cannot be run, or does not say what it counted: is it installed?")?;
        let said = committed.get(&(entry.path, entry.subject)).copied();
        let says = match said {
            None => "not committed",
            Some(said) if count > (said * SLACK.0).max(said + SLACK.1) => "more than it may be",
            Some(said) if count < said / SLACK.0 && count < said - SLACK.1 => "less: commit it",
            Some(_) => "",
        };
        well &= !matches!(says, "not committed" | "more than it may be");
        let said = said.map_or_else(|| "-".to_owned(), |said| format!("{said:.0}"));
        writeln!(
            out,
            "{:<36} {:<24} {said:>8} {count:>8.0} {says}",
            entry.path, entry.subject
        )
        .map_err(|problem| problem.to_string())?;
    }
    if !well {
        let _ = writeln!(
            out,
            "if that is as it should be: instructions > benches/instructions.txt, under its two lines of comment"
        );
    }
    Ok(well)
}

/// The counts of all, several at a time: that does not change what is counted.
fn counted(entries: &[Entry]) -> Vec<Option<f64>> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let Some((at, entry)) = {
            let at = next.fetch_add(1, Relaxed);
            entries.get(at).map(|entry| (at, entry))
        } {
            done.push((at, instructions(entry)));
        }
        done
    };
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let mut counts = vec![None; entries.len()];
    thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        for (at, count) in workers
            .into_iter()
            .filter_map(|worker| worker.join().ok())
            .flatten()
        {
            counts[at] = count;
        }
    });
    counts
}

/// The table of before: a path in a line of its own, then, further in, subjects with their counts.
fn committed(text: &str) -> HashMap<(&str, &str), f64> {
    let mut path = "";
    let mut counts = HashMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split_whitespace();
        match (line.starts_with(' '), words.next(), words.next()) {
            (false, Some(found), _) => path = found,
            (true, Some(subject), Some(count)) => {
                if let Ok(count) = count.parse() {
                    counts.insert((path, subject), count);
                }
            }
            _ => {}
        }
    }
    counts
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
