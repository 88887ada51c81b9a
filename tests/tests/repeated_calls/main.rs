//! What an upstream and its callers see of calls that are repeated: hyper's client under a stack, hyper's server, HTTP
//! between them, and the paused clock.

mod load;
mod outage;
mod requests;
mod upstream;
