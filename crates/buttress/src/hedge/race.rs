//! Two attempts at one call, the second made if the first is slow or fails.
//!
//! ```text
//!  first    running ──▶ has answered: the call is over, the second attempt is dropped
//!              │
//!              └──────▶ has failed: the second starts at once, or is waited for
//!
//!  second   idle ──▶ waiting ──▶ starting ──▶ running ──▶ has answered: the call is over, the first is dropped
//!             │     for its time  its service    │
//!             │         │         is made ready  └──────▶ has failed, or was refused: over
//!             └─────────┴──▶ dormant: no time is known, or it came and a second attempt was not possible;
//!                            only a failure of the first can start it now
//! ```
//!
//! # Which result the caller gets
//!
//! The first answer. If there is none, that of the first attempt, as if there had been no other: what the second says
//! in its place (a circuit that is open, a queue that is full) is about an attempt that the caller knows nothing of.
//!
//! With one exception. A failure that is a *response* may hold something for as long as it lives: a connection, or the
//! place in a queue that the second attempt waits for. So it is kept only as long as this poll lasts, which is enough
//! for a second attempt that is refused at once; when that has to wait, the response goes, and if the second fails as
//! well, the caller gets what that says. An error holds nothing and is kept; so is a response by which the service
//! forbids to be called again, because nothing may override that.
//!
//! # Where it is kept
//!
//! The first attempt is in the future, the second in a box of its own, and so are its request and a failure that is kept:
//! few calls ever have them, and each layer outside would move the room for them with every call.

use std::{
    ops::ControlFlow,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tokio::time::Sleep;

use super::course::{Course, is_final};
use crate::{clock, outcome::Outcome};

/// What the attempts of a race are made with, and judged by.
pub(super) trait Runner<F: Future> {
    type Response;
    type Error;

    /// An output that nobody is to judge.
    fn unjudged(&self, output: F::Output) -> Result<Self::Response, Self::Error>;

    /// An output and its verdict; `None` if it is good so far.
    fn judge(
        &self,
        output: F::Output,
        cx: &mut Context<'_>,
    ) -> (Result<Self::Response, Self::Error>, Option<Outcome>);

    /// Whether all is there that a second attempt needs.
    fn can_repeat(&self) -> bool;

    /// Makes the second attempt's request, which knows which it is. `false` if that cannot be.
    fn prepare(&mut self, course: &Course) -> bool;

    /// Makes what was prepared an attempt as soon as that is possible.
    fn poll_second(&mut self, cx: &mut Context<'_>) -> Poll<Result<F, Self::Error>>;

    /// Lets go of all that a second attempt would need, its place in a queue too.
    fn stop(&mut self) {}
}

pin_project! {
    pub(super) struct Race<F, R, T, E> {
        // None once it has ended.
        #[pin]
        first: Option<F>,
        #[pin]
        second: Second<F>,
        // The failure of the first attempt, while the second is on its way.
        kept: Option<Box<Result<T, E>>>,
        pub(super) runner: R,
        // None: there is one attempt.
        course: Option<Course>,
    }
}

pin_project! {
    #[project = SecondProjection]
    enum Second<F> {
        // The first attempt has not been found to take time.
        Idle,
        // It is due when the time is over.
        Waiting {
            #[pin]
            sleep: Sleep,
        },
        // It is due when the first attempt fails, and not by time.
        Dormant,
        // The service is asked whether it is ready.
        Starting,
        Running { attempt: Pin<Box<F>> },
        // There is none, nor will there be.
        Over,
    }
}

impl<F, R, T, E> Race<F, R, T, E> {
    /// Without a course there is one attempt.
    #[inline]
    pub(super) fn new(first: Option<F>, runner: R, course: Option<Course>) -> Self {
        Self {
            first,
            second: Second::Idle,
            kept: None,
            runner,
            course,
        }
    }

    /// Sets off a race that was made without a first attempt.
    pub(super) fn begin(self: Pin<&mut Self>, course: Option<Course>, first: impl FnOnce(&mut R) -> F) {
        let mut this = self.project();
        let mark = course.as_ref().map(Course::enter_first);
        this.first.set(Some(first(this.runner)));
        drop(mark);
        *this.course = course;
    }

    pub(super) fn state(&self) -> &'static str {
        match (&self.first, &self.second) {
            (Some(_), Second::Idle | Second::Waiting { .. } | Second::Dormant | Second::Over) => {
                "first attempt"
            }
            (Some(_), Second::Starting | Second::Running { .. }) => "both attempts",
            (None, Second::Starting | Second::Running { .. }) => "second attempt",
            (None, _) => "over",
        }
    }
}

impl<F, R, T, E> Future for Race<F, R, T, E>
where
    F: Future,
    R: Runner<F, Response = T, Error = E>,
{
    type Output = Result<T, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T, E>> {
        let mut this = self.project();
        let Some(course) = this.course else {
            let Some(first) = this.first.as_pin_mut() else {
                panic!("{OVER}");
            };
            return first.poll(cx).map(|output| this.runner.unjudged(output));
        };
        let mut attempts = Attempts {
            first: this.first.as_mut(),
            second: this.second.as_mut(),
            kept: this.kept,
            runner: this.runner,
            course,
        };
        match attempts.poll_first(cx) {
            ControlFlow::Break(result) => Poll::Ready(result),
            ControlFlow::Continue(at_hand) => attempts.poll_second(at_hand, cx),
        }
    }
}

const OVER: &str = "a hedged call was polled after it was ready";

/// A race that has a course, for one poll.
struct Attempts<'p, F, R, T, E> {
    first: Pin<&'p mut Option<F>>,
    second: Pin<&'p mut Second<F>>,
    kept: &'p mut Option<Box<Result<T, E>>>,
    runner: &'p mut R,
    course: &'p mut Course,
}

