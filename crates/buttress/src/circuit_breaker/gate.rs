//! Readiness as a hint, for balancers.

use std::{
    fmt, mem,
    pin::Pin,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicUsize,
            Ordering::{Relaxed, SeqCst},
            fence,
        },
    },
    task::{Context, Poll, Waker, ready},
};

use tokio::time::Sleep;
use tower_layer::Layer;
use tower_service::Service;

use super::{
    CircuitBreaker, CircuitBreakerLayer, CircuitBreakerService, Permit, future::CircuitBreakerFuture,
};
use crate::{
    error::CallError,
    outcome::{Plain, Protocol},
};

/// A [`CircuitBreakerLayer`] whose services are `Pending` while a call would be refused, from
/// [`CircuitBreakerLayer::gate`].
///
/// For balancers and pools that choose among ready services: an open one is passed over, and offers itself again
/// once a probe may run. It is a hint and reserves nothing: the permit is taken in `call`, which may still be
/// refused if others came first. A service that stands alone should not use it, since its callers would wait
/// where they could have been told.
#[derive(Clone, Debug)]
pub struct GateLayer<P = Plain> {
    layer: CircuitBreakerLayer<P>,
}

/// A service behind a breaker that shows the breaker's state as readiness; see [`GateLayer`].
pub struct GateService<S, P = Plain> {
    inner: CircuitBreakerService<S, P>,
    gate: Option<Gate>,
}

impl<P> GateLayer<P> {
    pub(super) fn new(layer: CircuitBreakerLayer<P>) -> Self {
        Self { layer }
    }
}

impl<S, P: Clone> Layer<S> for GateLayer<P> {
    type Service = GateService<S, P>;

    fn layer(&self, inner: S) -> Self::Service {
        GateService {
            inner: self.layer.layer(inner),
            gate: self.layer.breaker().cloned().map(Gate::new),
        }
    }
}

impl<S, P, Request> Service<Request> for GateService<S, P>
where
    S: Service<Request>,
    S::Error: CallError,
    P: Protocol<S::Response, S::Error>,
{
    type Response = P::Response<Permit>;
    type Error = S::Error;
    type Future = CircuitBreakerFuture<S::Future, P>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        // The gate first: whoever waits at it must not hold a place in the inner service meanwhile.
        if let Some(gate) = &mut self.gate {
            ready!(gate.poll_open(cx));
        }
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        self.inner.call(request)
    }
}

/// A clone waits for itself.
impl<S: Clone, P: Clone> Clone for GateService<S, P> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            gate: self.gate.as_ref().map(|gate| Gate::new(gate.breaker.clone())),
        }
    }
}

impl<S: fmt::Debug, P: fmt::Debug> fmt::Debug for GateService<S, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("GateService").field(&self.inner).finish()
    }
}

/// One who waits for a breaker.
struct Gate {
    breaker: CircuitBreaker,
    ticket: Option<usize>,
    /// Boxed because it is made only when the breaker is found shut, which no call's way leads through.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Gate {
    fn new(breaker: CircuitBreaker) -> Self {
        Self {
            breaker,
            ticket: None,
            timer: None,
        }
    }

    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let core = &self.breaker.core;
        if core.would_admit(core.now()) {
            self.leave();
            return Poll::Ready(());
        }
        // First the waker, then a second look: what happens in between wakes us.
        self.ticket = Some(core.waiters.wait(self.ticket, cx.waker()));
        loop {
            let now = core.now();
            if core.would_admit(now) {
                self.leave();
                return Poll::Ready(());
            }
            let Some(chance) = core.next_chance(now) else {
                self.timer = None;
                return Poll::Pending;
            };
            let at = core.instant(chance);
            let timer = self
                .timer
                .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
            if timer.deadline() != at {
                timer.as_mut().reset(at);
            }
            ready!(timer.as_mut().poll(cx));
            self.timer = None;
        }
    }

    fn leave(&mut self) {
        self.timer = None;
        if let Some(ticket) = self.ticket.take() {
            self.breaker.core.waiters.leave(ticket);
        }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Those who wait for a breaker to let them try.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    waiting: AtomicUsize,
    // Only services that wait, and changes of state, come here; a call does not. Nothing of a waker's runs under it, not
    // even its `clone`: a waker is foreign code, and may own a service that waits here too.
    list: Mutex<Vec<Place>>,
}

#[derive(Debug, Default)]
enum Place {
    #[default]
    Free,
    /// Without a waker once it has been woken, until it asks again.
    Held(Option<Waker>),
}

impl Place {
    fn take(&mut self) -> Option<Waker> {
        match self {
            Self::Free => None,
            Self::Held(waker) => waker.take(),
        }
    }
}

impl Waiters {
    /// Leaves a waker, in the place held already or in a new one.
    fn wait(&self, ticket: Option<usize>, waker: &Waker) -> usize {
        let waker = waker.clone();
        let mut list = self.list();
        let ticket = ticket.unwrap_or_else(|| {
            self.waiting.fetch_add(1, Relaxed);
            match list.iter().position(|place| matches!(place, Place::Free)) {
                Some(free) => free,
                None => {
                    list.push(Place::Free);
                    list.len() - 1
                }
            }
        });
        let replaced = mem::replace(&mut list[ticket], Place::Held(Some(waker)));
        drop(list);
        // Either the waiter sees the new state, or who changed it sees the waiter.
        fence(SeqCst);
        drop(replaced);
        ticket
    }

    fn leave(&self, ticket: usize) {
        let left = mem::take(&mut self.list()[ticket]);
        self.waiting.fetch_sub(1, Relaxed);
        drop(left);
    }

    /// Wakes all of them; they keep their places, and leave another waker if they have to wait on.
    pub(super) fn wake(&self) {
        fence(SeqCst);
        if self.waiting.load(Relaxed) == 0 {
            return;
        }
        let wakers: Vec<Waker> = self.list().iter_mut().filter_map(Place::take).collect();
        wakers.into_iter().for_each(Waker::wake);
    }

    fn list(&self) -> MutexGuard<'_, Vec<Place>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many wait by the counter, and how many wakers there are.
    #[cfg(all(test, not(loom)))]
    pub(super) fn registered(&self) -> (usize, usize) {
        let held = |place: &&Place| matches!(place, Place::Held(Some(_)));
        (
            self.waiting.load(Relaxed),
            self.list().iter().filter(held).count(),
        )
    }
}
