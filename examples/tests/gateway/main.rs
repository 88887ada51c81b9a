//! The gateway over real sockets, as the program that its users run.

mod admin;
mod bodies;
mod breaker;
mod client;
mod demonstration;
mod forwarding;
mod http2;
mod process;
mod stopping;
mod unusable;
mod upstream;