impl<F, R, T, E> Attempts<'_, F, R, T, E>
where
    F: Future,
    R: Runner<F, Response = T, Error = E>,
{
    /// The result, or that there is none yet, and the failure of the first attempt if it is not to outlive this poll.
    #[inline]
    fn poll_first(&mut self, cx: &mut Context<'_>) -> ControlFlow<Result<T, E>, Option<Result<T, E>>> {
        let Some(first) = self.first.as_mut().as_pin_mut() else {
            return ControlFlow::Continue(None);
        };
        let in_attempt = self.course.enter_first();
        let polled = first.poll(cx);
        drop(in_attempt);
        let Poll::Ready(output) = polled else {
            return ControlFlow::Continue(None);
        };
        let (result, outcome) = self.runner.judge(output, cx);
        self.first.set(None);
        match outcome {
            Some(failure) if !is_final(&failure) => self.first_failed(result, &failure),
            _ => {
                self.course.first_ended(true);
                self.end();
                ControlFlow::Break(result)
            }
        }
    }

    #[cold]
    fn first_failed(
        &mut self,
        result: Result<T, E>,
        failure: &Outcome,
    ) -> ControlFlow<Result<T, E>, Option<Result<T, E>>> {
        self.course.first_ended(false);
        let is_under_way = match &*self.second {
            Second::Starting | Second::Running { .. } => true,
            Second::Over => false,
            _ => {
                let runner = &mut *self.runner;
                let begins =
                    self.course.hedge_failed(failure, || runner.can_repeat()) && runner.prepare(self.course);
                if begins {
                    self.second.set(Second::Starting);
                }
                begins
            }
        };
        if !is_under_way {
            self.end();
            return ControlFlow::Break(result);
        }
        if result.is_ok() && !failure.retry_forbidden() {
            return ControlFlow::Continue(Some(result));
        }
        *self.kept = Some(Box::new(result));
        ControlFlow::Continue(None)
    }

    /// The first attempt takes time, or has failed.
    fn poll_second(&mut self, at_hand: Option<Result<T, E>>, cx: &mut Context<'_>) -> Poll<Result<T, E>> {
        loop {
            let lost = match self.second.as_mut().project() {
                SecondProjection::Idle => {
                    let sleep = self.course.due().map(tokio::time::sleep_until);
                    let next = sleep.map_or(Second::Dormant, |sleep| Second::Waiting { sleep });
                    self.second.set(next);
                    continue;
                }
                SecondProjection::Waiting { sleep } => {
                    ready!(clock::poll_over(sleep, cx));
                    let begins = self.course.hedge_slow(|| self.runner.can_repeat())
                        && self.runner.prepare(self.course);
                    let next = if begins { Second::Starting } else { Second::Dormant };
                    self.second.set(next);
                    continue;
                }
                SecondProjection::Starting => {
                    let in_attempt = self.course.enter_second();
                    let attempt = ready!(self.runner.poll_second(cx));
                    drop(in_attempt);
                    match attempt {
                        Ok(attempt) => {
                            self.second.set(Second::Running {
                                attempt: Box::pin(attempt),
                            });
                            continue;
                        }
                        Err(error) => Err(error),
                    }
                }
                SecondProjection::Running { attempt } => {
                    let in_attempt = self.course.enter_second();
                    let output = ready!(attempt.as_mut().poll(cx));
                    drop(in_attempt);
                    let (result, outcome) = self.runner.judge(output, cx);
                    if outcome.is_none_or(|outcome| is_final(&outcome)) {
                        self.course.won();
                        self.end();
                        return Poll::Ready(result);
                    }
                    result
                }
                SecondProjection::Dormant | SecondProjection::Over => {
                    assert!(self.first.is_some(), "{OVER}");
                    return Poll::Pending;
                }
            };
            self.second.set(Second::Over);
            self.runner.stop();
            if self.first.is_none() {
                let kept = self.kept.take().map(|kept| *kept);
                return Poll::Ready(kept.or(at_hand).unwrap_or(lost));
            }
        }
    }

    /// The call has its result: whatever else there is goes now, though the future may be kept.
    #[inline]
    fn end(&mut self) {
        self.first.set(None);
        self.second.set(Second::Over);
        self.runner.stop();
        *self.kept = None;
    }
}
