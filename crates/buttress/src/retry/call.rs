use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tokio::time::Sleep;

use super::{Retry, course::Course};
use crate::{
    context::{self, Surroundings},
    outcome::Protocol,
};

pin_project! {
    /// A function that is called until it succeeds, from [`Retry::call`].
    #[must_use = "futures do nothing unless polled"]
    pub struct RetryCall<A, F, P> {
        attempt: A,
        #[pin]
        state: State<F>,
        protocol: P,
        retry: Retry,
        // None before the first attempt, and if there is only one.
        course: Option<Course>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<F> {
        // Nothing has been done yet.
        New,
        Calling {
            #[pin]
            future: F,
        },
        Waiting {
            #[pin]
            sleep: Option<Sleep>,
        },
    }
}

impl<A, F, P> RetryCall<A, F, P> {
    pub(super) fn new(retry: &Retry, protocol: P, attempt: A) -> Self {
        Self {
            attempt,
            state: State::New,
            protocol,
            retry: retry.clone(),
            course: None,
        }
    }
}

impl<A, F, P, T, E> Future for RetryCall<A, F, P>
where
    A: FnMut(u32) -> F,
    F: Future<Output = Result<T, E>>,
    P: Protocol<T, E>,
{
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.state.as_mut().project() {
                StateProjection::New => {
                    let around = Surroundings::look();
                    if this.retry.begin().is_some() && !around.is_repeated {
                        *this.course = Some(Course::new(this.retry.shared.clone(), around.deadline, true));
                    }
                    let future = begin(this.attempt, this.course.as_ref());
                    this.state.set(State::Calling { future });
                }
                StateProjection::Calling { future } => {
                    let Some(course) = this.course else {
                        return future.poll(cx);
                    };
                    let in_attempt = course.enter();
                    let polled = future.poll(cx);
                    course.leave(in_attempt);
                    let Poll::Ready(result) = polled else {
                        course.start();
                        return Poll::Pending;
                    };
                    let Some(wait) = course.next(this.protocol.verdict(&result), || true) else {
                        return Poll::Ready(result);
                    };
                    drop(result);
                    this.state.set(State::Waiting { sleep: None });
                    if !wait.is_zero() {
                        if let StateProjection::Waiting { mut sleep } = this.state.as_mut().project() {
                            sleep.set(Some(tokio::time::sleep(wait)));
                        }
                    }
                }
                StateProjection::Waiting { sleep } => {
                    if let Some(sleep) = sleep.as_pin_mut() {
                        ready!(sleep.poll(cx));
                    }
                    let future = begin(this.attempt, this.course.as_ref());
                    this.state.set(State::Calling { future });
                }
            }
        }
    }
}

fn begin<A, F>(attempt: &mut A, course: Option<&Course>) -> F
where
    A: FnMut(u32) -> F,
{
    let Some(course) = course else {
        return attempt(1);
    };
    context::add_attempt();
    let _in_attempt = course.enter();
    attempt(course.attempt())
}

impl<A, F, P> fmt::Debug for RetryCall<A, F, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::New => "new",
            State::Calling { .. } => "calling",
            State::Waiting { .. } => "waiting",
        };
        f.debug_struct("RetryCall")
            .field("state", &state)
            .field("attempt", &self.course.as_ref().map_or(1, Course::attempt))
            .finish_non_exhaustive()
    }
}
