use std::task::{Context, Poll};

use tower_service::Service;

use super::{
    Hedge,
    course::Course,
    future::{HedgeFuture, Spare},
    shared::book,
};
use crate::{
    context::{self, CallContext, Surroundings},
    outcome::Plain,
    replay::{Peek, Replay, Same},
};

/// A service whose calls are hedged.
///
/// Its readiness is that of the inner service, and the first attempt is made by the inner service that is ready. For
/// the second the future keeps a clone of it, whose readiness it drives when the time has come.
#[derive(Clone, Debug)]
pub struct HedgeService<S, P = Plain, M = Same> {
    inner: S,
    hedge: Option<Hedge>,
    protocol: P,
    mode: M,
}

impl<S, P, M> HedgeService<S, P, M> {
    pub(super) fn new(inner: S, hedge: Option<Hedge>, protocol: P, mode: M) -> Self {
        Self {
            inner,
            hedge,
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

    /// The service inside, without the hedge.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, P, M, Request> Service<Request> for HedgeService<S, P, M>
where
    S: Service<P::Request> + Clone,
    P: Replay<Request, M> + Peek<S::Response, S::Error>,
    M: Clone,
{
    type Response = P::Peeked;
    type Error = S::Error;
    type Future = HedgeFuture<S, P, M, Request>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: Request) -> Self::Future {
        if let Some(hedge) = &self.hedge {
            hedge.shared.begin();
            let around = Surroundings::look();
            let context = self.protocol.context(&request);
            if !around.is_hedged && !context.is_some_and(CallContext::is_hedged) {
                return self.call_and_keep(hedge.clone(), around, request);
            }
        }
        self.call_once(request)
    }
}

impl<S, P, M> HedgeService<S, P, M> {
    #[inline]
    fn call_once<Request>(&mut self, request: Request) -> HedgeFuture<S, P, M, Request>
    where
        S: Service<P::Request>,
        P: Replay<Request, M> + Peek<S::Response, S::Error>,
    {
        let request = self.protocol.pass(&self.mode, request);
        HedgeFuture::once(self.inner.call(request), self.protocol.clone())
    }

    #[inline]
    fn call_and_keep<Request>(
        &mut self,
        hedge: Hedge,
        around: Surroundings,
        mut request: Request,
    ) -> HedgeFuture<S, P, M, Request>
    where
        S: Service<P::Request> + Clone,
        P: Replay<Request, M> + Peek<S::Response, S::Error>,
        M: Clone,
    {
        let protocol = &self.protocol;
        let shared = hedge.shared;
        if !protocol.idempotent(&request) && !shared.hedges_all_the_same(|| protocol.route(&request)) {
            shared.books.add(book::NOT_REPEATABLE, 1);
            return self.call_once(request);
        }
        let context = protocol.context_mut(&mut request).map(|context| {
            // A retry further in would multiply the second attempt.
            context.set_repeated();
            context.set_hedged();
            context.clone()
        });
        let (request, saved) = protocol.keep(&self.mode, request, shared.max_body());
        let Some(saved) = saved else {
            shared.books.add(book::NOT_REPEATABLE, 1);
            return HedgeFuture::once(self.inner.call(request), protocol.clone());
        };
        match &context {
            Some(context) => context.tally().add_first_attempt(),
            None if around.has_context => context::add_first_attempt(),
            None => {}
        }
        let (deadline, attempt) = match &context {
            Some(context) => (context.deadline(), context.attempt()),
            None => (around.deadline, around.attempt),
        };
        let course = Course::new(shared, deadline, attempt);
        let spare = Spare {
            service: self.inner.clone(),
            saved,
            mode: self.mode.clone(),
            context,
            request: None,
        };
        let in_attempt = course.enter_first();
        let first = self.inner.call(request);
        drop(in_attempt);
        HedgeFuture::hedged(first, protocol.clone(), spare, course)
    }
}
