use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use pin_project_lite::pin_project;
use tower_service::Service;

use super::{Quota, QuotaProtocol, RateLimiter, Store, StorePermit};
use crate::{
    clock::{self, Instant},
    context,
    error::{CallError, Rejected},
    outcome::{RequestProtocol, Verdict},
};

pin_project! {
    /// The future of [`RateLimitService`](super::RateLimitService).
    ///
    /// # Cancel safety
    ///
    /// Dropped before the inner service was called, it leaves the line or gives its permits back. Dropped after that it
    /// has spent them, unless the inner service has answered that the call got no further than to another layer.
    pub struct RateLimitFuture<S, Request, P, L = RateLimiter>
    where
        S: Service<Request>,
        L: Store,
    {
        #[pin]
        state: State<S, Request, S::Future, S::Error, L::Wait, L::Permit>,
        protocol: P,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<S, R, F, E, W, H: StorePermit> {
        Calling {
            #[pin]
            inner: F,
            // What has been spent. Taken when the answer is there.
            permit: Option<H>,
        },
        Waiting {
            #[pin]
            wait: W,
            // Taken when the turn has come.
            start: Option<Start<S, R>>,
            since: Instant,
        },
        Readying {
            permit: Unspent<H>,
            // Taken when the service is called.
            start: Option<Start<S, R>>,
        },
        Refused { rejected: Option<Rejected> },
        Failed { error: Option<E> },
    }
}

/// What a call that has not begun will begin with.
pub(super) struct Start<S, R> {
    pub(super) service: S,
    pub(super) request: R,
}

/// A permit of a call that has not begun: it goes back unless it is spent.
pub(super) struct Unspent<H: StorePermit>(Option<H>);

impl<H: StorePermit> Unspent<H> {
    pub(super) fn new(permit: H) -> Self {
        Self(Some(permit))
    }

    pub(super) fn spend(mut self) -> Option<H> {
        self.0.take()
    }

    fn take(&mut self) -> Self {
        Self(self.0.take())
    }
}

impl<H: StorePermit> Drop for Unspent<H> {
    fn drop(&mut self) {
        if let Some(permit) = self.0.take() {
            permit.give_back();
        }
    }
}

impl<S, Request, P, L> RateLimitFuture<S, Request, P, L>
where
    S: Service<Request>,
    L: Store,
{
    #[inline]
    pub(super) fn calling(inner: S::Future, permit: Option<L::Permit>, protocol: P) -> Self {
        let state = State::Calling { inner, permit };
        Self { state, protocol }
    }

    pub(super) fn waiting(wait: L::Wait, start: Start<S, Request>, protocol: P) -> Self {
        let (start, since) = (Some(start), clock::now());
        let state = State::Waiting { wait, start, since };
        Self { state, protocol }
    }

    pub(super) fn readying(permit: Unspent<L::Permit>, start: Start<S, Request>, protocol: P) -> Self {
        let start = Some(start);
        let state = State::Readying { permit, start };
        Self { state, protocol }
    }

    pub(super) fn refused(rejected: Rejected, protocol: P) -> Self {
        let rejected = Some(rejected);
        let state = State::Refused { rejected };
        Self { state, protocol }
    }

    pub(super) fn failed(error: S::Error, protocol: P) -> Self {
        let state = State::Failed { error: Some(error) };
        Self { state, protocol }
    }
}

impl<S, Request, P, L> Future for RateLimitFuture<S, Request, P, L>
where
    S: Service<Request>,
    S::Error: CallError,
    P: RequestProtocol<Request> + QuotaProtocol<S::Response>,
    L: Store,
{
    type Output = Result<S::Response, S::Error>;

    // Short enough to be where it is awaited, and with one way through for an answer: where two ways meet it would have
    // to be in memory, and be waited for.
    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if !matches!(self.state, State::Calling { .. }) {
            ready!(self.as_mut().poll_before(cx))?;
        }
        let this = self.project();
        let StateProjection::Calling { inner, permit } = this.state.project() else {
            panic!("`RateLimitFuture` polled after it was ready");
        };
        match ready!(inner.poll(cx)) {
            Ok(response) => match permit.as_ref().and_then(L::Permit::quota) {
                None => Poll::Ready(Ok(response)),
                Some(quota) => Poll::Ready(Ok(announced(response, &quota, this.protocol))),
            },
            Err(error) => {
                settle(&error, permit.take());
                Poll::Ready(Err(error))
            }
        }
    }
}

