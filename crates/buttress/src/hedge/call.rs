use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;

use super::{
    Hedge,
    course::Course,
    race::{Race, Runner},
};
use crate::{
    context::{self, Surroundings},
    outcome::{Outcome, Protocol},
};

pin_project! {
    /// A function that is called a second time if it is slow or fails, from [`Hedge::call`].
    #[must_use = "futures do nothing unless polled"]
    pub struct HedgeCall<A, F, P, T, E> {
        #[pin]
        race: Race<F, FunctionRunner<A, P>, T, E>,
        // Taken at the first poll.
        hedge: Option<Hedge>,
    }
}

/// Makes attempts with a function.
struct FunctionRunner<A, P> {
    attempt: A,
    protocol: P,
}

impl<A, F, P, T, E> HedgeCall<A, F, P, T, E> {
    pub(super) fn new(hedge: &Hedge, protocol: P, attempt: A) -> Self {
        Self {
            race: Race::new(None, FunctionRunner { attempt, protocol }, None),
            hedge: Some(hedge.clone()),
        }
    }
}

impl<A, F, P, T, E> Future for HedgeCall<A, F, P, T, E>
where
    A: FnMut(u32) -> F,
    F: Future<Output = Result<T, E>>,
    P: Protocol<T, E>,
{
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Some(Hedge { shared }) = this.hedge.take() {
            shared.begin();
            let around = Surroundings::look();
            let course = (!around.is_hedged).then(|| {
                context::add_first_attempt();
                Course::new(shared, around.deadline, around.attempt)
            });
            this.race.as_mut().begin(course, |runner| (runner.attempt)(1));
        }
        this.race.poll(cx)
    }
}

impl<A, F, P, T, E> Runner<F> for FunctionRunner<A, P>
where
    A: FnMut(u32) -> F,
    F: Future<Output = Result<T, E>>,
    P: Protocol<T, E>,
{
    type Response = T;
    type Error = E;

    fn unjudged(&self, output: Result<T, E>) -> Result<T, E> {
        output
    }

    fn judge(&self, output: Result<T, E>, _: &mut Context<'_>) -> (Result<T, E>, Option<Outcome>) {
        let outcome = self.protocol.verdict(&output);
        (output, outcome)
    }

    fn can_repeat(&self) -> bool {
        true
    }

    fn prepare(&mut self, _: &Course) -> bool {
        true
    }

    fn poll_second(&mut self, _: &mut Context<'_>) -> Poll<Result<F, E>> {
        context::add_attempt();
        Poll::Ready(Ok((self.attempt)(2)))
    }
}

impl<A, F, P, T, E> fmt::Debug for HedgeCall<A, F, P, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.hedge {
            Some(_) => "new",
            None => self.race.state(),
        };
        f.debug_struct("HedgeCall")
            .field("state", &state)
            .finish_non_exhaustive()
    }
}
