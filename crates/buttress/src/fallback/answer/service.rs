use std::{
    fmt,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tower_service::Service;

use super::{Answer, Answered, FailedCall};
use crate::fallback::{Fallback, FallbackBuilder, Whole};

/// Answers by another service. Each call that needs it makes a clone of it and drives that one's readiness.
#[derive(Clone, Copy)]
pub struct Other<S>(S);

impl<S: Clone> Fallback<Other<S>, Whole> {
    /// Gives the request to `service`, whose answer is that of the call, or its error.
    ///
    /// All calls share it, so it has to be `Sync` for them to be `Send`; a box of tower's is as
    /// `BoxCloneSyncService`. See the [module](crate::fallback) for what is kept of a request, and which are not given to two services.
    pub fn service(service: S) -> FallbackBuilder<Other<S>, Whole> {
        FallbackBuilder::new(Other(service), Whole::new())
    }
}

/// What the first service said is dropped before the other is asked, and with it what it holds.
impl<S, Request, R, E> Answer<Request, R, E> for Other<S>
where
    S: Service<Request> + Clone,
    S::Error: Into<E>,
{
    type Response = S::Response;
    type Future = Asking<S, Request, R, E>;

    fn answer(&self, call: FailedCall<R, E, Request>) -> Self::Future {
        Asking {
            state: State::New {
                service: self.0.clone(),
                request: Some(call.kept),
            },
            first: PhantomData,
        }
    }
}

pin_project! {
    /// The future of a fallback that is a service.
    ///
    /// # Cancel safety
    ///
    /// As cancel safe as that service's future: it is dropped with this one.
    #[must_use = "futures do nothing unless polled"]
    pub struct Asking<S, Request, R, E>
    where
        S: Service<Request>,
    {
        #[pin]
        state: State<S, S::Future, Request>,
        first: PhantomData<fn() -> (R, E)>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<S, F, Request> {
        New {
            service: S,
            // Taken when it is sent.
            request: Option<Request>,
        },
        Called {
            #[pin]
            future: F,
        },
    }
}

impl<S, Request, R, E> Future for Asking<S, Request, R, E>
where
    S: Service<Request>,
    S::Error: Into<E>,
{
    type Output = Answered<S::Response, R, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            match state.as_mut().project() {
                StateProjection::New { service, request } => {
                    if let Err(error) = ready!(service.poll_ready(cx)) {
                        return Poll::Ready(Answered::Failed(error.into()));
                    }
                    let Some(request) = request.take() else {
                        panic!("`Asking` polled after it was ready");
                    };
                    let future = service.call(request);
                    state.set(State::Called { future });
                }
                StateProjection::Called { future } => {
                    return Poll::Ready(match ready!(future.poll(cx)) {
                        Ok(response) => Answered::Answer(response),
                        Err(error) => Answered::Failed(error.into()),
                    });
                }
            }
        }
    }
}

impl<S> fmt::Debug for Other<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Other")
    }
}

impl<S: Service<Request>, Request, R, E> fmt::Debug for Asking<S, Request, R, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::New { .. } => "new",
            State::Called { .. } => "called",
        };
        f.debug_struct("Asking")
            .field("state", &state)
            .finish_non_exhaustive()
    }
}
