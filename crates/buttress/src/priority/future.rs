use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tower_service::Service;

use super::{Acquire, Hold, Permit, Priority, PriorityQueue, acquire::First};
use crate::{
    context,
    error::CallError,
    outcome::{Protocol, RequestProtocol},
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
        way: Way,
        protocol: P,
    }
}

/// What is known of the call besides its request: class, hold, and whether the class is to be in the context that is
/// current while the service runs. In one word, for the reason that the permit gives.
#[derive(Clone, Copy)]
pub(super) struct Way(u32);

impl Way {
    const ANNOUNCE: u32 = 1 << 16;

    #[inline]
    pub(super) fn new(class: Priority, hold: Hold, announce: bool) -> Self {
        let hold = match hold {
            Hold::Auto => 0,
            Hold::Headers => 1 << 8,
            Hold::End => 2 << 8,
        };
        let announce = if announce { Self::ANNOUNCE } else { 0 };
        Self(u32::from(class.get()) | hold | announce)
    }

    #[inline]
    fn class(self) -> Priority {
        Priority::new(self.0 as u8)
    }

    #[inline]
    fn hold(self) -> Hold {
        match self.0 >> 8 & 3 {
            0 => Hold::Auto,
            1 => Hold::Headers,
            _ => Hold::End,
        }
    }

    #[inline]
    fn announces(self) -> bool {
        self.0 & Self::ANNOUNCE != 0
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<S, Request, F> {
        // In the line, or admitted and waiting for the service to be ready.
        Before {
            // Until it is admitted, or stands in the line.
            queue: Option<PriorityQueue>,
            // In the line. Boxed, for it is large: whoever need not wait would have to carry it about.
            acquire: Option<Pin<Box<Acquire>>>,
            service: S,
            // Taken when it is sent.
            request: Option<Request>,
        },
        Calling {
            #[pin]
            inner: F,
        },
        Over,
    }
}

impl<S, P, Request> PriorityFuture<S, P, Request>
where
    S: Service<Request>,
{
    #[inline]
    pub(super) fn new(queue: PriorityQueue, way: Way, service: S, request: Request, protocol: P) -> Self {
        Self {
            state: State::Before {
                queue: Some(queue),
                acquire: None,
                service,
                request: Some(request),
            },
            permit: None,
            way,
            protocol,
        }
    }

    /// Of a queue that is off.
    #[inline]
    pub(super) fn unlimited(inner: S::Future, protocol: P) -> Self {
        Self {
            state: State::Calling { inner },
            permit: None,
            way: Way::new(Priority::NORMAL, Hold::Auto, false),
            protocol,
        }
    }
}

impl<S, P, Request> Future for PriorityFuture<S, P, Request>
where
    S: Service<Request>,
    S::Error: CallError,
    P: RequestProtocol<Request> + Protocol<S::Response, S::Error>,
{
    type Output = Result<P::Response<Permit>, S::Error>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.way.announces() {
            false => self.poll_on(cx),
            true => self.poll_in_scope(cx),
        }
    }
}

impl<S, P, Request> PriorityFuture<S, P, Request>
where
    S: Service<Request>,
    S::Error: CallError,
    P: RequestProtocol<Request> + Protocol<S::Response, S::Error>,
{
    #[inline(never)]
    fn poll_in_scope(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<P::Response<Permit>, S::Error>> {
        let class = self.way.class().get();
        context::with_priority(class, || self.poll_on(cx))
    }

    // There is one way through for the result, from the service to the caller: where two ways meet it would have to be in
    // memory.
    #[inline(always)]
    fn poll_on(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<P::Response<Permit>, S::Error>> {
        let mut this = self.project();
        if let StateProjection::Before {
            queue,
            acquire,
            service,
            request,
        } = this.state.as_mut().project()
        {
            if let Some(queue) = queue.take() {
                match queue.admit(this.way.class()) {
                    Ok(permit) => *this.permit = Some(permit),
                    Err(queue) => {
                        let carried = request.as_ref().and_then(|r| this.protocol.context(r));
                        let deadline = match carried {
                            Some(context) => context.deadline(),
                            None => context::current_deadline(),
                        };
                        match queue.first(this.way.class(), deadline, cx.waker()) {
                            First::Admitted(permit) => *this.permit = Some(permit),
                            First::Refused(rejected) => {
                                this.state.set(State::Over);
                                return Poll::Ready(Err(rejected.into()));
                            }
                            // Its timer starts when it is polled, right now.
                            First::Waits(waiting) => *acquire = Some(waiting),
                        }
                    }
                }
            }
            if let Some(waiting) = acquire {
                match ready!(waiting.as_mut().poll_permit(cx)) {
                    Ok((permit, waited)) => {
                        *this.permit = Some(permit);
                        if let (Some(waited), Some(request)) = (waited, &*request) {
                            match this.protocol.context(request) {
                                Some(context) => context.tally().add_queued(waited),
                                None => context::add_queued(waited),
                            }
                        }
                    }
                    Err(rejected) => {
                        this.state.set(State::Over);
                        return Poll::Ready(Err(rejected.into()));
                    }
                }
                *acquire = None;
            }
            if let Err(error) = ready!(service.poll_ready(cx)) {
                let permit = this.permit.take();
                return Poll::Ready(this.protocol.observe(Err(error), permit));
            }
            let Some(request) = request.take() else {
                panic!("`PriorityFuture` polled after it was ready");
            };
            let inner = service.call(request);
            this.state.set(State::Calling { inner });
        }
        let StateProjection::Calling { inner } = this.state.project() else {
            panic!("`PriorityFuture` polled after it was ready");
        };
        match inner.poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(result) => {
                let permit = this.permit.take();
                let to_head = match (this.way.hold(), &result) {
                    (_, Err(_)) | (Hold::End, _) => false,
                    (Hold::Auto, Ok(response)) => this.protocol.is_open_ended(response),
                    (Hold::Headers, _) => true,
                };
                let permit = match to_head {
                    false => permit,
                    true => permit.map(Permit::held_to_head),
                };
                Poll::Ready(this.protocol.observe(result, permit))
            }
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
