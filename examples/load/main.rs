//! Load for the gateway: so many requests a second, and what became of each.
//!
//! ```text
//! load URL [--rate 1000] [--for 10s] [--connections 32] [--long 0.0] [--json] [--none-lost]
//! ```
//!
//! Each connection sends its requests at times that are fixed beforehand, and how long one took is counted from then: one
//! that had to wait for the answer to another took that long. What is asked for is idempotent (`GET`).
//!
//! A request is *lost* if its answer never began, or was a 5xx; one whose body broke off is counted apart.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr)] // a program for the terminal

mod args;
mod connection;
mod toll;

use std::{process::ExitCode, time::Duration};

use args::Args;
use buttress::clock;
use connection::Connection;
use tokio::{task::JoinSet, time::sleep_until};
use toll::Toll;

fn main() -> ExitCode {
    let args = match args::parse(std::env::args().skip(1)) {
        Ok(args) => args,
        Err(error) => {
            eprintln!("load: {error}\n\n{}", args::USAGE);
            return ExitCode::from(2);
        }
    };
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("load: no runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let toll = runtime.block_on(run(&args));
    match args.json {
        true => println!("{}", toll.json()),
        false => print!("{toll}"),
    }
    if !toll.adds_up() {
        eprintln!("load: not every request has an end");
        return ExitCode::FAILURE;
    }
    if args.none_lost && toll.lost() > 0 {
        eprintln!("load: {} of {} were lost", toll.lost(), toll.sent);
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

async fn run(args: &Args) -> Toll {
    let begin = clock::now() + Duration::from_millis(50);
    let gap = Duration::from_secs(1) / args.rate;
    let mut connections = JoinSet::new();
    for i in 0..args.connections {
        let args = args.clone();
        connections.spawn(async move {
            let mut connection = Connection::to(&args.url);
            let mut toll = Toll::default();
            for n in (i..).step_by(args.connections as usize) {
                let due = begin + gap * n;
                if due - begin >= args.lasts {
                    break;
                }
                sleep_until(due).await;
                // Every so-many-th, for all connections alike.
                let long = (f64::from(n) * args.long).fract() + args.long >= 1.0;
                let end = connection.get(if long { "/long" } else { "/" }).await;
                toll.note(end, clock::now() - due);
            }
            toll
        });
    }
    let mut all = Toll::default();
    while let Some(toll) = connections.join_next().await {
        if let Ok(toll) = toll {
            all.add(toll);
        }
    }
    all.close(clock::now() - begin);
    all
}
