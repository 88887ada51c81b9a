//! Nanoseconds, allocations and sizes of every subject on every path; see the crate's documentation.

use std::{
    env,
    io::{self, Write},
    process::ExitCode,
};

use buttress_benches::{
    catalogue,
    measure::{self, Effort},
    report,
};

const USAGE: &str = "usage: compare [--json] [--quick] [--filter PART-OF-A-PATH]...

  --json    one JSON object a line instead of a table
  --quick   just enough to see that it runs; the nanoseconds mean little
  --filter  only paths that contain this (or `path:subject` that does); several are alternatives
";

fn main() -> ExitCode {
    let mut json = false;
    let mut effort = Effort::FULL;
    let mut filters = Vec::new();
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match (argument.as_str(), &mut arguments) {
            ("--json", _) => json = true,
            ("--quick", _) => effort = Effort::QUICK,
            ("--filter", rest) => match rest.next() {
                Some(filter) => filters.push(filter),
                None => return usage(),
            },
            _ => return usage(),
        }
    }
    let mut entries = catalogue::all();
    entries.retain(|entry| {
        let name = format!("{}:{}", entry.path, entry.subject);
        filters.is_empty() || filters.iter().any(|filter| name.contains(filter.as_str()))
    });
    let figures = measure::measure(&entries, effort);
    let report = if json {
        report::json(&figures)
    } else {
        report::table(&figures)
    };
    match io::stdout().write_all(report.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn usage() -> ExitCode {
    // Whether the usage can be written changes nothing any more.
    let _ = io::stderr().write_all(USAGE.as_bytes());
    ExitCode::FAILURE
}
