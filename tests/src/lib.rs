//! What the tests in `tests/` share: servers on real sockets.
//!
//! Every server listens on a port of its own of 127.0.0.1 and lives in tasks of the test's runtime, so it ends with
//! the test. What a test waits for it is told through a channel; nothing here sleeps.
#![forbid(unsafe_code)]

pub mod bodies;
pub mod books;
pub mod echo;
pub mod interop;
pub mod pipe;
pub mod scripted;
pub mod server;
pub mod soak;
pub mod watch;

use std::time::Duration;

/// Waits for what a test expects to happen soon, and gives up before the test's harness does.
///
/// # Panics
///
/// If it takes more than five seconds.
pub async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(5), future)
        .await
        .expect("it should have happened within 5 s")
}

/// The README's code, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
