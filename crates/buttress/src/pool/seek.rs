//! A call on its way to an endpoint that is ready.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::sync::futures::OwnedNotified;
use tower_service::Service;

use super::{
    balance::Strategy,
    choose::Search,
    node::{Node, book},
    reach::Reach,
    shared::Shared,
    token::PoolToken,
    tried::Tried,
};
use crate::{
    clock,
    context::{self, Tally},
    error::CallError,
    outcome::{Outcome, Token},
};

/// Where the call has been.
pub(super) struct Course {
    pub(super) tried: Tried,
    /// That of the context that the request carries.
    pub(super) tally: Option<Arc<Tally>>,
}

/// Endpoints that were chosen and are not ready. The first that gets ready has the call.
pub(super) struct Waiting<S> {
    ids: Vec<u32>,
    services: Vec<(Arc<Node>, S)>,
    /// The endpoints have changed: there may be one that is ready at once.
    changed: Pin<Box<OwnedNotified>>,
}

/// What a call has found.
pub(super) enum Found<S, E> {
    Ready(S, PoolToken),
    /// There is an endpoint, but it is not ready.
    Waiting,
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
