use std::{
    fmt,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;

use super::{Answer, Direction, TraceToken};
use crate::context::{CallContext, Scoped};

pin_project! {
    /// The future of [`TraceIdService`](super::TraceIdService).
    ///
    /// # Cancel safety
    ///
    /// As cancel safe as the future inside. Dropped before that has ended, the call was cancelled, and the access log
    /// says so.
    #[must_use = "futures do nothing unless polled"]
    pub struct TraceIdFuture<F, P, D> {
        #[pin]
        inner: Scoped<F>,
        protocol: P,
        // None: nobody listens.
        token: Option<TraceToken>,
        answers: bool,
        direction: PhantomData<fn() -> D>,
    }
}

impl<F, P, D> TraceIdFuture<F, P, D> {
    #[inline]
    pub(super) fn new(inner: Scoped<F>, protocol: P, token: Option<TraceToken>, answers: bool) -> Self {
        Self {
            inner,
            protocol,
            token,
            answers,
            direction: PhantomData,
        }
    }

    /// Of a policy that is off.
    #[inline]
    pub(super) fn untraced(inner: F, protocol: P) -> Self {
        Self::new(Scoped::new(None, inner), protocol, None, false)
    }
}

impl<F, P, D, R, E> Future for TraceIdFuture<F, P, D>
where
    F: Future<Output = Result<R, E>>,
    P: Answer<R>,
    D: Direction<P, R, E>,
{
    type Output = Result<D::Response, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if this.token.is_some() {
            return poll_told::<_, _, D, _, _>(this.inner, this.protocol, this.token, *this.answers, cx);
        }
        // Of a call that nobody hears of. Apart from the other, so that the compiler sees that nothing is watched, and
        // moves the response where it goes instead of from hand to hand.
        let mut result = ready!(this.inner.as_mut().poll(cx));
        let context = this.inner.as_mut().take_context();
        if *this.answers {
            answer(this.protocol, &mut result, &context);
        }
        Poll::Ready(D::observe(this.protocol, result, None, context))
    }
}

#[inline(never)]
fn poll_told<F, P, D, R, E>(
    mut inner: Pin<&mut Scoped<F>>,
    protocol: &P,
    token: &mut Option<TraceToken>,
    answers: bool,
    cx: &mut Context<'_>,
) -> Poll<Result<D::Response, E>>
where
    F: Future<Output = Result<R, E>>,
    P: Answer<R>,
    D: Direction<P, R, E>,
{
    let mut result = ready!(match token {
        None => inner.as_mut().poll(cx),
        Some(token) => token.in_span(|| inner.as_mut().poll(cx)),
    });
    let context = inner.as_mut().take_context();
    if answers {
        answer(protocol, &mut result, &context);
    }
    Poll::Ready(D::observe(protocol, result, token.take(), context))
}

#[inline]
fn answer<P: Answer<R>, R, E>(protocol: &P, result: &mut Result<R, E>, context: &Option<CallContext>) {
    let trace = context.as_ref().and_then(CallContext::trace);
    if let (Ok(response), Some(trace)) = (result, trace) {
        protocol.answer(response, trace);
    }
}

impl<F, P, D> fmt::Debug for TraceIdFuture<F, P, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TraceIdFuture")
            .field("context", &self.inner.context())
            .finish_non_exhaustive()
    }
}
