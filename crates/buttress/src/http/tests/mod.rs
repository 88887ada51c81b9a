//! A token that writes down what it sees, and a body that follows a script.

mod any_script;
mod grpc;
mod observed;
mod peek;
mod peer;
mod status;

use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::{Pin, pin},
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame, SizeHint};

use super::{EndOfBody, Observed};
use crate::{
    error::Error,
    outcome::{Head, Outcome, Protocol, RequestProtocol, Token},
};

type Refusable = Error<Infallible>;

/// What a token has seen.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Seen {
    Head(Head),
    Data,
    Finished(Outcome),
    Cancelled,
}

#[derive(Clone, Debug, Default)]
struct Journal(Arc<Mutex<Vec<Seen>>>);

impl Journal {
    fn token(&self) -> Option<Journaled> {
        Some(Journaled {
            journal: self.clone(),
            finished: false,
        })
    }

    fn write(&self, seen: Seen) {
        self.0.lock().expect("no panic while locked").push(seen);
    }

    fn read(&self) -> Vec<Seen> {
        self.0.lock().expect("no panic while locked").clone()
    }
}

struct Journaled {
    journal: Journal,
    finished: bool,
}

impl Token for Journaled {
    fn head(&mut self, head: Head) {
        self.journal.write(Seen::Head(head));
    }

    fn data(&mut self) {
        self.journal.write(Seen::Data);
    }

    fn finish(mut self, outcome: Outcome) {
        self.finished = true;
        self.journal.write(Seen::Finished(outcome));
    }
}

impl Drop for Journaled {
    fn drop(&mut self) {
        if !self.finished {
            self.journal.write(Seen::Cancelled);
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Data(&'static str),
    Trailers(HeaderMap),
    Error,
    Pending,
    Panic,
}

/// A body that does step by step as it is told, then ends.
#[derive(Clone, Debug, Default)]
struct Script {
    steps: VecDeque<Step>,
    /// Whether `is_end_stream` says so where nothing is left.
    tells_end: bool,
}

impl Script {
    fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        Self {
            steps: steps.into_iter().collect(),
            tells_end: false,
        }
    }

    fn telling_end(mut self) -> Self {
        self.tells_end = true;
        self
    }
}

impl Body for Script {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.steps.pop_front() {
            None => Poll::Ready(None),
            Some(Step::Data(data)) => Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(data.as_bytes()))))),
            Some(Step::Trailers(trailers)) => Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
            Some(Step::Error) => Poll::Ready(Some(Err("broken"))),
            Some(Step::Pending) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Some(Step::Panic) => panic!("a body that panics"),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.tells_end && self.steps.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = SizeHint::new();
        hint.set_lower(self.steps.len() as u64);
        hint
    }
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let value = |value: &str| value.parse().expect("a header value");
    pairs
        .iter()
        .map(|(name, v)| (http::HeaderName::from_static(name), value(v)))
        .collect()
}

fn trailers(status: &str) -> Step {
    Step::Trailers(headers(&[("grpc-status", status)]))
}

fn response(status: u16, head: &[(&'static str, &str)], body: Script) -> Response<Script> {
    let mut response = Response::new(body);
    *response.status_mut() = status.try_into().expect("a status");
    *response.headers_mut() = headers(head);
    response
}

type Polled<D, E> = Poll<Option<Result<Frame<D>, E>>>;

/// One poll.
fn poll<B: Body + Unpin>(body: &mut B) -> Polled<B::Data, B::Error> {
    pin!(body).poll_frame(&mut Context::from_waker(Waker::noop()))
}

/// Reads to the end as hyper does: until `None`, an error, or `is_end_stream`.
fn drain<B: Body + Unpin>(mut body: B) {
    while !body.is_end_stream() {
        match poll(&mut body) {
            Poll::Ready(None | Some(Err(_))) => break,
            Poll::Ready(Some(Ok(_))) | Poll::Pending => {}
        }
    }
}

/// What a token sees of a response that is read to its end.
fn watched<P, J>(protocol: &P, response: Response<Script>) -> Vec<Seen>
where
    P: Protocol<Response<Script>, Refusable, Response<Journaled> = Response<Observed<Script, Journaled, J>>>,
    J: EndOfBody,
    Observed<Script, Journaled, J>: Unpin,
{
    let journal = Journal::default();
    let response = protocol
        .observe(Ok(response), journal.token())
        .expect("it was `Ok`");
    drain(response.into_body());
    journal.read()
}

/// The outcome of a response that is read to its end, and whether the headers told it.
fn outcome<P, J>(protocol: &P, response: Response<Script>) -> (Outcome, bool)
where
    P: Protocol<Response<Script>, Refusable, Response<Journaled> = Response<Observed<Script, Journaled, J>>>,
    J: EndOfBody,
    Observed<Script, Journaled, J>: Unpin,
{
    let early = protocol.verdict(&Ok(response.clone()));
    let seen = watched(protocol, response);
    let Some(&Seen::Finished(outcome)) = seen.last() else {
        panic!("unfinished: {seen:?}");
    };
    match early {
        // A verdict at the headers is the only thing that the token sees.
        Some(early) => assert_eq!((seen.len(), early), (1, outcome)),
        None => assert!(matches!(seen[0], Seen::Head(_)), "{seen:?}"),
    }
    (outcome, early.is_some())
}
