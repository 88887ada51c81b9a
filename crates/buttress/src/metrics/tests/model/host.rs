//! Makes the calls, and reads what they answer.

use std::pin::Pin;

use http::{Request, Response};
use http_body::Body;
use tokio_test::task::{Spawn, spawn};

use super::{
    inner::{Cues, Failed, Inner, Stream},
    naive::Naive,
    *,
};
use crate::{
    Http,
    http::Observed,
    metrics::MetricsToken,
    recover::{Place, Recover, RecoverBody, RecoverLayer},
};

type Answered = Result<Response<Observed<RecoverBody<Stream>, MetricsToken>>, Failed>;
type Calling = Pin<Box<dyn Future<Output = Answered>>>;
type ToBeRead = Pin<Box<Observed<RecoverBody<Stream>, MetricsToken>>>;

pub(super) struct Host {
    metrics: Metrics,
    recover: Recover,
    cues: Cues,
    naive: Naive,
    recovers: bool,
    /// Calls without an answer, with what has been seen of them.
    calls: Vec<(usize, Spawn<Calling>, Seen)>,
    bodies: Vec<(usize, ToBeRead)>,
}

/// Whether the call has panicked already, behind its caller's back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Seen {
    Nothing,
    CallPanicked,
}

impl Host {
    pub(super) fn new(recovers: bool) -> Self {
        Self {
            metrics: Metrics::new(),
            recover: Recover::new(),
            cues: Cues::default(),
            naive: Naive::new(recovers),
            recovers,
            calls: Vec::new(),
            bodies: Vec::new(),
        }
    }

    pub(super) async fn perform(&mut self, step: Step) {
        match step {
            Step::Begin(begin) => self.begin(begin),
            Step::Look(i) if !self.calls.is_empty() => self.look(i % self.calls.len(), None),
            Step::Act(i, act) if !self.calls.is_empty() => self.look(i % self.calls.len(), Some(act)),
            Step::Frame(i, frame) if !self.bodies.is_empty() => self.read(i % self.bodies.len(), frame),
            Step::DropCall(i) if !self.calls.is_empty() => {
                let (call, future, _) = self.calls.swap_remove(i % self.calls.len());
                drop(future);
                self.naive.dropped(call);
            }
            Step::DropBody(i) if !self.bodies.is_empty() => {
                let (call, body) = self.bodies.swap_remove(i % self.bodies.len());
                drop(body);
                self.naive.dropped(call);
            }
            Step::Pass(time) => {
                tokio::time::advance(ms(time)).await;
                self.naive.now += time;
            }
            _ => {}
        }
        self.compare(step);
    }

    fn begin(&mut self, begin: Begin) {
        self.cues.begin(begin);
        let recover = self.recovers.then(|| self.recover.clone());
        let inner = RecoverLayer::new(recover, Http::new()).layer(Inner(self.cues.clone()));
        let mut service = self.metrics.layer_for(Http::new()).layer(inner);
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let ready = catch_unwind(AssertUnwindSafe(|| service.poll_ready(&mut cx)));
        match (ready, begin) {
            (Ok(Poll::Ready(Ok(()))), Begin::Well | Begin::CallPanics) => {}
            (Ok(Poll::Ready(Err(Error::Inner(_)))), Begin::ReadyFails) => return,
            (Ok(Poll::Ready(Err(Error::Rejected(_)))), Begin::ReadyPanics) if self.recovers => {
                return self.naive.caught(Place::Ready);
            }
            (Err(_), Begin::ReadyPanics) if !self.recovers => return,
            (ready, _) => panic!("{ready:?} after {begin:?}"),
        }
        let number = self.naive.begin();
        match catch_unwind(AssertUnwindSafe(|| service.call(Request::new(number)))) {
            Ok(future) => {
                let panicked = begin == Begin::CallPanics;
                let seen = if panicked {
                    Seen::CallPanicked
                } else {
                    Seen::Nothing
                };
                if panicked {
                    self.naive.caught(Place::Call);
                }
                self.calls.push((number, spawn(Box::pin(future)), seen));
            }
            Err(_) => {
                assert!(!self.recovers && begin == Begin::CallPanics);
                self.naive.panicked(number, Place::Call);
            }
        }
    }

