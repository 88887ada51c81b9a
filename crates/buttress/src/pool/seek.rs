//! A call on its way to an endpoint that is ready.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use tower_service::Service;

use super::{
    balance::Strategy,
    choose::Search,
    node::{Node, book},
    reach::Reach,
    shared::Shared,
    token::PoolToken,
    tried::Tried,
    waiting::{Waiting, board, line_up},
};
use crate::{
    clock::{self, Instant},
    context::{self, Tally},
    error::{CallError, Rejected, RejectionKind},
    outcome::{Outcome, Token},
};

/// Where the call has been, and how long it may wait.
pub(super) struct Course {
    pub(super) tried: Tried,
    /// That of the context that the request carries.
    pub(super) tally: Option<Arc<Tally>>,
    /// That of the context that the request carries.
    pub(super) deadline: Option<Instant>,
    /// Since when it waits for its turn, if it does.
    pub(super) in_line_since: Option<Instant>,
}

/// What a call has found.
pub(super) enum Found<S, E> {
    Ready(S, PoolToken),
    /// There is an endpoint, but it is not ready, or it is not the call's turn.
    Waiting,
    /// There is an endpoint, but it is at its limit.
    Limited(Rejected),
    /// The last endpoint there was said that it is broken.
    Broken(E),
    None,
}

/// Chooses endpoints until one is ready and takes the call in.
pub(super) fn seek<T, R, Q>(
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
    if let Some((node, Ok(admitted))) = waiting.as_mut().and_then(|waiting| waiting.poll_turn(cx)) {
        match board(shared, reach, course, waiting, (node, admitted), cx) {
            Ok(Some((service, token))) => return Found::Ready(service, token),
            Ok(None) => {}
            Err(error) => broken = Some(error),
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
                // Before the next choice: what changes after it is noticed.
                Waiting::begin(waiting, shared, cx).push(node, service);
            }
            Poll::Ready(ready) => match take(node, service, ready, overrule, course, &mut refused, now) {
                Ok(Some((service, token))) => return Found::Ready(service, token),
                Ok(None) => {}
                Err(error) => broken = Some(error),
            },
        }
    }
    let limited = match line_up(shared, course, waiting, cx, now) {
        Some((node, Ok(admitted))) => {
            match board(shared, reach, course, waiting, (node, admitted), cx) {
                Ok(Some((service, token))) => return Found::Ready(service, token),
                Ok(None) => {}
                Err(error) => broken = Some(error),
            }
            None
        }
        Some((_, Err(rejected))) => Some(rejected).filter(|r| r.kind() == RejectionKind::RateLimited),
        None => None,
    };
    if let Some(waits) = waiting.as_mut().filter(|waiting| waiting.is_waiting()) {
        if waits.poll_chance(shared, &course.tried, now, cx).is_pending() {
            return Found::Waiting;
        }
        // It has come meanwhile.
        return seek::<T, R, Q>(shared, reach, strategy, course, waiting, cx);
    }
    match (broken, limited) {
        (Some(error), _) => Found::Broken(error),
        (_, Some(rejected)) => Found::Limited(rejected),
        (None, None) => Found::None,
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
    now: Instant,
) -> Result<Option<(S, PoolToken)>, E> {
    let Some(token) = node.admit(now, overrule) else {
        // Somebody else had its last probe, or it was removed just now.
        refused.push(node.id);
        return Ok(None);
    };
    go(&node, service, ready, token, course).map(Some)
}

/// Sends the call on its way, if the endpoint does not say that it is broken.
pub(super) fn go<S, E: CallError>(
    node: &Arc<Node>,
    service: S,
    ready: Result<(), E>,
    token: PoolToken,
    course: &mut Course,
) -> Result<(S, PoolToken), E> {
    course.tried.push(node.id);
    context::add_tried(node.slot);
    if let Some(tally) = &course.tally {
        tally.add_tried(node.slot);
    }
    match ready {
        Ok(()) => Ok((service, token)),
        Err(error) => {
            // Nothing has been sent, so any call may go elsewhere.
            node.books.add(book::MOVED, 1);
            token.finish(Outcome::of_error(&error));
            Err(error)
        }
    }
}

impl Course {
    /// The call waits no more.
    #[inline]
    pub(super) fn note_wait(&mut self) {
        if let Some(since) = self.in_line_since.take() {
            let time = clock::now().saturating_duration_since(since);
            match &self.tally {
                Some(tally) => tally.add_queued(time),
                None => context::add_queued(time),
            }
        }
    }
}