impl<S, Request, P, L> RateLimitFuture<S, Request, P, L>
where
    S: Service<Request>,
    S::Error: CallError,
    P: RequestProtocol<Request>,
    L: Store,
{
    /// Until the inner service is called, or it is clear that it will not be.
    #[inline(never)]
    fn poll_before(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        let mut this = self.project();
        loop {
            let next = match this.state.as_mut().project() {
                StateProjection::Calling { .. } => return Poll::Ready(Ok(())),
                StateProjection::Waiting { wait, start, since } => {
                    let turn = ready!(wait.poll(cx));
                    note_queued(this.protocol, start.as_ref(), clock::now() - *since);
                    match turn {
                        Ok(permit) => State::Readying {
                            permit: Unspent::new(permit),
                            start: start.take(),
                        },
                        Err(rejected) => {
                            this.state.set(State::Refused { rejected: None });
                            return Poll::Ready(Err(rejected.into()));
                        }
                    }
                }
                StateProjection::Readying { permit, start } => {
                    let Some(waiting) = start.as_mut() else {
                        panic!("`RateLimitFuture` polled after it was ready");
                    };
                    if let Err(error) = ready!(waiting.service.poll_ready(cx)) {
                        // What was taken goes back with this.
                        drop(permit.take());
                        *start = None;
                        return Poll::Ready(Err(error));
                    }
                    let permit = permit.take();
                    let Some(Start { mut service, request }) = start.take() else {
                        panic!("`RateLimitFuture` polled after it was ready");
                    };
                    State::Calling {
                        permit: permit.spend(),
                        inner: service.call(request),
                    }
                }
                StateProjection::Refused { rejected } => match rejected.take() {
                    Some(rejected) => return Poll::Ready(Err(rejected.into())),
                    None => panic!("`RateLimitFuture` polled after it was ready"),
                },
                StateProjection::Failed { error } => match error.take() {
                    Some(error) => return Poll::Ready(Err(error)),
                    None => panic!("`RateLimitFuture` polled after it was ready"),
                },
            };
            this.state.set(next);
        }
    }
}

#[cold]
fn announced<R, P: QuotaProtocol<R>>(mut response: R, quota: &Quota, protocol: &P) -> R {
    protocol.announce(&mut response, quota);
    response
}

/// Notes in the call's tally, wherever that is, how long it has waited.
fn note_queued<P, S, R>(protocol: &P, start: Option<&Start<S, R>>, time: Duration)
where
    P: RequestProtocol<R>,
{
    match start.and_then(|start| protocol.context(&start.request)) {
        Some(context) => context.tally().add_queued(time),
        None => context::add_queued(time),
    }
}

/// What becomes of a permit when the answer is an error.
fn settle<E: CallError, H: StorePermit>(error: &E, permit: Option<H>) {
    // A refusal by a layer further in that says nothing about the service: it was never asked.
    let is_neutral = error.rejected().is_some_and(|r| r.verdict() == Verdict::Neutral);
    if let Some(permit) = permit.filter(|_| is_neutral) {
        permit.give_back();
    }
}

impl<S, Request, P, L> fmt::Debug for RateLimitFuture<S, Request, P, L>
where
    S: Service<Request>,
    L: Store,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Calling { .. } => "calling",
            State::Waiting { .. } => "waiting",
            State::Readying { .. } => "readying",
            State::Refused { .. } => "refused",
            State::Failed { .. } => "failed",
        };
        f.debug_struct("RateLimitFuture")
            .field("state", &state)
            .finish_non_exhaustive()
    }
}
