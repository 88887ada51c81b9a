//! Buttress side by side with its peers and with the floor, in one run.
//!
//! ```text
//! cargo run --release -p buttress-benches --bin compare          # nanoseconds, allocations, sizes
//! cargo run --release -p buttress-benches --bin instructions     # instructions a call, by callgrind
//! cargo run --release -p buttress-benches --features simulation --bin balance    # how well balancers balance
//! benches/losses.sh                                              # what a killed upstream costs, beside nginx
//! cargo run --release -p buttress-benches --bin loopback         # servers over loopback, a whole stack against none
//! benches/proxies.sh                                             # the gateway beside itself without policies, nginx, HAProxy
//! ```
//!
//! # What is compared
//!
//! A **path** is one way a call can go (`circuit_breaker/closed`), a **subject** one way to go it:
//!
//! * `bare`: the service alone;
//! * `floor`: what the layer cannot do without, the clock reads and atomics, written by hand in one function; see
//!   [`floor`];
//! * `buttress`;
//! * peers, by name. A name that begins with `tower-` and is none of a peer's layer for the same thing is a
//!   yardstick: tower has no circuit breaker, so `LoadShed` and `ConcurrencyLimit` show what tower's own layers
//!   cost.
//!
//! # How it is measured
//!
//! Everything is built and warmed outside the timed part, and every future is polled by hand with a waker that does
//! nothing: no runtime is in the loop. A call is `poll_ready`, `call`, `poll`, and for HTTP reading the body to its
//! end. The subjects take turns, a few milliseconds each, for a number of rounds in alternating order, so that the
//! machine's noise hits all alike; the figures are medians over the rounds, and what is *over bare* or *times the
//! floor* is the median of each round's own difference or ratio.

#[cfg(feature = "simulation")]
pub mod adaptive;
pub mod allocations;
pub mod balance;
pub mod catalogue;
mod cpu;
pub mod drive;
pub mod floor;
pub mod loopback;
pub mod measure;
#[cfg(feature = "simulation")]
pub mod overload;
pub mod plot;
pub mod proxies;
pub mod report;
pub mod service;
mod statistics;
