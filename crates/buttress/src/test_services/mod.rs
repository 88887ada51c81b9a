//! Services that the tests of several concerns are made with.

mod alive;
#[cfg(feature = "http")]
mod wire;

pub(crate) use alive::{Alive, Counted, Probe, Probed};
#[cfg(feature = "http")]
pub(crate) use wire::{Answered, Failed, Frames, Upstream, answer, get, headers, status};
