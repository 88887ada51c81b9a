//! A reverse proxy behind Buttress, from a TOML file; with no file, a demonstration.
//!
//! `gateway --help` says how it is run, `examples/README.md` what it does.
//!
//! ```text
//!  client
//!    │   the stack `gateway`: trace-id · respond · metrics · recover · rate limit
//!  proxy
//!    │   the stack `upstream`: trace-id · metrics · recover · fallback · total timeout · retry · hedge · priority queue
//!    │                         · pool · circuit breaker (one an endpoint) · attempt timeout · recover · trace-id
//!  endpoints
//! ```
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr)] // a program for the terminal

mod admin;
mod answer;
mod args;
mod config;
mod demo;
mod endpoints;
mod gateway;
mod headers;
mod proxy;
mod pseudonym;
mod routes;
mod server;
mod signals;

use std::{io::IsTerminal as _, path::Path, process::ExitCode, time::Duration};

use args::Command;
use config::Config;
use gateway::Gateway;
use signals::Signals;
use tracing_subscriber::{
    Layer, filter::Targets, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

/// How long what is in flight may take to end when the gateway is told to stop.
const GRACE: Duration = Duration::from_secs(30);

/// What was said cannot be used.
const UNUSABLE: u8 = 2;

fn main() -> ExitCode {
    match args::parse(std::env::args_os().skip(1)) {
        Ok(Command::Help) => {
            print!("{}", args::USAGE);
            ExitCode::SUCCESS
        }
        Ok(Command::Run(file)) => match Config::load(&file) {
            Ok(config) => {
                log_from("info");
                in_runtime(run(config))
            }
            Err(error) => unusable(&format!("{}: {error}", Path::new(&file).display())),
        },
        Ok(Command::Demonstrate { serve }) => {
            log_from("error");
            in_runtime(demo::run(serve))
        }
        Err(error) => unusable(&format!("{error}\n\n{}", args::USAGE.trim_end())),
    }
}

/// A gateway until it is told to stop.
async fn run(config: Config) -> ExitCode {
    let mut signals = match Signals::new() {
        Ok(signals) => signals,
        Err(error) => return failed(&format!("signals cannot be had: {error}")),
    };
    let gateway = match Gateway::start(config).await {
        Ok(gateway) => gateway,
        Err(error) => return failed(&error.to_string()),
    };
    println!("listening on http://{}", gateway.address());
    if let Some(admin) = gateway.admin_address() {
        println!("admin on http://{admin}");
    }
    signals.next().await;
    tracing::info!("stopping: what is in flight may end, within {GRACE:?}");
    tokio::select! {
        drained = gateway.stop(GRACE) => match drained {
            true => ExitCode::SUCCESS,
            false => failed(&format!("some calls were cut off after {GRACE:?}")),
        },
        () = signals.next() => failed("told to stop twice: calls in flight were cut off"),
    }
}

/// The log goes to standard error, what `RUST_LOG` says or else `filter`; panics with their place.
fn log_from(filter: &str) {
    let wanted = std::env::var("RUST_LOG").ok();
    let targets = wanted.and_then(|wanted| wanted.parse::<Targets>().ok());
    let targets = targets.or_else(|| filter.parse().ok()).unwrap_or_default();
    tracing_subscriber::registry()
        .with(
            fmt::layer()
                .with_ansi(std::io::stderr().is_terminal())
                .with_writer(std::io::stderr)
                .with_filter(targets),
        )
        .init();
    buttress::recover::install_hook();
}

fn in_runtime(program: impl Future<Output = ExitCode>) -> ExitCode {
    match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime.block_on(program),
        Err(error) => failed(&format!("no runtime: {error}")),
    }
}

fn failed(message: &str) -> ExitCode {
    eprintln!("gateway: {message}");
    ExitCode::FAILURE
}

fn unusable(message: &str) -> ExitCode {
    eprintln!("gateway: {message}");
    ExitCode::from(UNUSABLE)
}
