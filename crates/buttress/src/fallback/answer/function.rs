use std::{
    fmt,
    future::{self, Ready},
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;

use super::{Answer, Answered, Cause, FailedCall};
use crate::fallback::{Fallback, FallbackBuilder, Nothing};

/// What a fallback function returns: `None` has the caller get what the service said, `Some` or `Ok` is the answer,
/// and `Err` is the call's error instead of what it was.
pub trait Reply<Error> {
    /// The answer.
    type Response;

    /// The answer, the fallback's own failure, or nothing.
    fn into_reply(self) -> Option<Result<Self::Response, Error>>;
}

impl<T, E> Reply<E> for Option<T> {
    type Response = T;

    fn into_reply(self) -> Option<Result<T, E>> {
        self.map(Ok)
    }
}

impl<T, E> Reply<E> for Result<T, E> {
    type Response = T;

    fn into_reply(self) -> Option<Result<T, E>> {
        Some(self)
    }
}

fn answered<L, R, E>(reply: Option<Result<L, E>>, result: Result<R, E>) -> Answered<L, R, E> {
    match reply {
        Some(Ok(answer)) => Answered::Answer(answer),
        Some(Err(error)) => Answered::Failed(error),
        None => Answered::Declined(result),
    }
}

/// Answers by a function. The error is in the type so that the function need not name it.
pub struct With<F, E> {
    function: F,
    error: PhantomData<fn(E)>,
}

/// Answers by an asynchronous function.
pub struct WithAsync<F, E> {
    function: F,
    error: PhantomData<fn(E)>,
}

impl<F, E> With<F, E> {
    pub(in super::super) const fn new(function: F) -> Self {
        Self {
            function,
            error: PhantomData,
        }
    }
}

impl<F, E> WithAsync<F, E> {
    pub(in super::super) const fn new(function: F) -> Self {
        Self {
            function,
            error: PhantomData,
        }
    }
}

impl<F, E> Fallback<With<F, E>> {
    /// Answers with what `function` makes of the [`Cause`]: `Some` or `Ok` is the answer, `None` has the caller get
    /// what the service said, and `Err` is the call's error instead of what it was.
    ///
    /// ```
    /// use buttress::{RejectionKind, fallback::Fallback};
    ///
    /// let greeting = Fallback::with(|cause| match cause.rejection() {
    ///     Some(RejectionKind::CircuitOpen) => Some("We are away."),
    ///     _ => None,
    /// });
    /// # let never: buttress::fallback::FallbackBuilder<buttress::fallback::With<_, ()>> = greeting;
    /// ```
    pub fn with<O>(function: F) -> FallbackBuilder<With<F, E>>
    where
        F: Fn(Cause<'_, E>) -> O,
        O: Reply<E>,
    {
        FallbackBuilder::new(With::new(function), Nothing)
    }
}

impl<F, E> Fallback<WithAsync<F, E>> {
    /// Answers with what the future of `function` comes to, as in [`with`](Self::with).
    ///
    /// The [`Cause`] borrows the error, so the function takes from it what it needs before its future begins. It is
    /// outside of the call's time limits: have it keep to one of its own.
    pub fn with_async<G>(function: F) -> FallbackBuilder<WithAsync<F, E>>
    where
        F: Fn(Cause<'_, E>) -> G,
        G: Future,
        G::Output: Reply<E>,
    {
        FallbackBuilder::new(WithAsync::new(function), Nothing)
    }
}

impl<F, K, R, E, O> Answer<K, R, E> for With<F, E>
where
    F: Fn(Cause<'_, E, K>) -> O,
    O: Reply<E>,
{
    type Response = O::Response;
    type Future = Ready<Answered<O::Response, R, E>>;

    fn answer(&self, call: FailedCall<R, E, K>) -> Self::Future {
        let reply = (self.function)(Cause {
            outcome: call.outcome,
            error: call.result.as_ref().err(),
            kept: call.kept,
        });
        future::ready(answered(reply.into_reply(), call.result))
    }
}

impl<F, K, R, E, G> Answer<K, R, E> for WithAsync<F, E>
where
    F: Fn(Cause<'_, E, K>) -> G,
    G: Future,
    G::Output: Reply<E>,
{
    type Response = <G::Output as Reply<E>>::Response;
    type Future = AsyncAnswer<G, R, E>;

    fn answer(&self, call: FailedCall<R, E, K>) -> Self::Future {
        let future = (self.function)(Cause {
            outcome: call.outcome,
            error: call.result.as_ref().err(),
            kept: call.kept,
        });
        AsyncAnswer {
            future,
            result: Some(call.result),
        }
    }
}

pin_project! {
    /// The future of an asynchronous fallback function.
    ///
    /// It holds what the service said, for the caller to get should the function have nothing.
    #[must_use = "futures do nothing unless polled"]
    pub struct AsyncAnswer<G, R, E> {
        #[pin]
        future: G,
        // Taken when the function has decided.
        result: Option<Result<R, E>>,
    }
}

impl<G, R, E> Future for AsyncAnswer<G, R, E>
where
    G: Future,
    G::Output: Reply<E>,
{
    type Output = Answered<<G::Output as Reply<E>>::Response, R, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let reply = ready!(this.future.poll(cx)).into_reply();
        let Some(result) = this.result.take() else {
            panic!("`AsyncAnswer` polled after it was ready");
        };
        Poll::Ready(answered(reply, result))
    }
}

impl<F, E> fmt::Debug for With<F, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("With")
    }
}

impl<F, E> fmt::Debug for WithAsync<F, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WithAsync")
    }
}

impl<G, R, E> fmt::Debug for AsyncAnswer<G, R, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncAnswer").finish_non_exhaustive()
    }
}
