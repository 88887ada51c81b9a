//! Every path and every subject.

mod breaker;
mod client;
mod fallback;
mod hedge;
mod http;
mod layers;
mod peers;
mod pool;
mod priority;
mod rate_limit;
pub(crate) mod recorder;
mod reqwest;
mod retry;
mod stack;
mod threads;
mod timeout;

use crate::drive::Subject;

/// A subject that can be built.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// The way a call goes.
    pub path: &'static str,
    /// Who goes it.
    pub subject: &'static str,
    /// Builds it.
    pub make: fn() -> Subject,
}

/// Everything there is, subjects of one path side by side.
pub fn all() -> Vec<Entry> {
    [
        layers::CLOCK,
        breaker::CLOSED,
        breaker::FAILING,
        breaker::COUNT_WINDOW,
        breaker::TIME_WINDOW,
        breaker::SLOW_CALLS,
        breaker::OPEN,
        breaker::CANCELLED_PROBES,
        layers::RECOVER,
        layers::METRICS,
        layers::ERROR,
        timeout::READY,
        timeout::WAITING,
        timeout::TOTAL,
        retry::FIRST,
        retry::NO_BUDGET,
        retry::FUNCTION,
        hedge::FIXED,
        hedge::QUANTILE,
        fallback::NOT_NEEDED,
        fallback::ANSWERED,
        rate_limit::ALLOWED,
        rate_limit::REFUSED,
        rate_limit::KEYED,
        rate_limit::MANY_KEYS,
        priority::FREE,
        priority::REFUSED,
        priority::ADAPTIVE,
        pool::THREE,
        pool::THREE_HUNDRED,
        stack::EMPTY,
        stack::OFF,
        stack::FULL,
        stack::REFUSED,
        client::PLAIN,
        http::CIRCUIT_BREAKER,
        http::RECOVER,
        http::METRICS,
        retry::OVER_HTTP,
        hedge::OVER_HTTP,
        http::TRACE_ID_INBOUND,
        http::TRACE_ID_INBOUND_SEEN,
        http::TRACE_ID_OUTBOUND,
        rate_limit::OVER_HTTP,
        rate_limit::REFUSED_OVER_HTTP,
        http::STACK,
        client::OVER_HTTP,
        threads::ONE_BREAKER,
        threads::OWN_BREAKERS,
        threads::RATE_LIMIT,
        threads::RATE_LIMIT_KEYED,
        threads::RATE_LIMIT_MANY_KEYS,
        threads::PRIORITY,
        threads::ADAPTIVE,
        threads::STACK,
    ]
    .concat()
}

/// The entries of one path.
macro_rules! entries {
    ($(#[$meta:meta])* $name:ident, $path:literal: $($subject:literal => $make:expr,)+) => {
        $(#[$meta])*
        pub(super) const $name: &[$crate::catalogue::Entry] = &[$($crate::catalogue::Entry {
            path: $path,
            subject: $subject,
            make: || $make,
        },)+];
    };
}
use entries;
