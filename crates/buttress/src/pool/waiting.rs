//! A call that waits: for an endpoint that is not ready to get ready, or for its turn at one that is at its limit.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::{sync::futures::OwnedNotified, time::Sleep};
use tower_service::Service;

use super::{
    node::Node,
    reach::Reach,
    seek::{Course, go},
    shared::Shared,
    token::PoolToken,
    tried::Tried,
};
use crate::{
    admission::{Admitted, Turn},
    clock::{self, Instant},
    context,
    error::{CallError, Rejected},
};

/// What the call waits for. Whatever comes first decides.
pub(super) struct Waiting<S> {
    pub(super) ids: Vec<u32>,
    /// Endpoints that were chosen and are not ready.
    pub(super) services: Vec<(Arc<Node>, S)>,
    /// Its place in the line of an endpoint that is at its limit.
    turn: Option<(Arc<Node>, Turn)>,
    /// The endpoints have changed: there may be one that is ready at once.
    changed: Pin<Box<OwnedNotified>>,
    /// The time of one that is out is over, and nobody tells of that. Boxed, because mostly there is none.
    chance: Option<Pin<Box<Sleep>>>,
}

impl<S> Waiting<S> {
    /// Has the task woken when the endpoints change, if that is not so yet.
    pub(super) fn begin<'a, T>(
        this: &'a mut Option<Box<Self>>,
        shared: &Shared<T>,
        cx: &mut Context<'_>,
    ) -> &'a mut Self {
        let this = this.get_or_insert_with(|| {
            Box::new(Self {
                ids: Vec::new(),
                services: Vec::new(),
                turn: None,
                changed: Box::pin(shared.hub.changed.clone().notified_owned()),
                chance: None,
            })
        });
        this.listen(shared, cx);
        this
    }

    /// Has the task woken when the endpoints change.
    pub(super) fn listen<T>(&mut self, shared: &Shared<T>, cx: &mut Context<'_>) {
        while self.changed.as_mut().poll(cx).is_ready() {
            self.changed.set(shared.hub.changed.clone().notified_owned());
        }
    }

    /// Has the task woken when time alone may bring an endpoint back at which the call does not wait: one that was to be
    /// left alone, or whose breaker gives it a trial then. Ready if that is so already.
    pub(super) fn poll_chance<T>(
        &mut self,
        shared: &Shared<T>,
        tried: &Tried,
        now: Instant,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let tick = shared.hub.tick(now);
        let set = shared.set.load();
        let others = set
            .roster
            .nodes
            .iter()
            .filter(|node| !tried.has(node.id) && !self.ids.contains(&node.id) && node.is_out(now, tick));
        let soonest = others
            .filter_map(|node| node.next_chance(now))
            .filter(|at| *at > now)
            .min();
        let Some(soonest) = soonest.filter(|_| tokio::runtime::Handle::try_current().is_ok()) else {
            self.chance = None;
            return Poll::Pending;
        };
        let chance = self
            .chance
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(soonest)));
        if chance.deadline() != soonest {
            chance.as_mut().reset(soonest);
        }
        clock::poll_over(chance.as_mut(), cx)
    }

    pub(super) fn is_waiting(&self) -> bool {
        !self.services.is_empty() || self.turn.is_some()
    }

    /// Waits for that endpoint to get ready.
    pub(super) fn push(&mut self, node: Arc<Node>, service: S) {
        self.ids.push(node.id);
        self.services.push((node, service));
    }

    pub(super) fn forget(&mut self, i: usize) -> (Arc<Node>, S) {
        self.ids.remove(i);
        self.services.remove(i)
    }

    /// What became of its place in a line, if that is decided. It leaves the line of an endpoint that is out by now.
    pub(super) fn poll_turn(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Option<(Arc<Node>, Result<Admitted, Rejected>)> {
        let (node, turn) = self.turn.as_mut()?;
        let now = clock::now();
        if node.is_out(now, node.hub.tick(now)) {
            self.turn = None;
            return None;
        }
        let Poll::Ready(result) = turn.as_mut().poll(cx) else {
            return None;
        };
        let node = node.clone();
        self.turn = None;
        Some((node, result))
    }
}

/// Has the call stand in line at the endpoint at which its turn comes first, if nothing but limits is in its way. If
/// that comes too late, or at once, it is decided.
pub(super) fn line_up<T, S>(
    shared: &Shared<T>,
    course: &mut Course,
    waiting: &mut Option<Box<Waiting<S>>>,
    cx: &mut Context<'_>,
    now: Instant,
) -> Option<(Arc<Node>, Result<Admitted, Rejected>)> {
    if waiting.as_ref().is_some_and(|waiting| waiting.turn.is_some()) {
        return None;
    }
    let not_ready = waiting.as_ref().map_or(&[][..], |waiting| &waiting.ids);
    let node = shared.first_turn(&course.tried, not_ready, now)?;
    let guard = node.guard()?;
    let since = *course.in_line_since.get_or_insert(now);
    let deadline = course.deadline.or_else(context::current_deadline);
    let Some(turn) = guard.stand_in_line(since, deadline) else {
        let result = guard.admit(now);
        return Some((node, result));
    };
    let waiting = Waiting::begin(waiting, shared, cx);
    waiting.turn = Some((node, turn));
    waiting.poll_turn(cx)
}

/// Gives the call to the endpoint whose leave it has, if that is still there, and ready.
pub(super) fn board<T, R, Q, E>(
    shared: &Arc<Shared<T>>,
    reach: &R,
    course: &mut Course,
    waiting: &mut Option<Box<Waiting<R::Service>>>,
    (node, admitted): (Arc<Node>, Admitted),
    cx: &mut Context<'_>,
) -> Result<Option<(R::Service, PoolToken)>, E>
where
    R: Reach<T>,
    R::Service: Service<Q, Error = E>,
    E: CallError,
{
    let Some(token) = node.take_in(clock::now(), Some(admitted)) else {
        return Ok(None);
    };
    let Some(target) = shared.target(&node) else {
        token.withdraw();
        return Ok(None);
    };
    let mut service = reach.service(&target);
    match service.poll_ready(cx) {
        Poll::Ready(ready) => go(&node, service, ready, token, course).map(Some),
        Poll::Pending => {
            // Whoever holds a permit makes a call: it goes to the next in the line.
            token.withdraw();
            Waiting::begin(waiting, shared, cx).push(node, service);
            Ok(None)
        }
    }
}
