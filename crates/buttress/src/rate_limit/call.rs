use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;

use super::Acquire;
use crate::error::Error;

pin_project! {
    /// A future that begins when its turn has come, from [`RateLimiter::call`](super::RateLimiter::call).
    ///
    /// # Cancel safety
    ///
    /// As cancel safe as the future inside. Dropped while it waits it leaves the line and takes nothing.
    #[must_use = "futures do nothing unless polled"]
    pub struct RateLimitCall<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<F> {
        Waiting {
            #[pin]
            acquire: Acquire,
            future: Option<F>,
        },
        Calling {
            #[pin]
            future: F,
        },
    }
}

impl<F> RateLimitCall<F> {
    pub(super) fn new(acquire: Acquire, future: F) -> Self {
        let state = State::Waiting {
            acquire,
            future: Some(future),
        };
        Self { state }
    }
}

impl<F, T, E> Future for RateLimitCall<F>
where
    F: Future<Output = Result<T, E>>,
{
    type Output = Result<T, Error<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            match state.as_mut().project() {
                StateProjection::Calling { future } => return future.poll(cx).map_err(Error::Inner),
                StateProjection::Waiting { acquire, future } => {
                    ready!(acquire.poll(cx))?;
                    let Some(future) = future.take() else {
                        panic!("`RateLimitCall` polled after it was ready");
                    };
                    state.set(State::Calling { future });
                }
            }
        }
    }
}

impl<F> fmt::Debug for RateLimitCall<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Waiting { .. } => "waiting",
            State::Calling { .. } => "calling",
        };
        f.debug_struct("RateLimitCall")
            .field("state", &state)
            .finish_non_exhaustive()
    }
}
