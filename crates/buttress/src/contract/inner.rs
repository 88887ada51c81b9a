//! The service inside: does as it is told, and sees what is done to it.

use std::{
    marker::PhantomPinned,
    mem,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Waker},
};

use pin_project_lite::pin_project;
use tower_service::Service;

use crate::Error;

/// The error that the service is no more.
pub(super) const GONE: &str = "gone for good";

/// What its error is like: it has room for a rejection, so that it needs no layer around it.
pub(super) type Failed = Error<&'static str>;

/// What `poll_ready` does.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Readiness {
    #[default]
    Open,
    Shut,
    Gone,
    Panics,
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) enum Manner {
    #[default]
    Answers,
    Fails,
    /// There is no answer until [`World::release`].
    Holds,
    /// The body has one frame, and no end.
    #[cfg_attr(not(feature = "http"), allow(dead_code))]
    HoldsBody,
    PanicsInCall,
    PanicsInFuture,
    #[cfg_attr(not(feature = "http"), allow(dead_code))]
    PanicsInBody,
}

/// What all clones of a service share.
#[derive(Debug, Default)]
pub(super) struct World {
    readiness: Mutex<Readiness>,
    manner: Mutex<Manner>,
    /// What becomes of the next call only.
    next: Mutex<Option<Manner>>,
    waiting: Mutex<Vec<Waker>>,
    places: AtomicUsize,
    futures: AtomicUsize,
    bodies: AtomicUsize,
    calls: AtomicUsize,
    calls_unready: AtomicUsize,
}

/// A test that panicked while it held the lock has told what it has to tell.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl World {
    pub(super) fn set_readiness(&self, readiness: Readiness) {
        *lock(&self.readiness) = readiness;
        self.wake();
    }

    pub(super) fn set_manner(&self, manner: Manner) {
        *lock(&self.manner) = manner;
    }

    pub(super) fn set_next(&self, manner: Manner) {
        *lock(&self.next) = Some(manner);
    }

    /// Lets the calls that are held be answered, and all that come.
    pub(super) fn release(&self) {
        self.set_manner(Manner::Answers);
        self.wake();
    }

    fn wake(&self) {
        let waiting = mem::take(&mut *lock(&self.waiting));
        waiting.into_iter().for_each(Waker::wake);
    }

    fn wait(&self, cx: &Context<'_>) {
        lock(&self.waiting).push(cx.waker().clone());
    }

    /// Places that are reserved by services that are ready.
    pub(super) fn places(&self) -> usize {
        self.places.load(SeqCst)
    }

    pub(super) fn calls(&self) -> usize {
        self.calls.load(SeqCst)
    }

    /// Calls of an instance that was not found ready before.
    pub(super) fn calls_unready(&self) -> usize {
        self.calls_unready.load(SeqCst)
    }

    /// Reserved places, futures and bodies that are there.
    pub(super) fn alive(&self) -> [usize; 3] {
        [&self.places, &self.futures, &self.bodies].map(|n| n.load(SeqCst))
    }
}

/// Is counted while it is there.
#[derive(Debug)]
struct Counted(Arc<World>, fn(&World) -> &AtomicUsize);

impl Counted {
    fn new(world: &Arc<World>, counter: fn(&World) -> &AtomicUsize) -> Self {
        counter(world).fetch_add(1, SeqCst);
        Self(world.clone(), counter)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.1(&self.0).fetch_sub(1, SeqCst);
    }
}

/// The service. Being ready is a place that it has, as in tower's own `Buffer` and `ConcurrencyLimit`, and no clone of
/// it has that place.
#[derive(Debug)]
pub(super) struct Inner {
    world: Arc<World>,
    place: Option<Counted>,
}

impl Inner {
    pub(super) fn new(world: &Arc<World>) -> Self {
        Self {
            world: world.clone(),
            place: None,
        }
    }

    fn poll_place(&mut self, cx: &Context<'_>) -> Poll<Result<(), Failed>> {
        let readiness = *lock(&self.world.readiness);
        match readiness {
            _ if self.place.is_some() => Poll::Ready(Ok(())),
            Readiness::Open => {
                self.place = Some(Counted::new(&self.world, |w| &w.places));
                Poll::Ready(Ok(()))
            }
            Readiness::Shut => {
                self.world.wait(cx);
                Poll::Pending
            }
            Readiness::Gone => Poll::Ready(Err(Error::Inner(GONE))),
            Readiness::Panics => panic!("in poll_ready"),
        }
    }

    fn begin<T>(&mut self, answer: fn(Arc<World>, Manner) -> T) -> Answering<T> {
        if self.place.take().is_none() {
            self.world.calls_unready.fetch_add(1, SeqCst);
        }
        self.world.calls.fetch_add(1, SeqCst);
        let next = lock(&self.world.next).take();
        let manner = next.unwrap_or_else(|| *lock(&self.world.manner));
        assert_ne!(manner, Manner::PanicsInCall);
        Answering {
            alive: Counted::new(&self.world, |w| &w.futures),
            manner,
            answer,
            pinned: PhantomPinned,
        }
    }
}

impl Clone for Inner {
    fn clone(&self) -> Self {
        Self::new(&self.world)
    }
}

pin_project! {
    /// A call. It may not be moved once it is polled.
    pub(super) struct Answering<T> {
        alive: Counted,
        manner: Manner,
        answer: fn(Arc<World>, Manner) -> T,
        #[pin]
        pinned: PhantomPinned,
    }
}

impl<T> Future for Answering<T> {
    type Output = Result<T, Failed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let world = &this.alive.0;
        match this.manner {
            Manner::Holds if *lock(&world.manner) == Manner::Holds => {
                world.wait(cx);
                Poll::Pending
            }
            Manner::Fails => Poll::Ready(Err(Error::Inner("broken"))),
            Manner::PanicsInFuture => panic!("in a future"),
            manner => Poll::Ready(Ok((this.answer)(world.clone(), *manner))),
        }
    }
}

impl Service<u32> for Inner {
    type Response = u32;
    type Error = Failed;
    type Future = Answering<u32>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        self.poll_place(cx)
    }

    fn call(&mut self, _: u32) -> Self::Future {
        self.begin(|_, _| 7)
    }
}

#[cfg(feature = "http")]
mod over_http {
    use bytes::Bytes;
    use http::{Request, Response};
    use http_body::Frame;

    use super::*;

    pin_project! {
        /// A body of one frame. It may not be moved once it is polled.
        pub(crate) struct InnerBody {
            alive: Counted,
            manner: Manner,
            is_told: bool,
            #[pin]
            pinned: PhantomPinned,
        }
    }

    impl http_body::Body for InnerBody {
        type Data = Bytes;
        type Error = std::io::Error;

        fn poll_frame(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            let this = self.project();
            assert_ne!(*this.manner, Manner::PanicsInBody);
            if !mem::replace(this.is_told, true) {
                return Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"well")))));
            }
            if *this.manner == Manner::HoldsBody {
                this.alive.0.wait(cx);
                return Poll::Pending;
            }
            Poll::Ready(None)
        }
    }

    impl<B> Service<Request<B>> for Inner {
        type Response = Response<InnerBody>;
        type Error = Failed;
        type Future = Answering<Response<InnerBody>>;

        fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failed>> {
            self.poll_place(cx)
        }

        fn call(&mut self, _: Request<B>) -> Self::Future {
            self.begin(|world, manner| {
                Response::new(InnerBody {
                    alive: Counted::new(&world, |w| &w.bodies),
                    manner,
                    is_told: false,
                    pinned: PhantomPinned,
                })
            })
        }
    }
}
