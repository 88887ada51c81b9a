use std::task::{Context, Poll};

use tower_service::Service;

use super::{Admission, Deadline};
use crate::{
    context::{InDeadline, WithDeadline},
    error::CallError,
    outcome::{BodyProtocol, Plain, RequestProtocol},
    timeout::{
        TimeoutBody, TimeoutFuture,
        limit::{BodyLimits, Until},
    },
};

/// A service whose calls have a deadline.
///
/// Its readiness is that of the inner service.
#[derive(Clone, Debug)]
pub struct DeadlineService<S, P = Plain> {
    inner: S,
    deadline: Option<Deadline>,
    protocol: P,
}

impl<S, P> DeadlineService<S, P> {
    pub(super) fn new(inner: S, deadline: Option<Deadline>, protocol: P) -> Self {
        Self {
            inner,
            deadline,
            protocol,
        }
    }
}

impl<S, P, Request> Service<Request> for DeadlineService<S, P>
where
    S: Service<Request>,
    S::Error: CallError,
    P: RequestProtocol<Request> + BodyProtocol<S::Response>,
{
    type Response = P::Response<TimeoutBody<P::Body>>;
    type Error = S::Error;
    type Future = TimeoutFuture<WithDeadline<S::Future>, P>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, mut request: Request) -> Self::Future {
        let limited = match &self.deadline {
            None => None,
            Some(deadline) => match deadline.admit(&self.protocol, &mut request) {
                Admission::Unlimited => None,
                Admission::Limited { until, moment } => Some((deadline, until, moment)),
                Admission::Refused(rejected) => return TimeoutFuture::refused(rejected),
            },
        };
        let Some((deadline, until, moment)) = limited else {
            return TimeoutFuture::unlimited(WithDeadline::new(None, self.inner.call(request)));
        };
        // Layers further in ask for it in `call` as well as in their futures. Those that are in the course of this call, and
        // not of its request, as a client that a handler asks, know it by this alone.
        let in_deadline = InDeadline::enter(moment);
        let inner = self.inner.call(request);
        drop(in_deadline);
        let body = if P::DEADLINE_SPANS_BODY || deadline.is_through_body() {
            BodyLimits {
                total: Until::at(moment),
                ..BodyLimits::NONE
            }
        } else {
            BodyLimits::NONE
        };
        TimeoutFuture::called(
            WithDeadline::new(Some(moment), inner),
            Some(deadline.ledger.id()),
            until,
            body,
        )
    }
}
