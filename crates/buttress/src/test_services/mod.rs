//! Services that the tests of several concerns are made with.

mod alive;
mod log;
mod play;
mod purse;
mod script;
#[cfg(feature = "http")]
mod wire;

pub(crate) use alive::{Alive, Counted, Probe, Probed};
pub(crate) use log::{Log, ask_every_log};
#[allow(unused_imports)]
pub(crate) use play::{Cue, End, Fate, Fault, Line, Made, Play, Played, Reply, judge, panics, perform};
#[allow(unused_imports)]
pub(crate) use purse::NaivePurse;
pub(crate) use script::{Answer, BUSY, Script, ms, rejected};
#[cfg(feature = "http")]
pub(crate) use wire::{
    Answered, Failed, Frames, Upstream, a_book, a_long_body, answer, get, headers, status,
};

/// A runtime of one thread, whose clock stands still while there is something to do.
pub(crate) fn paused() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime")
}
