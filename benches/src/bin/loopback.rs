//! Requests a second and processor time a request of servers over loopback, a whole stack against none; see
//! [`buttress_benches::loopback`].

use std::{env, error::Error, io, process::ExitCode, str::FromStr, time::Duration};

use buttress_benches::loopback::{Kind, Plan, Side, ask, instructions, run, serve};

const USAGE: &str =
    "usage: loopback [--pairs N] [--seconds S] [--only axum-h1|axum-h2|tonic-unary]... [--check]
       loopback --instructions [--only ...]

  --pairs    so many alternating pairs of turns, with the stack and without (24)
  --seconds  how long a turn is (1)
  --only     only that server; several may be named
  --instructions  count them instead, slot by slot, by valgrind, client and server over a pipe in one thread
  --check    exit code 1 if the stack costs more than it may
";

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut plan = Plan::default();
    let (mut check, mut counts) = (false, false);
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--pairs" => plan.pairs = number(arguments.next())?,
            "--seconds" => plan.turn = Duration::from_secs_f64(number(arguments.next())?),
            "--only" => plan.kinds.push(number(arguments.next())?),
            "--check" => check = true,
            "--instructions" => counts = true,
            // How the program calls itself, for a server in a process of its own.
            "--serve" => {
                let (kind, side): (Kind, Side) = (number(arguments.next())?, number(arguments.next())?);
                serve(kind, side)?;
                return Ok(ExitCode::SUCCESS);
            }
            // For a profiler.
            "--ask" => {
                let (kind, side): (Kind, Side) = (number(arguments.next())?, number(arguments.next())?);
                ask(kind, side, number(arguments.next())?)?;
                return Ok(ExitCode::SUCCESS);
            }
            _ => return Err(USAGE.into()),
        }
    }
    if counts {
        instructions(&plan.kinds, &mut io::stdout().lock())?;
        return Ok(ExitCode::SUCCESS);
    }
    let within = run(&plan, &mut io::stdout().lock())?;
    Ok(if check && !within {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn number<T: FromStr>(argument: Option<String>) -> Result<T, &'static str> {
    argument.and_then(|argument| argument.parse().ok()).ok_or(USAGE)
}
