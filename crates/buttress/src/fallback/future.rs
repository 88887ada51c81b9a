use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;

use super::{
    Answer, Answered, FailedCall, Fallback, Keep, Nothing, Substitute,
    books::{End, Line},
};
use crate::{
    outcome::{Outcome, Protocol, Verdict},
    replay::Same,
};

/// A future of a result, by the name of its parts.
pub trait Outgoing: Future<Output = Result<Self::Response, Self::Error>> {
    /// Of `Ok`.
    type Response;
    /// Of `Err`.
    type Error;
}

impl<F, R, E> Outgoing for F
where
    F: Future<Output = Result<R, E>>,
{
    type Response = R;
    type Error = E;
}

pin_project! {
    /// The future of [`FallbackService`](super::FallbackService).
    ///
    /// The service's future is dropped before the fallback begins.
    ///
    /// # Cancel safety
    ///
    /// Dropping it drops the call, or the fallback, that is going on. Nothing goes on after that.
    #[must_use = "futures do nothing unless polled"]
    pub struct FallbackFuture<F, A, K, P, M, Request>
    where
        F: Outgoing,
        K: Keep<P, M, Request>,
        A: Answer<K::Given, F::Response, F::Error>,
    {
        #[pin]
        state: State<F, A::Future>,
        protocol: P,
        mode: M,
        // None: there is no fallback.
        spare: Option<Spare<A, K, K::Kept>>,
    }
}

/// The future of [`Fallback::call`].
pub type FallbackCall<F, A, P> = FallbackFuture<F, A, Nothing, P, Same, ()>;

pin_project! {
    #[project = StateProjection]
    enum State<F, G> {
        Calling {
            #[pin]
            call: F,
        },
        Answering {
            #[pin]
            answer: G,
            line: Line,
        },
    }
}

struct Spare<A, K, T> {
    fallback: Fallback<A, K>,
    // Taken when the fallback is given it.
    kept: Option<T>,
}

impl<F, A, K, P, M, Request> FallbackFuture<F, A, K, P, M, Request>
where
    F: Outgoing,
    K: Keep<P, M, Request>,
    A: Answer<K::Given, F::Response, F::Error>,
{
    #[inline]
    pub(super) fn new(call: F, protocol: P, mode: M, kept: Option<(Fallback<A, K>, K::Kept)>) -> Self {
        Self {
            state: State::Calling { call },
            protocol,
            mode,
            spare: kept.map(|(fallback, kept)| Spare {
                fallback,
                kept: Some(kept),
            }),
        }
    }
}

impl<F, A, K, P, M, Request> Future for FallbackFuture<F, A, K, P, M, Request>
where
    F: Outgoing,
    K: Keep<P, M, Request>,
    A: Answer<K::Given, F::Response, F::Error>,
    P: Protocol<F::Response, F::Error> + Substitute<F::Response, A::Response>,
{
    type Output = Result<P::Substituted, F::Error>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let StateProjection::Calling { call } = this.state.as_mut().project() {
            let result = ready!(call.poll(cx));
            // What is good, or good so far, is not moved about.
            let failed = match this.spare {
                Some(_) => this.protocol.verdict(&result),
                None => None,
            };
            let Some(outcome) = failed.filter(|o| o.verdict() != Verdict::Success) else {
                return Poll::Ready(result.map(P::pass));
            };
            let Some(spare) = this.spare else {
                return Poll::Ready(result.map(P::pass));
            };
            match spare.answer::<P, M, Request, _, _>(this.protocol, this.mode, outcome, result) {
                Ok(answer) => this.state.set(State::Answering {
                    answer,
                    line: Line::of(&outcome),
                }),
                Err(result) => return Poll::Ready(result.map(P::pass)),
            }
        }
        let (StateProjection::Answering { answer, line }, Some(spare)) = (this.state.project(), this.spare)
        else {
            unreachable!("only a fallback answers");
        };
        let shared = &spare.fallback.shared;
        Poll::Ready(match ready!(answer.poll(cx)) {
            Answered::Answer(local) => {
                shared.answered(*line);
                Ok(P::local(local))
            }
            Answered::Failed(error) => {
                shared.books.ended(End::Failed);
                Err(error)
            }
            Answered::Declined(result) => {
                shared.books.ended(End::Declined);
                result.map(P::pass)
            }
        })
    }
}

impl<A, K, T> Spare<A, K, T> {
    /// The future of the fallback, or the result back if it is not for it.
    #[cold]
    fn answer<P, M, Request, R, E>(
        &mut self,
        protocol: &P,
        mode: &M,
        outcome: Outcome,
        result: Result<R, E>,
    ) -> Result<A::Future, Result<R, E>>
    where
        K: Keep<P, M, Request, Kept = T>,
        A: Answer<K::Given, R, E>,
    {
        let shared = &self.fallback.shared;
        let options = shared.options.load();
        if !options.on.iter().any(|condition| condition.matches(&outcome)) {
            return Err(result);
        }
        let Some(kept) = self.kept.take() else {
            return Err(result);
        };
        match K::give(protocol, mode, kept, &outcome) {
            Some(kept) => Ok(options.answer.answer(FailedCall {
                outcome,
                result,
                kept,
            })),
            None => {
                shared.books.ended(End::NotRepeatable);
                Err(result)
            }
        }
    }
}

impl<F, A, K, P, M, Request> fmt::Debug for FallbackFuture<F, A, K, P, M, Request>
where
    F: Outgoing,
    K: Keep<P, M, Request>,
    A: Answer<K::Given, F::Response, F::Error>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Calling { .. } => "calling",
            State::Answering { .. } => "answering",
        };
        f.debug_struct("FallbackFuture")
            .field("state", &state)
            .finish_non_exhaustive()
    }
}
