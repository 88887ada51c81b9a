//! The slots, each once, in the order of a client's stack, outside in.
//!
//! A line begins with the slot's name, its type parameter, and what stands in it unless it is named; in brackets is
//! what a stack of a client and one of a server have in it that have something in each slot ([`Stack::full`]). The
//! setters follow. After the slots come the two orders.
//!
//! A new slot is a line with its setter here, a place in one order or both, and a [`Slot`] that makes the layer of its
//! policy.

use tower::ServiceBuilder;
use tower_layer::Identity;

#[cfg(feature = "http")]
use super::Server;
#[cfg(feature = "timeout")]
use super::TimeLimit;
use super::{Attempts, Build, Calls, Client, Keeps, Place, Slot, Split, Stack, Unfilled};
use crate::replay::Bare;
// A build may leave out those who ask for them.
#[allow(unused_imports)]
use super::Handles;
#[cfg(feature = "circuit-breaker")]
use crate::circuit_breaker::CircuitBreaker;
use crate::error::ErrorLayer;
#[cfg(feature = "fallback")]
use crate::fallback::Fallback;
#[cfg(feature = "hedge")]
use crate::hedge::Hedge;
#[cfg(feature = "http")]
use crate::http::respond::{Edge, RespondLayer, Responder};
#[cfg(feature = "metrics")]
use crate::metrics::Metrics;
#[cfg(feature = "priority")]
use crate::priority::PriorityQueue;
#[cfg(feature = "rate-limit")]
use crate::rate_limit::RateLimiter;
#[cfg(feature = "recover")]
use crate::recover::Recover;
#[cfg(feature = "retry")]
use crate::retry::Retry;
#[cfg(feature = "timeout")]
use crate::timeout::{Deadline, Timeout};
#[cfg(feature = "trace-id")]
use crate::trace_id::TraceId;

with_every_concern! {
    use super::full::{Fill, FillSlot};
    use crate::fallback::FileFallback;
}

