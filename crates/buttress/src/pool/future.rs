use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;
use tower_service::Service;

use super::{
    balance::Strategy,
    node::book,
    reach::Reach,
    seek::{Course, Found, seek},
    shared::Shared,
    token::PoolToken,
    tried::Tried,
    waiting::Waiting,
};
use crate::{
    clock,
    context::{self, CallContext},
    error::CallError,
    outcome::{Outcome, Protocol, Token, Verdict},
    replay::{Peek, Replay},
};

pin_project! {
    /// The future of [`PoolService`](super::PoolService) and of [`Pool::run`](super::Pool::run).
    ///
    /// # Cancel safety
    ///
    /// Dropping it is a cancelled call at the endpoint that it is at; if it is at none yet, because it waits, it leaves the
    /// line and is no call. Nothing goes on after that.
    pub struct PoolFuture<T, R, P, M, Request>
    where
        R: Reach<T>,
        R::Service: Service<P::Request>,
        P: Replay<Request, M>,
    {
        shared: Arc<Shared<T>>,
        reach: R,
        protocol: P,
        strategy: Option<Strategy>,
        #[pin]
        state: State<<R::Service as Service<P::Request>>::Future, P::Request, R::Service>,
        // None: there is one attempt.
        spare: Option<Spare<P::Saved, M>>,
        course: Course,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<F, Q, S> {
        Seeking {
            // Taken when it is sent.
            request: Option<Q>,
            // Boxed, because there is none unless an endpoint is not ready.
            waiting: Option<Box<Waiting<S>>>,
        },
        Calling {
            #[pin]
            future: F,
            token: Option<PoolToken>,
        },
    }
}

/// What is kept for another endpoint.
struct Spare<V, M> {
    saved: V,
    mode: M,
    left: u32,
    /// Whether it may be sent elsewhere while the endpoint may still be at work on it.
    is_idempotent: bool,
}

impl<T, R, P, M, Request> PoolFuture<T, R, P, M, Request>
where
    R: Reach<T>,
    R::Service: Service<P::Request>,
    P: Replay<Request, M>,
{
    pub(super) fn new(
        shared: Arc<Shared<T>>,
        strategy: Option<Strategy>,
        reach: R,
        protocol: P,
        mode: M,
        request: Request,
    ) -> Self {
        let carried = protocol.context(&request);
        let attempt = carried
            .map_or(1, CallContext::attempt)
            .max(context::current_attempt());
        let tally = carried.map(|context| context.tally().clone());
        let deadline = carried.and_then(CallContext::deadline);
        let (request, spare) = {
            let set = shared.set.load();
            let options = &*set.options;
            shared.hub.begin(options);
            let may_move = options.failover > 0 && set.roster.nodes.len() > 1 && attempt == 1;
            if may_move && protocol.repeatable(&request) {
                let is_idempotent = protocol.idempotent(&request);
                let limit = usize::try_from(options.max_body).unwrap_or(usize::MAX);
                let (request, saved) = protocol.keep(&mode, request, limit);
                let left = options.failover;
                let spare = saved.map(|saved| Spare {
                    saved,
                    mode,
                    left,
                    is_idempotent,
                });
                (request, spare)
            } else {
                (protocol.pass(&mode, request), None)
            }
        };
        Self {
            shared,
            reach,
            protocol,
            strategy,
            state: State::Seeking {
                request: Some(request),
                waiting: None,
            },
            spare,
            course: Course {
                tried: Tried::default(),
                tally,
                deadline,
                in_line_since: None,
            },
        }
    }
}

impl<T, R, P, M, Request, S> Future for PoolFuture<T, R, P, M, Request>
where
    R: Reach<T, Service = S>,
    S: Service<P::Request>,
    S::Error: CallError,
    P: Replay<Request, M> + Peek<S::Response, S::Error>,
    P: Protocol<<P as Peek<S::Response, S::Error>>::Peeked, S::Error>,
{
    type Output = Result<
        <P as Protocol<<P as Peek<S::Response, S::Error>>::Peeked, S::Error>>::Response<PoolToken>,
        S::Error,
    >;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let protocol = &*this.protocol;
        let observe = |result: Result<<P as Peek<_, _>>::Peeked, S::Error>, token: Option<PoolToken>| {
            <P as Protocol<<P as Peek<S::Response, S::Error>>::Peeked, S::Error>>::observe(
                protocol, result, token,
            )
        };
        loop {
            match this.state.as_mut().project() {
                StateProjection::Seeking { request, waiting } => {
                    let found = seek(
                        this.shared,
                        this.reach,
                        this.strategy.as_ref(),
                        this.course,
                        waiting,
                        cx,
                    );
                    if let Found::Waiting = found {
                        return Poll::Pending;
                    }
                    this.course.note_wait();
                    let (mut service, mut token) = match found {
                        Found::Ready(service, token) => (service, token),
                        Found::Waiting => return Poll::Pending,
                        Found::Broken(error) => return Poll::Ready(Err(error)),
                        Found::Limited(rejected) => return Poll::Ready(Err(rejected.into())),
                        Found::None => {
                            return Poll::Ready(Err(this.shared.no_endpoint(clock::now()).into()));
                        }
                    };
                    let Some(request) = request.take() else {
                        panic!("`PoolFuture` polled after it was ready");
                    };
                    token.set_inside(true);
                    let future = service.call(request);
                    token.set_inside(false);
                    this.state.set(State::Calling {
                        future,
                        token: Some(token),
                    });
                }
                StateProjection::Calling { future, token } => {
                    // Held here, so that a panic drops it while it is inside.
                    let mut held = token.take();
                    if let Some(token) = &mut held {
                        token.set_inside(true);
                    }
                    let polled = future.poll(cx);
                    if let Some(token) = &mut held {
                        token.set_inside(false);
                    }
                    let Poll::Ready(result) = polled else {
                        *token = held;
                        return Poll::Pending;
                    };
                    let Some(spare) = this.spare.as_mut() else {
                        return Poll::Ready(observe(result.map(|response| protocol.unread(response)), held));
                    };
                    // What is good at first sight is not moved about.
                    let verdict = <P as Protocol<S::Response, S::Error>>::verdict(protocol, &result);
                    if verdict.is_some_and(|outcome| outcome.verdict() == Verdict::Success) {
                        return Poll::Ready(observe(result.map(|response| protocol.unread(response)), held));
                    }
                    let (result, outcome) = protocol.peek(result, cx);
                    let may_move = |outcome: &Outcome| {
                        this.shared.set.load().options.is_worth_another(outcome)
                            && (spare.is_idempotent || !outcome.is_unfinished())
                            && protocol.can_repeat(&spare.saved)
                    };
                    let Some(outcome) = outcome.filter(may_move) else {
                        return Poll::Ready(observe(result, held));
                    };
                    // First what it says about the endpoint, for that decides whether there is another. Nothing more is
                    // to be learnt of the answer: such outcomes are final.
                    let from = held.as_ref().and_then(PoolToken::node).cloned();
                    if let Some(token) = held {
                        token.finish(outcome);
                    }
                    let next = may_go_on(this.shared, this.course)
                        .then(|| protocol.again(&spare.mode, &spare.saved))
                        .flatten();
                    let Some(request) = next else {
                        return Poll::Ready(observe(result, None));
                    };
                    if let Some(from) = from {
                        from.books.add(book::MOVED, 1);
                    }
                    spare.left -= 1;
                    if spare.left == 0 {
                        *this.spare = None;
                    }
                    // The response goes first, and with it what it holds inside, then the attempt.
                    drop(result);
                    this.state.set(State::Seeking {
                        request: Some(request),
                        waiting: None,
                    });
                }
            }
        }
    }
}

/// Is there another endpoint for the call, and a failover left in the budget?
fn may_go_on<T>(shared: &Shared<T>, course: &Course) -> bool {
    let set = shared.set.load();
    let now = clock::now();
    shared.has_another(&set, &course.tried, now) && shared.hub.withdraw(&set.options, now)
}

impl<T, R, P, M, Request> fmt::Debug for PoolFuture<T, R, P, M, Request>
where
    R: Reach<T>,
    R::Service: Service<P::Request>,
    P: Replay<Request, M>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Seeking { waiting: None, .. } => "seeking",
            State::Seeking { .. } => "waiting",
            State::Calling { .. } => "calling",
        };
        f.debug_struct("PoolFuture")
            .field("state", &state)
            .field("tried", &self.course.tried.len())
            .finish_non_exhaustive()
    }
}
