//! Reverse proxies side by side: the gateway, itself without policies, nginx and HAProxy; see
//! [`buttress_benches::proxies`].

use std::{env, error::Error, io, process::ExitCode, str::FromStr, time::Duration};

use buttress_benches::proxies::{Plan, instructions, run, serve};

const USAGE: &str = "usage: proxies [--rounds N] [--seconds S] [--cores one|apart|all] [--connections N] [--rate R]
               [--only gateway-full|gateway-pool|nginx|haproxy]... [--check]
       proxies --instructions

  --rounds       so many rounds, in each of which all are asked (24)
  --seconds      how long a turn is; there are two for each in a round (0.5)
  --cores        one for all; one for the proxies and one for the others; or all for all, and two threads a proxy (one)
  --connections  so many clients at a time (32)
  --rate         requests a second where it is measured how long they take (2000)
  --only         only that one beside gateway-empty; several may be named
  --check        exit code 1 if gateway-full has less than 0.95 of the requests a second of gateway-empty
  --instructions  count those of the gateway for a request instead, policy by policy, by valgrind
";

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut plan = Plan::default();
    let (mut check, mut counts) = (false, false);
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--rounds" => plan.rounds = value(arguments.next())?,
            "--seconds" => plan.turn = Duration::try_from_secs_f64(value(arguments.next())?)?,
            "--cores" => plan.cores = value(arguments.next())?,
            "--connections" => plan.connections = value(arguments.next())?,
            "--rate" => plan.rate = value(arguments.next())?,
            "--only" => plan.proxies.push(value(arguments.next())?),
            "--check" => check = true,
            "--instructions" => counts = true,
            // How the program calls itself, for the upstream in a process of its own.
            "--upstream" => {
                serve()?;
                return Ok(ExitCode::SUCCESS);
            }
            _ => return Err(USAGE.into()),
        }
    }
    if counts {
        instructions(&mut io::stdout().lock())?;
        return Ok(ExitCode::SUCCESS);
    }
    let within = run(&plan, &mut io::stdout().lock())?;
    Ok(if check && !within {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn value<T: FromStr>(argument: Option<String>) -> Result<T, &'static str> {
    argument.and_then(|argument| argument.parse().ok()).ok_or(USAGE)
}
