use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;

use super::Permit;
use crate::{
    error::{CallError, Rejected},
    outcome::Protocol,
};

pin_project! {
    /// The future of [`CircuitBreakerService`](super::CircuitBreakerService).
    ///
    /// # Cancel safety
    ///
    /// Dropping it is a cancelled call; see [`Permit`].
    pub struct CircuitBreakerFuture<F, P> {
        #[pin]
        state: State<F, P>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<F, P> {
        Admitted {
            #[pin]
            inner: F,
            permit: Option<Permit>,
            protocol: P,
        },
        Rejected {
            rejected: Option<Rejected>,
        },
    }
}

impl<F, P> CircuitBreakerFuture<F, P> {
    #[inline]
    pub(super) fn admitted(inner: F, permit: Option<Permit>, protocol: P) -> Self {
        Self {
            state: State::Admitted {
                inner,
                permit,
                protocol,
            },
        }
    }

    pub(super) fn rejected(rejected: Rejected) -> Self {
        Self {
            state: State::Rejected {
                rejected: Some(rejected),
            },
        }
    }
}

impl<F, P, T, E> Future for CircuitBreakerFuture<F, P>
where
    F: Future<Output = Result<T, E>>,
    E: CallError,
    P: Protocol<T, E>,
{
    type Output = Result<P::Response<Permit>, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProjection::Admitted {
                inner,
                permit,
                protocol,
            } => {
                if let Some(permit) = permit {
                    permit.set_inside(true);
                }
                let result = inner.poll(cx);
                if let Some(permit) = permit {
                    permit.set_inside(false);
                }
                match result {
                    Poll::Ready(result) => Poll::Ready(protocol.observe(result, permit.take())),
                    Poll::Pending => {
                        // Only a call that must wait can be cut off for having taken too long, so only here
                        // does its start matter.
                        if let Some(permit) = permit {
                            permit.start();
                        }
                        Poll::Pending
                    }
                }
            }
            StateProjection::Rejected { rejected } => match rejected.take() {
                Some(rejected) => Poll::Ready(Err(rejected.into())),
                None => panic!("`CircuitBreakerFuture` polled after it was ready"),
            },
        }
    }
}

impl<F, P> fmt::Debug for CircuitBreakerFuture<F, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Admitted { .. } => "admitted",
            State::Rejected { .. } => "rejected",
        };
        f.debug_struct("CircuitBreakerFuture")
            .field("state", &state)
            .finish_non_exhaustive()
    }
}
