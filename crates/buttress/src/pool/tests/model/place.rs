//! What stands behind an endpoint: a service of which everything is said by hand.

use std::{
    collections::BTreeMap,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use super::*;

/// How a call ends inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Success,
    Failure,
    Neutral,
    /// It asks for less, and may say for how long, in milliseconds.
    Throttled(Option<u64>),
    Panic,
}

impl Ending {
    pub(super) fn outcome(self) -> Outcome {
        match self {
            Self::Success => Outcome::SUCCESS,
            Self::Failure => Outcome::failure(Reason::Error),
            Self::Neutral => Outcome::neutral(Reason::Error),
            Self::Throttled(after) => Outcome::from(Verdict::Throttled).with_retry_after(after.map(ms)),
            Self::Panic => unreachable!("it has no result"),
        }
    }
}

pub(super) type Answer = Result<usize, Error<Ending>>;

pub(super) fn judge(answer: &Answer) -> Outcome {
    match answer {
        Ok(_) => Outcome::SUCCESS,
        Err(Error::Inner(ending)) => ending.outcome(),
        Err(error) => Outcome::of_error(error),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Readiness {
    Ready,
    /// Ready, but `call` panics.
    Panics,
    NotReady,
    Broken,
}

/// What has happened inside while a call was polled, and at which endpoint.
#[derive(Clone, Copy, Debug)]
pub(super) enum Seen {
    Broken(usize),
    Called(usize),
    CallPanicked(usize),
    Ended(usize, Ending),
}

/// What all places share: the endings of calls by their numbers, and what is seen of them.
#[derive(Clone, Default)]
pub(super) struct World(Arc<Mutex<Inside>>);

#[derive(Default)]
struct Inside {
    endings: BTreeMap<usize, Ending>,
    wakers: BTreeMap<usize, Waker>,
    seen: Vec<Seen>,
}

impl World {
    fn with<R>(&self, act: impl FnOnce(&mut Inside) -> R) -> R {
        act(&mut self.0.lock().expect("no panic"))
    }

    pub(super) fn end(&self, call: usize, ending: Ending) {
        let waker = self.with(|inside| {
            inside.endings.insert(call, ending);
            inside.wakers.remove(&call)
        });
        waker.expect("it runs").wake();
    }

    pub(super) fn take_seen(&self) -> Vec<Seen> {
        self.with(|inside| std::mem::take(&mut inside.seen))
    }
}

#[derive(Clone)]
pub(super) struct Place {
    number: usize,
    state: Arc<Mutex<(Readiness, Vec<Waker>)>>,
    world: World,
}

impl Place {
    pub(super) fn new(number: usize, world: &World) -> Self {
        let world = world.clone();
        let state = Arc::new(Mutex::new((Readiness::Ready, Vec::new())));
        Self { number, state, world }
    }

    pub(super) fn set(&self, readiness: Readiness) {
        let mut state = self.state.lock().expect("no panic");
        state.0 = readiness;
        let wakers = if readiness == Readiness::NotReady {
            Vec::new()
        } else {
            std::mem::take(&mut state.1)
        };
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// How many clones of it there are.
    pub(super) fn clones(&self) -> usize {
        Arc::strong_count(&self.state)
    }
}

impl Service<usize> for Place {
    type Response = usize;
    type Error = Error<Ending>;
    type Future = Running;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        let mut state = self.state.lock().expect("no panic");
        match state.0 {
            Readiness::NotReady => {
                state.1.push(cx.waker().clone());
                Poll::Pending
            }
            Readiness::Broken => {
                self.world
                    .with(|inside| inside.seen.push(Seen::Broken(self.number)));
                Poll::Ready(Err(Error::Inner(Ending::Failure)))
            }
            Readiness::Ready | Readiness::Panics => Poll::Ready(Ok(())),
        }
    }

    fn call(&mut self, call: usize) -> Running {
        let panics = self.state.lock().expect("no panic").0 == Readiness::Panics;
        let seen = if panics { Seen::CallPanicked } else { Seen::Called };
        self.world.with(|inside| inside.seen.push(seen(self.number)));
        if panics {
            crate::test_services::panics();
        }
        Running {
            call,
            place: self.clone(),
        }
    }
}

pub(super) struct Running {
    call: usize,
    place: Place,
}

impl Future for Running {
    type Output = Answer;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        let number = self.place.number;
        let ending = self.place.world.with(|inside| {
            let ending = inside.endings.remove(&self.call);
            match ending {
                Some(ending) => inside.seen.push(Seen::Ended(number, ending)),
                None => drop(inside.wakers.insert(self.call, cx.waker().clone())),
            }
            ending
        });
        match ending {
            None => Poll::Pending,
            Some(Ending::Success) => Poll::Ready(Ok(number)),
            Some(Ending::Panic) => crate::test_services::panics(),
            Some(ending) => Poll::Ready(Err(Error::Inner(ending))),
        }
    }
}
