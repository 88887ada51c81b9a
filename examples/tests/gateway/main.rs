//! The gateway over real sockets, as the program that its users run.
#![allow(clippy::print_stdout)] // figures, for whoever looks

mod admin;
mod bodies;
mod breaker;
mod client;
mod demonstration;
mod endpoints;
mod forwarding;
mod http2;
#[path = "../lateness/mod.rs"]
mod lateness;
mod limits;
mod process;
mod repeated;
mod scraped;
mod stopping;
mod three_processes;
mod traced;
mod unusable;
mod upstream;
