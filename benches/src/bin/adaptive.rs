//! How adaptive limits follow a capacity that changes; see the module of that name.

use std::{
    env, fs,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use buttress_benches::{
    adaptive::{Course, PHASES, algorithms, follow},
    plot::Chart,
};

const USAGE: &str = "usage: adaptive [--svg FOLDER]

  --svg  writes the chart there
";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let folder = match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => None,
        ["--svg", folder] => Some(PathBuf::from(folder)),
        _ => {
            // Whether the usage can be written changes nothing any more.
            let _ = io::stderr().write_all(USAGE.as_bytes());
            return ExitCode::FAILURE;
        }
    };
    let courses = algorithms().map(|(name, limit, refuses)| (name, follow(limit, refuses)));
    match report(&courses, folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn report(courses: &[(&str, Course)], folder: Option<PathBuf>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    write!(out, "| the server |")?;
    for (name, _) in courses {
        write!(out, " {name}: within 20 % after | on average |")?;
    }
    writeln!(out, "\n|---|{}", "---|---|".repeat(courses.len()))?;
    for (phase, (what, capacity)) in PHASES.into_iter().enumerate() {
        write!(out, "| {what}: {capacity} at a time |")?;
        for (_, course) in courses {
            match course.near_after(phase) {
                Some(calls) => write!(out, " {calls} calls |")?,
                None => write!(out, " never |")?,
            }
            write!(out, " {:.1} |", course.rests_at(phase))?;
        }
        writeln!(out)?;
    }
    if let Some(folder) = folder {
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("adaptive-limit.svg"), chart(courses).svg())?;
    }
    Ok(())
}

/// How many calls make a point of the chart: a limit that probes is never still.
const AT_A_TIME: u32 = 50;

fn chart(courses: &[(&str, Course)]) -> Chart {
    let mut chart = Chart::lines("An adaptive limit follows the capacity")
        .x("calls completed")
        .y(format!("limit, mean of {AT_A_TIME} calls"));
    for (name, course) in courses {
        let means = course.limits.chunks(AT_A_TIME as usize).map(|limits| {
            let sum: u32 = limits.iter().sum();
            f64::from(sum) / limits.len() as f64
        });
        let middles = (0_u32..).map(|n| f64::from(n * AT_A_TIME + AT_A_TIME / 2));
        chart = chart.line(*name, middles.zip(means));
    }
    let begins = courses.first().map_or([0; 4], |(_, course)| course.begins);
    let last = courses.iter().map(|(_, course)| course.limits.len()).max();
    let capacity = begins
        .iter()
        .zip(PHASES)
        .map(|(begin, (_, capacity))| (*begin as f64, f64::from(capacity)));
    let end = (last.unwrap_or(0) as f64, f64::from(PHASES[3].1));
    chart.reference("capacity", capacity.chain([end]))
}
