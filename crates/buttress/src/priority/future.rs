use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tower_service::Service;

use super::{Acquire, Hold, Permit};
use crate::{
    context::{self, CallContext, Scoped, Tally},
    error::CallError,
    outcome::Protocol,
};

pin_project! {
    /// The future of [`PriorityService`](super::PriorityService).
    ///
    /// # Cancel safety
    ///
    /// Dropped while it waits, it leaves the line; dropped while it runs, it gives its slot back.
    #[must_use = "futures do nothing unless polled"]
    pub struct PriorityFuture<S, P, Request>
    where
        S: Service<Request>,
    {
        #[pin]
        state: State<S, Request, S::Future>,
        permit: Option<Permit>,
        hold: Hold,
        protocol: P,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<S, Request, F> {
        // In the line, or admitted and waiting for the service to be ready.
        Before {
            #[pin]
            acquire: Option<Acquire>,
            service: S,
            // Taken when it is sent.
            request: Option<Request>,
            context: Option<CallContext>,
            tally: Option<Arc<Tally>>,
        },
        Calling {
            #[pin]
            inner: Scoped<F>,
        },
        Over,
    }
}

impl<S, P, Request> PriorityFuture<S, P, Request>
where
    S: Service<Request>,
{
    #[inline]
    pub(super) fn waiting(
        acquire: Acquire,
        service: S,
        request: Request,
        protocol: P,
        hold: Hold,
        context: Option<CallContext>,
        tally: Option<Arc<Tally>>,
    ) -> Self {
        Self {
            state: State::Before {
                acquire: Some(acquire),
                service,
                request: Some(request),
                context,
                tally,
            },
            permit: None,
            hold,
            protocol,
        }
    }

    /// Of a queue that is off.
    #[inline]
    pub(super) fn unlimited(service: S, request: Request, protocol: P) -> Self {
        Self {
            state: State::Before {
                acquire: None,
                service,
                request: Some(request),
                context: None,
                tally: None,
            },
            permit: None,
            hold: Hold::Auto,
            protocol,
        }
    }
}

impl<S, P, Request> Future for PriorityFuture<S, P, Request>
where
    S: Service<Request>,
    S::Error: CallError,
    P: Protocol<S::Response, S::Error>,
{
    type Output = Result<P::Response<Permit>, S::Error>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let result = match this.state.as_mut().project() {
                StateProjection::Before {
                    mut acquire,
                    service,
                    request,
                    context,
                    tally,
                } => {
                    if let Some(waiting) = acquire.as_mut().as_pin_mut() {
                        match ready!(waiting.poll_permit(cx)) {
                            Ok((permit, waited)) => {
                                *this.permit = Some(permit);
                                if let Some(waited) = waited {
                                    match tally {
                                        Some(tally) => tally.add_queued(waited),
                                        None => context::add_queued(waited),
                                    }
                                }
                            }
                            Err(rejected) => {
                                this.state.set(State::Over);
                                return Poll::Ready(Err(rejected.into()));
                            }
                        }
                        acquire.set(None);
                    }
                    let ready = match context {
                        None => service.poll_ready(cx),
                        Some(context) => context.clone().sync_scope(|| service.poll_ready(cx)),
                    };
                    match ready!(ready) {
                        Err(error) => Err(error),
                        Ok(()) => {
                            let Some(request) = request.take() else {
                                panic!("`PriorityFuture` polled after it was ready");
                            };
                            let context = context.take();
                            let inner = match &context {
                                None => service.call(request),
                                Some(context) => context.clone().sync_scope(|| service.call(request)),
                            };
                            this.state.set(State::Calling {
                                inner: Scoped::new(context, inner),
                            });
                            continue;
                        }
                    }
                }
                StateProjection::Calling { inner } => ready!(inner.poll(cx)),
                StateProjection::Over => panic!("`PriorityFuture` polled after it was ready"),
            };
            let mut permit = this.permit.take();
            if let (Ok(response), Some(permit)) = (&result, &mut permit) {
                let to_head = match this.hold {
                    Hold::Auto => this.protocol.is_open_ended(response),
                    Hold::Headers => true,
                    Hold::End => false,
                };
                if to_head {
                    permit.hold_to_head();
                }
            }
            return Poll::Ready(this.protocol.observe(result, permit));
        }
    }
}

impl<S, P, Request> fmt::Debug for PriorityFuture<S, P, Request>
where
    S: Service<Request>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Before { .. } if self.permit.is_none() => "waiting",
            State::Before { .. } => "admitted",
            State::Calling { .. } => "calling",
            State::Over => "over",
        };
        f.debug_struct("PriorityFuture")
            .field("state", &state)
            .finish_non_exhaustive()
    }
}
