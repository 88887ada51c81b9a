use std::task::{Context, Poll};

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
        let Some(deadline) = deadline else {
            // The clock is not read: should the call have to wait, that is soon enough.
            let nanos = timeout.limits.attempt.nanos();
            let (inner, until) = (self.inner.call(request), Until::after(nanos));
            return TimeoutFuture::called(inner, Some(timeout.ledger.id()), until, timeout.body_limits());
        };
        let now = clock::now();
        let until = match timeout.until(deadline, now) {
            Ok(until) => until,
            Err(rejected) => return TimeoutFuture::refused(rejected),
        };
        if !self.inbound {
            // Not the attempt's own limit, which ends with the headers: on the wire it would be that of the whole call, and
            // a stream would be cut off in the midst of its answer.
            self.protocol
                .limit_timeout(&mut request, deadline.duration_since(now));
        }
        let inner = self.inner.call(request);
        TimeoutFuture::called(inner, Some(timeout.ledger.id()), until, timeout.body_limits())
    }
}

impl Timeout {
    /// The end of an attempt that begins now: by its own limit or by the call's deadline.
    #[inline]
    pub(super) fn until(&self, deadline: Instant, now: Instant) -> Result<Until, Rejected> {
        if deadline <= now {
            return Err(self.ledger.refuse(Hit::DeadlineExpired));
        }
        let time = self.limits.attempt.get();
        Ok(match time.map(|time| timer::after(now, time)) {
            Some(own) if own <= deadline => Until::at(own),
            _ => Until::left(deadline, deadline - now, time),
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
