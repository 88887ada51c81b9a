//! Whether an endpoint is well, asked from time to time.
//!
//! A check is a closure over what stands behind an endpoint or, with the `http` feature, an `HttpCheck` or a
//! `GrpcCheck`. It goes past the endpoint's breaker, and is in no books.
//!
//! # When
//!
//! | the endpoint is | the next check comes after |
//! |---|---|
//! | well | nine tenths of `interval` to all of it |
//! | out: its checks failed, or its breaker is open | half of that |
//! | in doubt: the last checks were not what is known of it | a tenth of that |
//!
//! So an endpoint that was dead for any time is back in service within one interval of its return, for thresholds up to
//! five; and one that dies is marked after `failure_threshold` checks that come in quick succession.
//!
//! # And the breaker
//!
//! Checks and calls judge apart. An endpoint that fails its checks gets no calls at all. One whose breaker is open and
//! that passes `recovery_threshold` checks is given its trial at once, before the open time is over: real calls decide.

#[cfg(feature = "http")]
mod grpc;
#[cfg(feature = "http")]
mod http;
mod options;
mod watch;

#[cfg(feature = "http")]
pub use self::http::HttpCheck;
#[cfg(feature = "http")]
pub use grpc::GrpcCheck;
pub use options::HealthCheck;
pub(super) use options::MAX_THRESHOLD;
pub(super) use watch::watcher;

/// Asks an endpoint whether it is well: a closure `Fn(T) -> impl Future<Output = bool>`, or one of the types here.
///
/// One that takes longer than [`timeout`](HealthCheck::timeout), or panics, says no.
pub trait Check<T>: Send + Sync + 'static {
    /// The answer to come.
    type Future: Future<Output = bool> + Send;

    /// Asks what stands behind an endpoint.
    fn check(&self, target: T) -> Self::Future;
}

impl<T, F, Fut> Check<T> for F
where
    F: Fn(T) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = bool> + Send,
{
    type Future = Fut;

    fn check(&self, target: T) -> Fut {
        self(target)
    }
}
