use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;
use tokio::sync::futures::OwnedNotified;
use tower_service::Service;

use super::{
    balance::Strategy,
    node::{Node, book},
    reach::Reach,
    shared::{Search, Shared},
    token::PoolToken,
    tried::Tried,
};
use crate::{
    clock,
    context::{self, CallContext, Tally},
    error::CallError,
    outcome::{Outcome, Protocol, Token, Verdict},
    replay::{Peek, Replay},
};

pin_project! {
    /// The future of [`PoolService`](super::PoolService) and of [`Pool::run`](super::Pool::run).
    ///
    /// # Cancel safety
    ///
    /// Dropping it is a cancelled call at the endpoint that it is at. Nothing goes on after that.
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
}

/// Where the call has been.
struct Course {
    tried: Tried,
    /// That of the context that the request carries.
    tally: Option<Arc<Tally>>,
}

/// Endpoints that were chosen and are not ready. The first that gets ready has the call.
struct Waiting<S> {
    ids: Vec<u32>,
    services: Vec<(Arc<Node>, S)>,
    /// The endpoints have changed: there may be one that is ready at once.
    changed: Pin<Box<OwnedNotified>>,
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
        let (request, spare) = {
            let set = shared.set.load();
            let options = &*set.options;
            shared.hub.begin(options);
            let may_move = options.failover > 0 && set.roster.nodes.len() > 1 && attempt == 1;
            if may_move && protocol.repeatable(&request) {
                let limit = usize::try_from(options.max_body).unwrap_or(usize::MAX);
                let (request, saved) = protocol.keep(&mode, request, limit);
                let left = options.failover;
                (request, saved.map(|saved| Spare { saved, mode, left }))
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
                    let (mut service, mut token) = match found {
                        Found::Ready(service, token) => (service, token),
                        Found::Waiting => return Poll::Pending,
                        Found::Broken(error) => return Poll::Ready(Err(error)),
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

/// What a call has found.
enum Found<S, E> {
    Ready(S, PoolToken),
    /// There is an endpoint, but it is not ready.
    Waiting,
    /// The last endpoint there was said that it is broken.
    Broken(E),
    None,
}

/// Chooses endpoints until one is ready and takes the call in.
fn seek<T, R, Q>(
    shared: &Arc<Shared<T>>,
    reach: &R,
    strategy: Option<&Strategy>,
    course: &mut Course,
    waiting: &mut Option<Box<Waiting<R::Service>>>,
    cx: &mut Context<'_>,
) -> Found<R::Service, <R::Service as Service<Q>>::Error>
where
    R: Reach<T>,
    R::Service: Service<Q>,
    <R::Service as Service<Q>>::Error: CallError,
{
    shared.ensure_watched();
    let now = clock::now();
    let avoid = context::tried() | course.tally.as_ref().map_or(0, |tally| tally.tried());
    let mut refused = Tried::default();
    let mut broken = None;
    // What was not ready before goes first. It may be out by now, and then it is somebody else's turn.
    if let Some(waiting) = waiting {
        waiting.listen(shared, cx);
        let mut i = 0;
        while let Some((node, service)) = waiting.services.get_mut(i) {
            if !node.is_usable(now, shared.hub.tick(now)) {
                waiting.forget(i);
                continue;
            }
            match service.poll_ready(cx) {
                Poll::Pending => i += 1,
                Poll::Ready(ready) => {
                    let (node, service) = waiting.forget(i);
                    match take(node, service, ready, false, course, &mut refused, now) {
                        Ok(Some((service, token))) => return Found::Ready(service, token),
                        Ok(None) => {}
                        Err(error) => broken = Some(error),
                    }
                }
            }
        }
    }
    loop {
        let (node, mut service, overrule) = {
            let set = shared.set.load();
            let search = Search {
                strategy,
                tried: &course.tried,
                refused: &refused,
                waiting: waiting.as_ref().map_or(&[], |waiting| &waiting.ids),
                avoid,
                now,
            };
            let Some(choice) = shared.choose(&set, &search) else {
                break;
            };
            let node = set.roster.nodes[choice.index].clone();
            (node, reach.service(&set.targets[choice.index]), choice.overrule)
        };
        match service.poll_ready(cx) {
            Poll::Pending => {
                let waiting = waiting.get_or_insert_with(|| Box::new(Waiting::new(shared)));
                waiting.ids.push(node.id);
                waiting.services.push((node, service));
                // Before the next choice: what changes after it is noticed.
                waiting.listen(shared, cx);
            }
            Poll::Ready(ready) => match take(node, service, ready, overrule, course, &mut refused, now) {
                Ok(Some((service, token))) => return Found::Ready(service, token),
                Ok(None) => {}
                Err(error) => broken = Some(error),
            },
        }
    }
    match (waiting, broken) {
        (Some(waiting), _) if !waiting.services.is_empty() => Found::Waiting,
        (_, Some(error)) => Found::Broken(error),
        _ => Found::None,
    }
}

/// Gives the call to an endpoint that is ready, if that takes it in.
fn take<S, E: CallError>(
    node: Arc<Node>,
    service: S,
    ready: Result<(), E>,
    overrule: bool,
    course: &mut Course,
    refused: &mut Tried,
    now: clock::Instant,
) -> Result<Option<(S, PoolToken)>, E> {
    let Some(token) = node.admit(now, overrule) else {
        // Somebody else had its last probe, or it was removed just now.
        refused.push(node.id);
        return Ok(None);
    };
    course.tried.push(node.id);
    context::add_tried(node.slot);
    if let Some(tally) = &course.tally {
        tally.add_tried(node.slot);
    }
    match ready {
        Ok(()) => Ok(Some((service, token))),
        Err(error) => {
            // Nothing has been sent, so any call may go elsewhere.
            node.books.add(book::MOVED, 1);
            token.finish(Outcome::of_error(&error));
            Err(error)
        }
    }
}

impl<S> Waiting<S> {
    fn new<T>(shared: &Shared<T>) -> Self {
        Self {
            ids: Vec::new(),
            services: Vec::new(),
            changed: Box::pin(shared.hub.changed.clone().notified_owned()),
        }
    }

    /// Has the task woken when the endpoints change.
    fn listen<T>(&mut self, shared: &Shared<T>, cx: &mut Context<'_>) {
        while self.changed.as_mut().poll(cx).is_ready() {
            self.changed.set(shared.hub.changed.clone().notified_owned());
        }
    }

    fn forget(&mut self, i: usize) -> (Arc<Node>, S) {
        self.ids.remove(i);
        self.services.remove(i)
    }
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
