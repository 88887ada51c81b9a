use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tokio::time::Sleep;
use tower_service::Service;

use super::course::Course;
use crate::{
    context::{self, CallContext},
    outcome::Verdict,
    replay::{Peek, Replay},
};

pin_project! {
    /// The future of [`RetryService`](super::RetryService).
    ///
    /// # Cancel safety
    ///
    /// Dropping it drops the attempt that runs, or the wait. Nothing goes on after that.
    pub struct RetryFuture<S, P, M, Request>
    where
        S: Service<P::Request>,
        P: Replay<Request, M>,
    {
        #[pin]
        state: State<S::Future, P::Request>,
        protocol: P,
        // None: there is one attempt.
        spare: Option<Spare<S, P::Saved, M>>,
    }
}

pin_project! {
    // An attempt or a wait, in the same place.
    #[project = StateProjection]
    enum State<F, R> {
        Calling {
            #[pin]
            attempt: F,
        },
        Waiting {
            #[pin]
            sleep: Option<Sleep>,
            // Taken when it is sent.
            request: Option<R>,
        },
    }
}

/// What is kept for another attempt.
pub(super) struct Spare<S, V, M> {
    /// Not ready: its readiness is driven when it is needed.
    pub(super) service: S,
    pub(super) saved: V,
    pub(super) mode: M,
    pub(super) context: Option<CallContext>,
    pub(super) course: Course,
}

impl<S, P, M, Request> RetryFuture<S, P, M, Request>
where
    S: Service<P::Request>,
    P: Replay<Request, M>,
{
    #[inline]
    pub(super) fn once(attempt: S::Future, protocol: P) -> Self {
        Self {
            state: State::Calling { attempt },
            protocol,
            spare: None,
        }
    }

    #[inline]
    pub(super) fn repeated(attempt: S::Future, protocol: P, spare: Spare<S, P::Saved, M>) -> Self {
        Self {
            state: State::Calling { attempt },
            protocol,
            spare: Some(spare),
        }
    }
}

impl<S, P, M, Request> Future for RetryFuture<S, P, M, Request>
where
    S: Service<P::Request>,
    P: Replay<Request, M> + Peek<S::Response, S::Error>,
{
    type Output = Result<P::Peeked, S::Error>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let protocol = &*this.protocol;
        loop {
            match this.state.as_mut().project() {
                StateProjection::Calling { attempt } => {
                    let Some(spare) = this.spare else {
                        return attempt
                            .poll(cx)
                            .map(|result| result.map(|response| protocol.unread(response)));
                    };
                    let in_attempt = spare.course.enter();
                    let polled = attempt.poll(cx);
                    spare.course.leave(in_attempt);
                    let Poll::Ready(result) = polled else {
                        spare.course.start();
                        return Poll::Pending;
                    };
                    // What is good at first sight is not moved about.
                    if protocol
                        .verdict(&result)
                        .is_some_and(|o| o.verdict() == Verdict::Success)
                    {
                        spare.course.succeeded();
                        return Poll::Ready(result.map(|response| protocol.unread(response)));
                    }
                    let (result, outcome) = protocol.peek(result, cx);
                    let can_repeat = || protocol.can_repeat(&spare.saved);
                    let Some(wait) = spare.course.next(outcome, can_repeat) else {
                        return Poll::Ready(result);
                    };
                    let Some(request) = spare.prepare(protocol) else {
                        return Poll::Ready(result);
                    };
                    // The response goes first, and with it what it holds inside, then the attempt; then the wait begins.
                    drop(result);
                    this.state.set(State::Waiting {
                        sleep: None,
                        request: Some(request),
                    });
                    if !wait.is_zero() {
                        if let StateProjection::Waiting { mut sleep, .. } = this.state.as_mut().project() {
                            sleep.set(Some(tokio::time::sleep(wait)));
                        }
                    }
                }
                StateProjection::Waiting { sleep, request } => {
                    if let Some(sleep) = sleep.as_pin_mut() {
                        ready!(sleep.poll(cx));
                    }
                    let Some(spare) = this.spare else {
                        panic!("`RetryFuture` polled after it was ready");
                    };
                    let in_attempt = spare.course.enter();
                    ready!(spare.service.poll_ready(cx))?;
                    let Some(request) = request.take() else {
                        panic!("`RetryFuture` polled after it was ready");
                    };
                    match &spare.context {
                        Some(context) => context.tally().add_attempt(),
                        None => context::add_attempt(),
                    }
                    let attempt = spare.service.call(request);
                    spare.course.leave(in_attempt);
                    this.state.set(State::Calling { attempt });
                }
            }
        }
    }
}

impl<S, V, M> Spare<S, V, M> {
    /// The request of the next attempt, which knows which it is.
    fn prepare<P, Request>(&self, protocol: &P) -> Option<P::Request>
    where
        P: Replay<Request, M, Saved = V>,
    {
        let mut request = protocol.again(&self.mode, &self.saved)?;
        if let Some(context) = &self.context {
            let mut context = context.clone();
            context.set_attempt(self.course.attempt());
            // Where there is a context in the request, there is room for one.
            let _ = protocol.set_attempt_context(&mut request, context);
        }
        if self.course.announces() {
            protocol.announce_attempt(&mut request, self.course.attempt());
        }
        Some(request)
    }
}

impl<S, P, M, Request> fmt::Debug for RetryFuture<S, P, M, Request>
where
    S: Service<P::Request>,
    P: Replay<Request, M>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Calling { .. } => "calling",
            State::Waiting { .. } => "waiting",
        };
        f.debug_struct("RetryFuture")
            .field("state", &state)
            .field("attempt", &self.spare.as_ref().map_or(1, |s| s.course.attempt()))
            .finish_non_exhaustive()
    }
}
