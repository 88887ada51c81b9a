//! The command line.

use std::{ffi::OsString, path::PathBuf};

pub(crate) const USAGE: &str = "\
A reverse proxy behind Buttress: one endpoint or a pool of them, circuit breakers, retries, hedges, time limits, a rate
limit, a priority queue, fallbacks, trace-ids, panic recovery, and books that add up.

Usage: gateway --config FILE     run with that file
       gateway [--serve]         no file: a demonstration on loopback, about half a minute

Options:
  --config FILE   the configuration, in TOML; see examples/gateway/gateway.toml
  --serve         after the demonstration, keep everything running, for curl
  --help          this text

Standard output names the addresses; the log goes to standard error. RUST_LOG sets what is logged, as in
RUST_LOG=info,buttress=debug.

Exit code: 0 when all went well, 1 when something failed, 2 when it was told something it cannot use.
";

/// What the user wants.
#[derive(Debug, PartialEq)]
pub(crate) enum Command {
    /// A gateway with that file.
    Run(PathBuf),
    /// The demonstration.
    Demonstrate {
        /// Keep it running afterwards.
        serve: bool,
    },
    /// The usage.
    Help,
}

/// What the user wants, or what is wrong with how it was said.
pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Command, String> {
    let (mut config, mut serve) = (None, false);
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        let text = arg.to_string_lossy();
        let file = match &*text {
            "--help" | "-h" => return Ok(Command::Help),
            "--serve" => {
                serve = true;
                continue;
            }
            "--config" => args.next(),
            other => match other.strip_prefix("--config=") {
                Some(file) => Some(file.into()),
                None => return Err(format!("unknown argument `{text}`")),
            },
        };
        match file {
            Some(file) if !file.is_empty() => {
                if config.replace(PathBuf::from(file)).is_some() {
                    return Err("`--config` is there twice".to_owned());
                }
            }
            _ => return Err("`--config` needs a file".to_owned()),
        }
    }
    match (config, serve) {
        (Some(_), true) => Err("`--serve` is for the demonstration, which takes no `--config`".to_owned()),
        (Some(file), false) => Ok(Command::Run(file)),
        (None, serve) => Ok(Command::Demonstrate { serve }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(args: &[&str]) -> Result<Command, String> {
        parse(args.iter().map(OsString::from))
    }

    #[test]
    fn a_file_is_run_and_none_is_the_demonstration() {
        assert_eq!(of(&["--config", "a.toml"]), Ok(Command::Run("a.toml".into())));
        assert_eq!(of(&["--config=a.toml"]), Ok(Command::Run("a.toml".into())));
        assert_eq!(of(&[]), Ok(Command::Demonstrate { serve: false }));
        assert_eq!(of(&["--serve"]), Ok(Command::Demonstrate { serve: true }));
        assert_eq!(of(&["--serve", "-h"]), Ok(Command::Help));
    }

    #[test]
    fn nonsense_is_refused() {
        for args in [
            &["--conifg", "a"][..],
            &["a.toml"],
            &["--config"],
            &["--config="],
            &["--config", "a", "--config", "b"],
            &["--config", "a", "--serve"],
        ] {
            assert!(of(args).is_err(), "{args:?}");
        }
    }
}
