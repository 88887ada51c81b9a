use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tower_service::Service;

use super::{
    course::Course,
    race::{Race, Runner},
};
use crate::{
    context::{self, CallContext},
    outcome::{Outcome, Verdict},
    replay::{Peek, Replay},
};

pin_project! {
    /// The future of [`HedgeService`](super::HedgeService).
    ///
    /// Once it has a result it holds neither attempt any more: the loser is dropped in the very poll in which the
    /// winner is known.
    ///
    /// # Cancel safety
    ///
    /// Dropping it drops both attempts and the timer. Nothing goes on after that.
    pub struct HedgeFuture<S, P, M, Request>
    where
        S: Service<P::Request>,
        P: Replay<Request, M>,
        P: Peek<S::Response, S::Error>,
    {
        #[pin]
        race: Race<S::Future, ServiceRunner<S, P, M, Request>, P::Peeked, S::Error>,
    }
}

/// Makes attempts with a service.
pub(super) struct ServiceRunner<S, P: Replay<Request, M>, M, Request> {
    protocol: P,
    // None: there is one attempt.
    spare: Option<Spare<S, P::Saved, P::Request, M>>,
}

/// What is kept for the second attempt.
pub(super) struct Spare<S, V, R, M> {
    /// Not ready: its readiness is driven when it is needed.
    pub(super) service: S,
    pub(super) saved: V,
    pub(super) mode: M,
    pub(super) context: Option<CallContext>,
    /// Made when it is needed, taken when it is sent.
    pub(super) request: Option<Box<R>>,
}

impl<S, P, M, Request> HedgeFuture<S, P, M, Request>
where
    S: Service<P::Request>,
    P: Replay<Request, M> + Peek<S::Response, S::Error>,
{
    #[inline]
    pub(super) fn once(attempt: S::Future, protocol: P) -> Self {
        let runner = ServiceRunner {
            protocol,
            spare: None,
        };
        Self {
            race: Race::new(Some(attempt), runner, None),
        }
    }

    #[inline]
    pub(super) fn hedged(
        attempt: S::Future,
        protocol: P,
        spare: Spare<S, P::Saved, P::Request, M>,
        course: Course,
    ) -> Self {
        let runner = ServiceRunner {
            protocol,
            spare: Some(spare),
        };
        Self {
            race: Race::new(Some(attempt), runner, Some(course)),
        }
    }
}

impl<S, P, M, Request> Future for HedgeFuture<S, P, M, Request>
where
    S: Service<P::Request>,
    P: Replay<Request, M> + Peek<S::Response, S::Error>,
{
    type Output = Result<P::Peeked, S::Error>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().race.poll(cx)
    }
}

impl<S, P, M, Request> Runner<S::Future> for ServiceRunner<S, P, M, Request>
where
    S: Service<P::Request>,
    P: Replay<Request, M> + Peek<S::Response, S::Error>,
{
    type Response = P::Peeked;
    type Error = S::Error;

    #[inline]
    fn unjudged(&self, output: Result<S::Response, S::Error>) -> Result<P::Peeked, S::Error> {
        output.map(|response| self.protocol.unread(response))
    }

    #[inline]
    fn judge(
        &self,
        output: Result<S::Response, S::Error>,
        cx: &mut Context<'_>,
    ) -> (Result<P::Peeked, S::Error>, Option<Outcome>) {
        match self.protocol.verdict(&output) {
            // What is good at first sight is not moved about.
            Some(outcome) if outcome.verdict() == Verdict::Success => (self.unjudged(output), Some(outcome)),
            _ => self.protocol.peek(output, cx),
        }
    }

    fn can_repeat(&self) -> bool {
        self.spare
            .as_ref()
            .is_some_and(|spare| self.protocol.can_repeat(&spare.saved))
    }

    fn prepare(&mut self, course: &Course) -> bool {
        let Some(spare) = &mut self.spare else {
            return false;
        };
        let Some(mut request) = self.protocol.again(&spare.mode, &spare.saved) else {
            return false;
        };
        if let Some(context) = &spare.context {
            let mut context = context.clone();
            context.set_attempt(course.second());
            // Where there is a context in the request, there is room for one.
            let _ = self.protocol.set_attempt_context(&mut request, context);
        }
        if course.announces() {
            self.protocol.announce_attempt(&mut request, course.second());
        }
        spare.request = Some(Box::new(request));
        true
    }

    fn poll_second(&mut self, cx: &mut Context<'_>) -> Poll<Result<S::Future, S::Error>> {
        let Some(spare) = &mut self.spare else {
            panic!("a second attempt was begun that was not prepared");
        };
        if let Err(error) = ready!(spare.service.poll_ready(cx)) {
            return Poll::Ready(Err(error));
        }
        let Some(request) = spare.request.take() else {
            panic!("a second attempt was begun twice");
        };
        match &spare.context {
            Some(context) => context.tally().add_attempt(),
            None => context::add_attempt(),
        }
        Poll::Ready(Ok(spare.service.call(*request)))
    }

    #[inline]
    fn stop(&mut self) {
        self.spare = None;
    }
}

impl<S, P, M, Request> fmt::Debug for HedgeFuture<S, P, M, Request>
where
    S: Service<P::Request>,
    P: Replay<Request, M> + Peek<S::Response, S::Error>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HedgeFuture")
            .field("state", &self.race.state())
            .finish_non_exhaustive()
    }
}