    fn look(&mut self, i: usize, act: Option<Act>) {
        let (call, future, seen) = &mut self.calls[i];
        let (call, seen) = (*call, *seen);
        if let Some(act) = act {
            self.cues.act(call, act);
        }
        let polled = catch_unwind(AssertUnwindSafe(|| future.poll()));
        match (seen, act) {
            (Seen::CallPanicked, _) => self.naive.rejected_after_panic(call),
            (Seen::Nothing, Some(act)) => self.naive.act(call, act),
            (Seen::Nothing, None) => return assert!(matches!(polled, Ok(Poll::Pending))),
        }
        drop(self.calls.swap_remove(i));
        match polled {
            Ok(Poll::Ready(Ok(response))) => self.bodies.push((call, Box::pin(response.into_body()))),
            Ok(Poll::Ready(Err(_))) => {}
            Err(_) => assert!(!self.recovers && act == Some(Act::Panic)),
            Ok(Poll::Pending) => panic!("{act:?} is the end of it"),
        }
    }

    fn read(&mut self, i: usize, frame: Frame) {
        let (call, body) = &mut self.bodies[i];
        let call = *call;
        self.cues.frame(call, frame);
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let polled = catch_unwind(AssertUnwindSafe(|| body.as_mut().poll_frame(&mut cx)));
        self.naive.frame(call, frame);
        let is_over = match (&polled, frame) {
            (Ok(Poll::Pending), Frame::None) => false,
            (Ok(Poll::Ready(Some(Ok(_)))), Frame::Data | Frame::Last | Frame::Trailers) => {
                frame != Frame::Data
            }
            (Ok(Poll::Ready(None)), Frame::End) | (Ok(Poll::Ready(Some(Err(_)))), Frame::Error) => true,
            (Ok(Poll::Ready(Some(Err(_)))), Frame::Panic) => {
                assert!(self.recovers);
                assert!(
                    matches!(body.as_mut().poll_frame(&mut cx), Poll::Ready(None)),
                    "one error"
                );
                true
            }
            (Err(_), Frame::Panic) => {
                assert!(!self.recovers);
                true
            }
            _ => panic!("{polled:?} for {frame:?}"),
        };
        if is_over {
            drop(self.bodies.swap_remove(i));
        }
    }

    fn compare(&self, step: Step) {
        let (state, naive) = (self.metrics.snapshot(), &self.naive);
        assert_eq!(state.outcomes, naive.outcomes(), "after {step:?}");
        assert_eq!(
            (state.started, state.in_flight),
            (naive.started(), naive.in_flight()),
            "after {step:?}"
        );
        assert_eq!(state.started, state.outcomes.total() + state.in_flight);
        assert_eq!(
            (state.to_headers.count(), state.to_end.count()),
            (naive.answers(), state.outcomes.total()),
            "after {step:?}"
        );
        assert_eq!(state.recent_latency, naive.recent_latency(), "after {step:?}");
        for place in Place::ALL {
            let caught = naive.panics.iter().filter(|panic| **panic == place).count();
            assert_eq!(
                self.recover.panics_in(place),
                caught as u64,
                "{place:?} after {step:?}"
            );
        }
        assert_eq!(self.cues.alive(), self.running(), "after {step:?}");
    }

    /// How many futures and bodies of the service's there should be.
    fn running(&self) -> usize {
        let calls = self.calls.iter().filter(|(_, _, seen)| *seen == Seen::Nothing);
        calls.count() + self.bodies.len()
    }

    pub(super) fn end(mut self) {
        let calls = std::mem::take(&mut self.calls).into_iter().map(|(call, ..)| call);
        let bodies = std::mem::take(&mut self.bodies).into_iter().map(|(call, _)| call);
        calls.chain(bodies).for_each(|call| self.naive.dropped(call));
        self.compare(Step::Pass(0));
        assert_eq!((self.metrics.snapshot().in_flight, self.cues.alive()), (0, 0));
    }
}
