use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
};

use tower::Service;

use crate::Error;

/// What is alive of a service: responses, futures, requests, clones.
#[derive(Debug, Default)]
pub(crate) struct Alive {
    responses: AtomicUsize,
    futures: AtomicUsize,
    requests: AtomicUsize,
    services: AtomicUsize,
    calls: AtomicUsize,
}

impl Alive {
    /// Responses, futures, requests, clones of the service.
    pub(crate) fn all(&self) -> [usize; 4] {
        [&self.responses, &self.futures, &self.requests, &self.services].map(|n| n.load(SeqCst))
    }

    /// How many calls there have been.
    pub(crate) fn calls(&self) -> usize {
        self.calls.load(SeqCst)
    }
}

/// Counts itself while it is alive.
#[derive(Debug)]
pub(crate) struct Counted(Arc<Alive>, fn(&Alive) -> &AtomicUsize);

impl Counted {
    fn new(alive: &Arc<Alive>, counter: fn(&Alive) -> &AtomicUsize) -> Self {
        counter(alive).fetch_add(1, SeqCst);
        Self(alive.clone(), counter)
    }

    pub(crate) fn request(alive: &Arc<Alive>) -> Self {
        Self::new(alive, |a| &a.requests)
    }
}

impl Clone for Counted {
    fn clone(&self) -> Self {
        Self::new(&self.0, self.1)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.1(&self.0).fetch_sub(1, SeqCst);
    }
}

/// Each call is pending once in readiness and some times in its future, and then answers.
pub(crate) struct Probe {
    alive: Counted,
    pending: u32,
    asked: bool,
}

impl Probe {
    /// Its futures are pending so many times.
    pub(crate) fn new(alive: &Arc<Alive>, pending: u32) -> Self {
        Self {
            alive: Counted::new(alive, |a| &a.services),
            pending,
            asked: false,
        }
    }
}

impl Clone for Probe {
    fn clone(&self) -> Self {
        Self {
            alive: self.alive.clone(),
            pending: self.pending,
            asked: false,
        }
    }
}

/// A call of a [`Probe`].
pub(crate) struct Probing {
    alive: Counted,
    pending: u32,
}

/// The result of a call of a [`Probe`].
pub(crate) type Probed = Result<Counted, Error<&'static str>>;

impl Service<Counted> for Probe {
    type Response = Counted;
    type Error = Error<&'static str>;
    type Future = Probing;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        if !self.asked {
            self.asked = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Counted) -> Self::Future {
        assert!(std::mem::take(&mut self.asked), "called without being ready");
        self.alive.0.calls.fetch_add(1, SeqCst);
        Probing {
            alive: Counted::new(&self.alive.0, |a| &a.futures),
            pending: self.pending,
        }
    }
}

impl Future for Probing {
    type Output = Probed;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Probed> {
        if self.pending > 0 {
            self.pending -= 1;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Ok(Counted::new(&self.alive.0, |a| &a.responses)))
    }
}