slots! {
    slots {
        outside: Outside = Identity [Outside | Outside] {
            /// Puts a layer of your own above everything else. Use a [`tower_layer::Stack`] or a `ServiceBuilder` for
            /// several.
            fn outside<L>(layer: L) -> L = layer;
        }

        trace_id: TraceIdSlot = Identity [Option<TraceId> | Option<TraceId>] {
            /// Gives each call its place in a trace: a server reads it from the request and answers with the id, a client
            /// writes it into the request of each attempt. `None` is off.
            #[cfg(feature = "trace-id")]
            fn trace_id(trace_id: impl Into<Option<TraceId>>) -> Option<TraceId> = trace_id.into();
        }

        respond: RespondSlot = Identity [Identity | RespondSlot] {
            /// Answers refusals in a form of your own.
            #[cfg(feature = "http")]
            fn respond_with<R: Responder>(responder: R) -> RespondLayer<R> where K: Handles =
                RespondLayer::with(responder);
        }

        metrics: MetricsSlot = Identity [Option<Metrics> | Option<Metrics>] {
            /// Counts every call, its outcome and its durations. `None` is off.
            #[cfg(feature = "metrics")]
            fn metrics(metrics: impl Into<Option<Metrics>>) -> Option<Metrics> = metrics.into();
        }

        recover: RecoverSlot = Identity [Option<Recover> | Option<Recover>] {
            /// Turns panics into errors.
            #[cfg(feature = "recover")]
            fn recover() -> Option<Recover> = Some(Recover::new());

            /// Turns panics into errors, with a [`Recover`] of your own; `None` is off. See
            /// [`recover`](Self::recover).
            #[cfg(feature = "recover")]
            fn recover_with(recover: impl Into<Option<Recover>>) -> Option<Recover> = recover.into();
        }

        fallback: FallbackSlot = Identity [Option<Fallback<<P as FileFallback>::Answer>> | Identity] {
            /// Answers in place of the service where that cannot.
            ///
            /// It stands outside of the call's time limits. Where it is to be off, leave it out: `None` alone would not
            /// say what it is that does not answer.
            #[cfg(feature = "fallback")]
            fn fallback<A, W>(fallback: impl Into<Option<Fallback<A, W>>>) -> Option<Fallback<A, W>>
                where K: Calls = fallback.into();
        }

        total: TotalSlot = Identity [Option<Deadline> | Option<Deadline>] {
            /// Ends the call with all its attempts, waits and backoffs after that long: a `Duration`, a [`Deadline`], or
            /// `None` for no end; see [`TimeLimit`]. Those further in know how much of it is left.
            #[cfg(feature = "timeout")]
            fn total_timeout(limit: Deadline) where K: Calls;

            /// Ends the call when the client's patience does (gRPC's `grpc-timeout`), and after that long in any case: a
            /// `Duration`, a [`Deadline`], or `None` for no end; see [`TimeLimit`]. [`Deadline::new`] is as long as the
            /// client wants it.
            #[cfg(feature = "timeout")]
            fn deadline(limit: Deadline) where K: Handles;
        }

        retry: RetrySlot = Identity [Option<Retry> | Identity] {
            /// Calls again what failed and may be repeated. `None` is off.
            ///
            /// The service has to be [`Clone`], and the request too, or over HTTP its body one that can be sent again: see
            /// [`request_body`](Self::request_body).
            #[cfg(feature = "retry")]
            fn retry(retry: impl Into<Option<Retry>>) -> Option<Retry> where K: Calls = retry.into();
        }

        hedge: HedgeSlot = Identity [Option<Hedge> | Identity] {
            /// Calls a second time what is slow, and takes the first answer. `None` is off.
            ///
            /// It asks of the service and of the request what [`retry`](Self::retry) does.
            #[cfg(feature = "hedge")]
            fn hedge(hedge: impl Into<Option<Hedge>>) -> Option<Hedge> where K: Calls = hedge.into();
        }

        priority: PrioritySlot = Identity [Option<PriorityQueue> | Option<PriorityQueue>] {
            /// Lets so many calls run at a time, the most important first. `None` is off.
            ///
            /// The service has to be [`Clone`]: the one that is called belongs to the call that waited for it.
            #[cfg(feature = "priority")]
            fn priority(queue: impl Into<Option<PriorityQueue>>) -> Option<PriorityQueue> = queue.into();
        }

        pool: PoolSlot = Identity [PoolSlot | Identity] {
            /// Sends each attempt to one of several endpoints: over HTTP a [`Pool`] whose endpoints are authorities or
            /// URIs, which are written into the request, or what [`Pool::addressed_by`] makes of another.
            ///
            /// One transport reaches all endpoints. The policies that come further in are for each endpoint: see the
            /// [module](super). For endpoints that are services of their own there is
            /// [`build_split`](Self::build_split).
            ///
            /// The service has to be [`Clone`].
            ///
            /// [`Pool`]: crate::pool::Pool
            /// [`Pool::addressed_by`]: crate::pool::Pool::addressed_by
            #[cfg(feature = "pool")]
            fn pool<N>(pool: N) -> N where K: Calls = pool;
        }

        rate_limit: RateLimitSlot = Identity [Option<RateLimiter> | Option<RateLimiter>] {
            /// Lets so many calls through in so much time. `None` is off.
            ///
            /// A server whose limiter says what is [left](crate::rate_limit::RateLimiterBuilder::headers) says so in its
            /// refusals, too. The service has to be [`Clone`], for calls that wait.
            ///
            /// In a stack with a pool each endpoint has a limit of its own, with the options of this one, which is itself
            /// never asked: an endpoint whose limit is used up is passed over while another may have the call. Where all
            /// are at their limits, the call waits at the one at which its turn comes first, up to [`max_wait`], or is
            /// refused at once and told for how long. Responses do not say what is left of an endpoint's limit. A limiter
            /// with keys is one for all endpoints.
            ///
            /// [`max_wait`]: crate::rate_limit::RateLimiterBuilder::max_wait
            #[cfg(feature = "rate-limit")]
            fn rate_limit(limiter: impl Into<Option<RateLimiter>>) -> Option<RateLimiter> = limiter.into();
        }

        breaker: BreakerSlot = Identity [Option<CircuitBreaker> | Option<CircuitBreaker>] {
            /// Stops calling the service while it is down. `None` is off.
            ///
            /// Where the breaker does not say from when on a call is [slow], it is the time that the stack gives an
            /// attempt, should it limit that.
            ///
            /// In a stack with a pool each endpoint has a breaker of its own, with the options of this one, which is
            /// itself never asked; endpoints that have their own keep it.
            ///
            /// [slow]: crate::circuit_breaker::CircuitBreakerBuilder::slow_after
            #[cfg(feature = "circuit-breaker")]
            fn circuit_breaker(breaker: impl Into<Option<CircuitBreaker>>) -> Option<CircuitBreaker> = breaker.into();
        }

        attempt: AttemptSlot = Identity [Option<Timeout> | Option<Timeout>] {
            /// Cuts an attempt off after that long, or when the total is over: a `Duration`, a [`Timeout`], or `None` for
            /// no limit; see [`TimeLimit`]. To the breaker that is a failure, unless the total left less than that, and a retry
            /// may try again what is idempotent.
            #[cfg(feature = "timeout")]
            fn attempt_timeout(limit: Timeout) where K: Calls;

            /// Cuts the handler off after that long, or when the deadline is over: a `Duration`, a [`Timeout`], or `None`
            /// for no limit; see [`TimeLimit`].
            #[cfg(feature = "timeout")]
            fn handler_timeout(limit: Timeout) where K: Handles;
        }

        error: ErrorSlot = ErrorLayer [ErrorSlot | ErrorSlot] {
            /// Leaves out the layer that turns the service's error `E` into [`Error<E>`](crate::Error): for services whose
            /// error is a [`CallError`](crate::CallError) already, such as tower's `Buffer` (a `BoxError`) or another
            /// stack. Rejections from in there are then understood as what they are.
            fn keep_error() -> Identity = Identity::new();
        }

        inside: Inside = Identity [Inside | Inside] {
            /// Puts a layer of your own below everything else, directly around the service. It never sees a rejection.
            fn inside<L>(layer: L) -> L = layer;
        }
    }

    // The orders, outside in; the user's own layers are outside and inside of them.

    client {
        trace_id: TraceIdSlot,
        metrics: MetricsSlot,
        recover: RecoverSlot,
        fallback: FallbackSlot between ((), ((RetrySlot, HedgeSlot), PoolSlot)),
        total: TotalSlot,
        retry: RetrySlot between (FallbackSlot, (HedgeSlot, PoolSlot)),
        hedge: HedgeSlot between ((FallbackSlot, RetrySlot), PoolSlot),
        priority: PrioritySlot,
        // Here it can be split.
        pool: PoolSlot between (((FallbackSlot, RetrySlot), HedgeSlot), ()),
    } endpoint {
        rate_limit: RateLimitSlot,
        breaker: BreakerSlot,
        attempt: AttemptSlot,
        recover: RecoverSlot,
        trace_id: TraceIdSlot of each attempt,
        error: ErrorSlot,
    }

    server {
        trace_id: TraceIdSlot,
        respond: RespondSlot,
        metrics: MetricsSlot,
        recover: RecoverSlot,
        total: TotalSlot,
        rate_limit: RateLimitSlot,
        priority: PrioritySlot,
        breaker: BreakerSlot,
        attempt: AttemptSlot,
        // Bodies have the one further out: what stands between knows a panic when it comes through.
        recover: RecoverSlot of each attempt,
        error: ErrorSlot,
    }
}

/// What a server's stack begins with.
#[cfg(feature = "http")]
pub(super) type Responding<P> = Slots<Identity, Identity, RespondLayer<<P as Edge>::Responder>>;
