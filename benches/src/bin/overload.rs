//! Overload, simulated and over sockets; see the module of that name.

use std::{
    env, fs,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use buttress_benches::overload::{Figures, System, Window, charts, over_sockets, simulate, table};

const USAGE: &str = "usage: overload [--simulated | --sockets] [--quick] [--svg FOLDER]

  --simulated  only on the paused clock
  --sockets    only over sockets: about eight minutes
  --quick      just enough to see that it runs
  --svg        writes the charts there
";

/// Times the capacity: those of the table, and for the chart those between.
const LOADS: [f64; 2] = [2.0, 5.0];
const SWEEP: [f64; 9] = [0.5, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0];
/// `Critical` calls alone.
const UNLOADED: f64 = 0.2;

#[derive(Default)]
struct Options {
    simulated: bool,
    sockets: bool,
    quick: bool,
    svg: Option<PathBuf>,
}

fn main() -> ExitCode {
    let mut options = Options::default();
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match (argument.as_str(), &mut arguments) {
            ("--simulated", _) => options.simulated = true,
            ("--sockets", _) => options.sockets = true,
            ("--quick", _) => options.quick = true,
            ("--svg", rest) => match rest.next() {
                Some(folder) => options.svg = Some(folder.into()),
                None => return usage(),
            },
            _ => return usage(),
        }
    }
    if !options.simulated && !options.sockets {
        (options.simulated, options.sockets) = (true, true);
    }
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Whether that can be written changes nothing any more.
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    // Whether the usage can be written changes nothing any more.
    let _ = io::stderr().write_all(USAGE.as_bytes());
    ExitCode::FAILURE
}

fn run(options: &Options) -> io::Result<()> {
    let seconds = |full: f64, quick: f64| Duration::from_secs_f64(if options.quick { quick } else { full });
    if options.simulated {
        let window = Window {
            from: seconds(5.0, 0.5),
            to: seconds(25.0, 1.5),
        };
        let measure = |system, load| simulate(system, load, window);
        report(
            options,
            "simulated",
            &measure,
            if options.quick { &LOADS } else { &SWEEP },
        )?;
    }
    if options.sockets {
        let window = Window {
            from: seconds(2.2, 0.3),
            to: seconds(5.2, 0.8),
        };
        let measure = |system, load| {
            let runs = if options.quick { 1 } else { 5 };
            let runs: Vec<_> = (0..runs)
                .map(|seed| over_sockets(system, load, seed, window))
                .collect();
            Figures::median(&runs)
        };
        report(options, "sockets", &measure, &LOADS)?;
    }
    Ok(())
}

fn report(
    options: &Options,
    how: &str,
    measure: &dyn Fn(System, f64) -> Figures,
    loads: &[f64],
) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let unloaded = System::ALL.map(|system| (system, measure(system, UNLOADED)));
    let rows = System::ALL.map(|system| {
        let figures = loads.iter().map(|load| (*load, measure(system, *load)));
        (system, figures.collect::<Vec<_>>())
    });
    let alone = unloaded[0].1.critical_p99;
    writeln!(
        out,
        "{how}; unloaded, the p99 of a `Critical` call is {alone:.1} ms\n"
    )?;
    let mut told = rows.to_vec();
    for (_, figures) in &mut told {
        figures.retain(|(load, _)| LOADS.contains(load));
    }
    writeln!(out, "{}", table(&told, &unloaded))?;
    if let Some(folder) = &options.svg {
        fs::create_dir_all(folder)?;
        for (file, svg) in charts(how, &rows, alone) {
            fs::write(folder.join(file), svg)?;
        }
    }
    Ok(())
}
