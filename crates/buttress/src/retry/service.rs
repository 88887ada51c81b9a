use std::task::{Context, Poll};

use tower_service::Service;

use super::{
    Retry,
    course::Course,
    future::{RetryFuture, Spare},
    shared::{Plan, book},
};
use crate::{
    context::{self, CallContext, InAttempt, Surroundings},
    outcome::Plain,
    replay::{Peek, Replay, Same},
};

/// A service whose calls are repeated.
///
/// Its readiness is that of the inner service, and the first attempt is made by the inner service that is ready. For
/// others the future keeps a clone of it, whose readiness it drives when the time has come: a call that waits holds no
/// place in a queue inside.
#[derive(Clone, Debug)]
pub struct RetryService<S, P = Plain, M = Same> {
    inner: S,
    retry: Option<Retry>,
    protocol: P,
    mode: M,
}

impl<S, P, M> RetryService<S, P, M> {
    pub(super) fn new(inner: S, retry: Option<Retry>, protocol: P, mode: M) -> Self {
        Self {
            inner,
            retry,
            protocol,
            mode,
        }
    }

    /// The service inside.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service inside.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The service inside, without the retry.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, P, M, Request> Service<Request> for RetryService<S, P, M>
where
    S: Service<P::Request> + Clone,
    P: Replay<Request, M> + Peek<S::Response, S::Error>,
    M: Clone,
{
    type Response = P::Peeked;
    type Error = S::Error;
    type Future = RetryFuture<S, P, M, Request>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: Request) -> Self::Future {
        if let Some(retry) = &self.retry {
            if let Some(plan) = retry.begin() {
                let around = Surroundings::look();
                let context = self.protocol.context(&request);
                if !around.is_repeated && !context.is_some_and(CallContext::is_repeated) {
                    return self.call_and_keep(retry.clone(), plan, around, request);
                }
            }
        }
        self.call_once(request)
    }
}

impl<S, P, M> RetryService<S, P, M> {
    #[inline]
    fn call_once<Request>(&mut self, request: Request) -> RetryFuture<S, P, M, Request>
    where
        S: Service<P::Request>,
        P: Replay<Request, M> + Clone,
    {
        let request = self.protocol.pass(&self.mode, request);
        RetryFuture::once(self.inner.call(request), self.protocol.clone())
    }

    #[inline]
    fn call_and_keep<Request>(
        &mut self,
        retry: Retry,
        plan: Plan,
        around: Surroundings,
        mut request: Request,
    ) -> RetryFuture<S, P, M, Request>
    where
        S: Service<P::Request> + Clone,
        P: Replay<Request, M> + Clone,
        M: Clone,
    {
        let protocol = &self.protocol;
        match protocol.context(&request) {
            Some(context) => context.tally().add_attempt(),
            None if around.has_context => context::add_attempt(),
            None => {}
        }
        if !plan.retry_non_idempotent && !protocol.repeatable(&request) {
            retry.shared.books.add(book::NOT_REPEATABLE, 1);
            return self.call_once(request);
        }
        let is_idempotent = plan.retry_non_idempotent || protocol.idempotent(&request);
        let context = protocol.context_mut(&mut request).map(|context| {
            context.set_repeated();
            context.clone()
        });
        let (request, saved) = protocol.keep(&self.mode, request, plan.max_body);
        let Some(saved) = saved else {
            retry.shared.books.add(book::NOT_REPEATABLE, 1);
            return RetryFuture::once(self.inner.call(request), protocol.clone());
        };
        let deadline = context.as_ref().map_or(around.deadline, CallContext::deadline);
        let spare = Spare {
            service: self.inner.clone(),
            saved,
            mode: self.mode.clone(),
            context,
            course: Course::new(retry.shared, deadline, is_idempotent),
        };
        let in_attempt = InAttempt::enter(1);
        let first = self.inner.call(request);
        drop(in_attempt);
        RetryFuture::repeated(first, protocol.clone(), spare)
    }
}
