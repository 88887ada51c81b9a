//! With no file: the real gateway, upstreams that misbehave, callers, and the story of what comes of it, all on loopback,
//! all over sockets. First one upstream, and books in which everybody agrees on every call; then three as one, with what
//! goes beyond one. What is told is checked.

mod acts;
mod crowd;
mod ledger;
mod load;
mod office;
mod several;
mod sightings;
mod single;
mod story;
mod toll;
mod upstream;

use std::process::ExitCode;

use buttress::{BoxError, clock};
use several::Several;
use single::Single;

use crate::{failed, signals::Signals};

/// Runs it all, and keeps the second part running if that is wanted.
pub(crate) async fn run(serve: bool) -> ExitCode {
    let mut signals = match Signals::new() {
        Ok(signals) => signals,
        Err(error) => return failed(&format!("signals cannot be had: {error}")),
    };
    let played = tokio::select! {
        played = play() => played,
        () = signals.next() => Err("told to stop".into()),
    };
    match played {
        Ok((several, adds_up)) => {
            if serve {
                several.invite();
                signals.next().await;
            }
            several.end().await;
            match adds_up {
                true => ExitCode::SUCCESS,
                false => failed("the demonstration does not add up"),
            }
        }
        Err(error) => failed(&format!("the demonstration broke off: {error}")),
    }
}

/// Plays both parts. Returns the second as it is at the end, and whether all was as it should be.
async fn play() -> Result<(Several, bool), BoxError> {
    let began = clock::now();
    let one = Single::set().await?.play(began).await?;
    let mut several = Several::set().await?;
    let adds_up = several.play(began).await? && one;
    println!(
        "\n{}",
        if adds_up {
            "It all adds up."
        } else {
            "It does NOT add up."
        }
    );
    Ok((several, adds_up))
}
