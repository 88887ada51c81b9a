use std::{fmt, sync::Arc};

use super::node::{Node, book};
use crate::{
    admission::Admitted,
    clock::{self, Instant},
    error::RejectionKind,
    outcome::{Head, Outcome, Reason, Token, Verdict},
};

/// One call in flight at an endpoint of a [`Pool`](super::Pool), to the end of its response body. Dropped before
/// that, the call was cancelled.
#[must_use = "a token that is dropped is a call that was cancelled"]
pub struct PoolToken {
    /// Taken when the call has ended.
    node: Option<Arc<Node>>,
    admitted: Option<Admitted>,
    began: Instant,
    headers_came: bool,
    /// Control is in the endpoint's service: a drop in between is its panic.
    is_inside: bool,
}

/// Whose latencies are sampled for what is usual in the pool: one in so many successes of an endpoint.
const SAMPLED: u64 = 16;

impl PoolToken {
    #[inline]
    pub(super) fn new(node: Arc<Node>, admitted: Option<Admitted>, began: Instant) -> Self {
        Self {
            node: Some(node),
            admitted,
            began,
            headers_came: false,
            is_inside: false,
        }
    }

    #[inline]
    pub(super) fn set_inside(&mut self, is: bool) {
        self.is_inside = is;
    }

    /// The endpoint, until the call has ended.
    pub(super) fn node(&self) -> Option<&Arc<Node>> {
        self.node.as_ref()
    }

    fn micros(began: Instant, now: Instant) -> f32 {
        now.saturating_duration_since(began).as_secs_f32() * 1e6
    }

    fn settle(&mut self, outcome: Outcome) {
        let Some(node) = self.node.take() else { return };
        let hub = &node.hub;
        match outcome.verdict() {
            Verdict::Success => {
                let count = node.books.count(book::SUCCESS, 1);
                if !self.headers_came || node.measures.is_troubled() || count % SAMPLED == 0 {
                    let now = clock::now();
                    let tick = hub.tick(now);
                    if !self.headers_came {
                        let micros = Self::micros(self.began, now);
                        node.measures.answered(tick, micros);
                        if count % SAMPLED == 0 {
                            hub.note_success(tick, micros, node.in_flight());
                        }
                    }
                    node.measures.succeeded(tick);
                }
                hub.succeeded(&node);
            }
            verdict => {
                let now = clock::now();
                let tick = hub.tick(now);
                let micros = Self::micros(self.began, now);
                let index = match verdict {
                    Verdict::Throttled => book::THROTTLED,
                    Verdict::Neutral => book::NEUTRAL,
                    _ => book::FAILURE,
                };
                node.books.add(index, 1);
                if verdict == Verdict::Neutral {
                    if !self.headers_came {
                        node.measures.took_at_least(tick, micros);
                    }
                } else {
                    node.measures.failed(hub, tick, micros);
                    node.heed(tick, &outcome);
                }
            }
        }
        if let (Some(guard), Some(admitted)) = (node.guard(), self.admitted.take()) {
            guard.finish(admitted, outcome);
        }
        node.leave();
    }

    /// The call was not made after all.
    pub(super) fn withdraw(mut self) {
        let Some(node) = self.node.take() else { return };
        if let (Some(guard), Some(admitted)) = (node.guard(), self.admitted.take()) {
            guard.withdraw(admitted);
        }
        node.leave();
    }

    #[cold]
    fn cancel(&mut self) {
        if self.is_inside {
            return self.settle(Outcome::failure(Reason::Rejected(RejectionKind::Panicked)));
        }
        let Some(node) = self.node.take() else { return };
        node.books.add(book::CANCELLED, 1);
        if !self.headers_came {
            // It has not answered within the time that somebody had for it.
            let now = clock::now();
            let micros = Self::micros(self.began, now);
            node.measures.took_at_least(node.hub.tick(now), micros);
        }
        if let (Some(guard), Some(admitted)) = (node.guard(), self.admitted.take()) {
            guard.cancel(admitted);
        }
        node.leave();
    }
}

impl Token for PoolToken {
    fn head(&mut self, head: Head) {
        let Some(node) = &self.node else { return };
        if !self.headers_came {
            self.headers_came = true;
            let now = clock::now();
            let tick = node.hub.tick(now);
            let micros = Self::micros(self.began, now);
            node.measures.answered(tick, micros);
            if node.books.total(book::SUCCESS) % SAMPLED == 0 {
                node.hub.note_success(tick, micros, node.in_flight());
            }
        }
        if let (Some(guard), Some(admitted)) = (node.guard(), &mut self.admitted) {
            guard.head(admitted, head);
        }
    }

    fn data(&mut self) {
        let Some(node) = &self.node else { return };
        if let (Some(guard), Some(admitted)) = (node.guard(), &mut self.admitted) {
            guard.data(admitted);
        }
    }

    fn finish(mut self, outcome: Outcome) {
        self.settle(outcome);
    }
}

impl Drop for PoolToken {
    #[inline]
    fn drop(&mut self) {
        if self.node.is_some() {
            self.cancel();
        }
    }
}

impl fmt::Debug for PoolToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolToken")
            .field("endpoint", &self.node.as_ref().map(|node| &node.name))
            .field("headers_came", &self.headers_came)
            .finish_non_exhaustive()
    }
}
