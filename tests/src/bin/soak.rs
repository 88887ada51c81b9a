//! Everything goes wrong at once, for as long as one likes; see [`buttress_tests::soak`].
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr)] // a program for the terminal

use std::process::ExitCode;

use buttress_tests::soak::Soak;

const USAGE: &str = "Usage: soak [--calls N] [--callers N] [--seed N]";

fn wanted() -> Option<Soak> {
    let mut soak = Soak {
        calls: 1_000_000,
        callers: 64,
        seed: fastrand::u64(..),
    };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let number = args.next()?.parse().ok()?;
        match &*arg {
            "--calls" => soak.calls = number,
            "--callers" => soak.callers = number,
            "--seed" => soak.seed = number,
            _ => return None,
        }
    }
    Some(soak)
}

#[tokio::main]
async fn main() -> ExitCode {
    let Some(soak) = wanted() else {
        eprintln!("{USAGE}");
        return ExitCode::FAILURE;
    };
    println!("seed {}", soak.seed);
    let report = soak.run().await;
    println!("{report}");
    // What grows with the calls would grow by far more; what does not has grown by now.
    if let (Some(warm), Some(end)) = (report.warm.memory, report.after.memory) {
        assert!(
            end < warm + warm / 2 + 32 * 1024,
            "memory grew from {warm} to {end} KiB"
        );
    }
    ExitCode::SUCCESS
}
