use std::{
    fmt,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tokio::time::Sleep;

use super::{
    TimeoutBody, ledger,
    limit::{BodyLimits, Until},
    timer,
};
use crate::{
    clock,
    directory::Id,
    error::{CallError, Rejected},
    outcome::BodyProtocol,
};

pin_project! {
    /// The future of [`TimeoutService`](super::TimeoutService) and [`DeadlineService`](super::DeadlineService).
    ///
    /// When the time is over, the future inside is dropped in the same poll and this one ends with
    /// [`TimedOut`](crate::RejectionKind::TimedOut); polled again, it says so again. An answer that is there at
    /// that very moment is still taken.
    ///
    /// # Cancel safety
    ///
    /// As cancel safe as the future inside: it is dropped with this one, and the timer with it.
    #[must_use = "futures do nothing unless polled"]
    pub struct TimeoutFuture<F, P> {
        #[pin]
        state: State<F>,
        policy: Option<Id>,
        body: BodyLimits,
        protocol: PhantomData<fn() -> P>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<F> {
        Called {
            #[pin]
            inner: F,
            until: Until,
            // Made once the inner future is really pending.
            #[pin]
            timer: Option<Sleep>,
        },
        Refused {
            rejected: Rejected,
        },
    }
}

impl<F, P> TimeoutFuture<F, P> {
    #[inline]
    pub(super) fn called(inner: F, policy: Option<Id>, until: Until, body: BodyLimits) -> Self {
        let state = State::Called {
            inner,
            until,
            timer: None,
        };
        Self {
            state,
            policy,
            body,
            protocol: PhantomData,
        }
    }

    /// Of a policy that is off, or of a call that nothing limits.
    #[inline]
    pub(super) fn unlimited(inner: F) -> Self {
        Self::called(inner, None, Until::NEVER, BodyLimits::NONE)
    }

    /// Of a call that is not made.
    pub(super) fn refused(rejected: Rejected) -> Self {
        Self {
            state: State::Refused { rejected },
            policy: None,
            body: BodyLimits::NONE,
            protocol: PhantomData,
        }
    }
}

impl<F, P, R, E> Future for TimeoutFuture<F, P>
where
    F: Future<Output = Result<R, E>>,
    P: BodyProtocol<R>,
    E: CallError,
{
    type Output = Result<P::Response<TimeoutBody<P::Body>>, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let (policy, body) = (*this.policy, *this.body);
        let is_callers = match this.state.as_mut().project() {
            StateProjection::Called {
                inner,
                until,
                mut timer,
            } => {
                if let Poll::Ready(result) = inner.poll(cx) {
                    if timer.is_some() {
                        timer.set(None);
                    }
                    return Poll::Ready(result.map(|response| {
                        P::map_body(response, |inner| TimeoutBody::new(inner, policy, body))
                    }));
                }
                ready!(poll_limit(timer, *until, cx));
                until.is_callers()
            }
            StateProjection::Refused { rejected } => return Poll::Ready(Err(rejected.clone().into())),
        };
        let mut rejected = ledger::refuse(policy, ledger::Hit::TimedOut);
        if is_callers {
            rejected = rejected.blameless();
        }
        this.state.set(State::Refused {
            rejected: rejected.clone(),
        });
        Poll::Ready(Err(rejected.into()))
    }
}

/// Apart from `poll`, so that it is there once and not for each kind of service.
fn poll_limit(mut timer: Pin<&mut Option<Sleep>>, until: Until, cx: &mut Context<'_>) -> Poll<()> {
    if timer.is_none() {
        // A time limit that nobody looked at the clock for is counted from here: a call that does not have to
        // wait costs no clock read.
        match until.moment() {
            Some(moment) => timer.set(Some(timer::at(moment))),
            None => return Poll::Pending,
        }
    }
    match timer.as_pin_mut() {
        Some(timer) => clock::poll_over(timer, cx),
        None => Poll::Pending,
    }
}

impl<F, P> fmt::Debug for TimeoutFuture<F, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Called { .. } => "called",
            State::Refused { .. } => "refused",
        };
        f.debug_struct("TimeoutFuture")
            .field("state", &state)
            .finish_non_exhaustive()
    }
}
