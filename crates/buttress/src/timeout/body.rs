use std::pin::Pin;
#[cfg(feature = "http")]
use std::task::{Context, Poll, ready};

#[cfg(feature = "http")]
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::Sleep;

use super::limit::BodyLimits;
#[cfg(feature = "http")]
use super::{
    ledger::{self, Hit},
    timer,
};
#[cfg(feature = "http")]
use crate::{clock, error::BoxError};
use crate::{clock::Instant, directory::Id};

pin_project! {
    /// A response body that breaks off with an error when it takes too long.
    ///
    /// Then it yields exactly one error, a boxed [`Rejected`](crate::Rejected) that says
    /// [`TimedOut`](crate::RejectionKind::TimedOut), and ends; the body inside is dropped in the same poll. The
    /// error is a `BoxError` for the reasons that `RecoverBody` gives: the body's own error cannot be made from
    /// nothing, and a body that was cut off must not look whole. Errors of the body itself are converted, not
    /// wrapped.
    ///
    /// # What counts as waiting
    ///
    /// A limit only ever cuts off *waiting*: a frame that is there goes through, however late it is asked for. The
    /// time of silence runs from the poll that found nothing there, so a reader that takes its time does not make
    /// an idle sender. The time for the whole body runs from the headers. It follows that a reader who does not ask is
    /// never cut off: of a server, a client that does not read is the business of whoever writes to its connection.
    ///
    /// # Cost
    ///
    /// With no limit, nothing but a few words that are moved with the response. With one, a frame that is there
    /// costs a store; one that has to be waited for, a clock read. The timer is made when the body first has to
    /// wait, and then in an allocation of its own: a response is moved once through every layer, and a tenth of a
    /// kilobyte more each time would cost all those that never wait. It is not wound up again for each frame but
    /// when it goes off too early, which is at most once in the time of a limit.
    #[derive(Debug)]
    #[cfg_attr(not(feature = "http"), allow(dead_code))]
    pub struct TimeoutBody<B> {
        // `None` once its time was over.
        #[pin]
        inner: Option<B>,
        policy: Option<Id>,
        // Nanoseconds of silence; zero is off.
        idle: u64,
        // Until when the whole body may take.
        until: Option<Instant>,
        waiting: Option<Pin<Box<Waiting>>>,
    }
}

pin_project! {
    /// What a body has that had to be waited for.
    #[derive(Debug)]
    #[cfg_attr(not(feature = "http"), allow(dead_code))]
    struct Waiting {
        // Until when there may be silence, while there is.
        silent_until: Option<Instant>,
        #[pin]
        timer: Sleep,
    }
}

impl<B> TimeoutBody<B> {
    #[inline]
    pub(super) fn new(inner: B, policy: Option<Id>, limits: BodyLimits) -> Self {
        Self {
            inner: Some(inner),
            policy,
            idle: limits.idle,
            until: limits.total.moment(),
            waiting: None,
        }
    }

    #[cfg(all(test, feature = "http", not(loom)))]
    pub(super) fn take(self) -> Option<B> {
        self.inner
    }
}

/// A default body without limits. The `with_interceptor` of tonic's generated clients asks for it, to answer a call
/// that its interceptor refused.
impl<B: Default> Default for TimeoutBody<B> {
    fn default() -> Self {
        Self::new(B::default(), None, BodyLimits::NONE)
    }
}

#[cfg(feature = "http")]
impl<B> Body for TimeoutBody<B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    type Data = B::Data;
    type Error = BoxError;

    #[inline]
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, BoxError>>> {
        let mut this = self.project();
        let Some(inner) = this.inner.as_mut().as_pin_mut() else {
            return Poll::Ready(None);
        };
        if let Poll::Ready(frame) = inner.poll_frame(cx) {
            if let Some(waiting) = this.waiting {
                if matches!(&frame, Some(Ok(frame)) if frame.is_data()) {
                    waiting.as_mut().over();
                } else {
                    *this.waiting = None;
                }
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let limit = ready!(poll_limit(this.waiting, *this.idle, *this.until, cx));
        *this.waiting = None;
        let rejected = ledger::refuse(*this.policy, limit);
        this.inner.set(None);
        Poll::Ready(Some(Err(rejected.into())))
    }

    #[inline]
    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(B::is_end_stream)
    }

    #[inline]
    fn size_hint(&self) -> SizeHint {
        self.inner
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), B::size_hint)
    }
}

#[cfg(feature = "http")]
impl Waiting {
    /// The silence is over. The timer stays: it is set anew when it goes off too early.
    fn over(self: Pin<&mut Self>) {
        *self.project().silent_until = None;
    }
}

/// Which limit has been reached. Apart from `poll_frame`, so that it is there once and not for each kind of body.
#[cfg(feature = "http")]
fn poll_limit(
    waiting: &mut Option<Pin<Box<Waiting>>>,
    idle: u64,
    until: Option<Instant>,
    cx: &mut Context<'_>,
) -> Poll<Hit> {
    let silent_until = match waiting.as_ref().and_then(|waiting| waiting.silent_until) {
        None if idle > 0 => Some(timer::in_nanos(idle)),
        silent_until => silent_until,
    };
    let (moment, limit) = match (silent_until, until) {
        (None, None) => return Poll::Pending,
        (Some(silent), Some(until)) if silent < until => (silent, Hit::BodyIdle),
        (_, Some(until)) => (until, Hit::BodyTotal),
        (Some(silent), None) => (silent, Hit::BodyIdle),
    };
    let waiting = waiting.get_or_insert_with(|| {
        Box::pin(Waiting {
            silent_until,
            timer: timer::at(moment),
        })
    });
    let waiting = waiting.as_mut().project();
    *waiting.silent_until = silent_until;
    let mut timer = waiting.timer;
    // From poll to poll the moment only moves away: a timer that is set is never too late. When one goes off that
    // was set in an earlier silence, it is set anew.
    debug_assert!(timer.deadline() <= moment);
    loop {
        ready!(clock::poll_over(timer.as_mut(), cx));
        if timer.deadline() >= moment {
            return Poll::Ready(limit);
        }
        timer.as_mut().reset(moment);
    }
}

#[cfg(all(test, feature = "http", not(loom)))]
mod tests;
