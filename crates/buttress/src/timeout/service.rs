use std::{
    task::{Context, Poll},
    time::Duration,
};

use tower_service::Service;

use super::{
    Timeout, TimeoutBody, TimeoutFuture,
    ledger::Hit,
    limit::{BodyLimits, Until},
    timer,
};
use crate::{
    clock::{self, Instant},
    context,
    error::{CallError, Rejected},
    outcome::{BodyProtocol, Plain, RequestProtocol},
};

/// A service whose calls, and response bodies, are limited in time.
///
/// Its readiness is that of the inner service: waiting for it is not part of the attempt.
#[derive(Clone, Debug)]
pub struct TimeoutService<S, P = Plain> {
    inner: S,
    timeout: Option<Timeout>,
    protocol: P,
    inbound: bool,
}

impl<S, P> TimeoutService<S, P> {
    pub(super) fn new(inner: S, timeout: Option<Timeout>, protocol: P, inbound: bool) -> Self {
        Self {
            inner,
            timeout,
            protocol,
            inbound,
        }
    }
}

impl<S, P, Request> Service<Request> for TimeoutService<S, P>
where
    S: Service<Request>,
    S::Error: CallError,
    P: RequestProtocol<Request> + BodyProtocol<S::Response>,
{
    type Response = P::Response<TimeoutBody<P::Body>>;
    type Error = S::Error;
    type Future = TimeoutFuture<S::Future, P>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, mut request: Request) -> Self::Future {
        let Some(timeout) = &self.timeout else {
            return TimeoutFuture::unlimited(self.inner.call(request));
        };
        let deadline = match self.protocol.context(&request) {
            Some(context) => context.deadline(),
            None => context::current_deadline(),
        };
        let allowed = match timeout.allow(deadline) {
            Ok(allowed) => allowed,
            Err(rejected) => return TimeoutFuture::refused(rejected),
        };
        if let (Some(time), false) = (allowed.time, self.inbound) {
            self.protocol.limit_timeout(&mut request, time);
        }
        let inner = self.inner.call(request);
        TimeoutFuture::called(
            inner,
            Some(timeout.ledger.id()),
            allowed.until,
            timeout.body_limits(),
        )
    }
}

/// What is left for an attempt.
pub(super) struct Allowed {
    pub(super) until: Until,
    time: Option<Duration>,
}

impl Timeout {
    /// The smaller of the attempt's limit and what is left of the deadline. Where there is no deadline the clock
    /// is not read.
    #[inline]
    pub(super) fn allow(&self, deadline: Option<Instant>) -> Result<Allowed, Rejected> {
        let attempt = &self.limits.attempt;
        let Some(deadline) = deadline else {
            return Ok(Allowed {
                until: Until::after(attempt.nanos()),
                time: attempt.get(),
            });
        };
        let now = clock::now();
        if deadline <= now {
            return Err(self.ledger.refuse(Hit::DeadlineExpired));
        }
        let until = attempt
            .get()
            .map_or(deadline, |time| deadline.min(timer::after(now, time)));
        Ok(Allowed {
            until: Until::At(until),
            time: Some(until.duration_since(now)),
        })
    }

    #[inline]
    fn body_limits(&self) -> BodyLimits {
        BodyLimits {
            idle: self.limits.body_idle.nanos(),
            total: Until::after(self.limits.body_total.nanos()),
        }
    }
}
