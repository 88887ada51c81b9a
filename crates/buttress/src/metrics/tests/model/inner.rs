//! A service that does what it is told to.

use std::{collections::BTreeMap, pin::Pin};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Body;

use super::*;
use crate::{error::BoxError, test_services::panics};

/// How a call begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Begin {
    Well,
    ReadyPanics,
    ReadyFails,
    CallPanics,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Act {
    Answer { status: u16, streams: bool },
    Error,
    Rejected(RejectionKind),
    Panic,
}

/// What a body's reader comes upon.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Frame {
    Data,
    /// Data, after which the body knows that it is over.
    Last,
    Trailers,
    End,
    Error,
    Panic,
    /// Nothing yet.
    None,
}

/// What is to be done by the calls, by their numbers.
#[derive(Clone, Default)]
pub(super) struct Cues(Rc<RefCell<Told>>);

#[derive(Default)]
struct Told {
    begin: Option<Begin>,
    acts: BTreeMap<usize, Act>,
    frames: BTreeMap<usize, Frame>,
    /// How many futures and bodies there are.
    alive: usize,
}

impl Cues {
    pub(super) fn begin(&self, begin: Begin) {
        self.0.borrow_mut().begin = Some(begin);
    }

    pub(super) fn act(&self, call: usize, act: Act) {
        self.0.borrow_mut().acts.insert(call, act);
    }

    pub(super) fn frame(&self, call: usize, frame: Frame) {
        self.0.borrow_mut().frames.insert(call, frame);
    }

    pub(super) fn alive(&self) -> usize {
        self.0.borrow().alive
    }

    fn live(&self) -> Alive {
        self.0.borrow_mut().alive += 1;
        Alive(self.clone())
    }

    fn begins(&self, begin: Begin) -> bool {
        self.0.borrow().begin == Some(begin)
    }
}

/// Counts itself.
struct Alive(Cues);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.0.borrow_mut().alive -= 1;
    }
}

pub(super) type Failed = Error<&'static str>;

#[derive(Clone)]
pub(super) struct Inner(pub(super) Cues);

impl Service<Request<usize>> for Inner {
    type Response = Response<Stream>;
    type Error = Failed;
    type Future = Calling;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        if self.0.begins(Begin::ReadyPanics) {
            panics();
        }
        match self.0.begins(Begin::ReadyFails) {
            true => Poll::Ready(Err(Error::Inner("not ready"))),
            false => Poll::Ready(Ok(())),
        }
    }

    fn call(&mut self, request: Request<usize>) -> Calling {
        if self.0.begins(Begin::CallPanics) {
            panics();
        }
        Calling(request.into_body(), self.0.live())
    }
}

pub(super) struct Calling(usize, Alive);

impl Future for Calling {
    type Output = Result<Response<Stream>, Failed>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        let cues = self.1.0.clone();
        let act = cues.0.borrow_mut().acts.remove(&self.0);
        Poll::Ready(match act {
            None => return Poll::Pending,
            Some(Act::Panic) => panics(),
            Some(Act::Error) => Err(Error::Inner("broken")),
            Some(Act::Rejected(kind)) => Err(Rejected::new(kind, "inside").into()),
            Some(Act::Answer { status, streams }) => {
                let mut response = Response::new(Stream {
                    call: self.0,
                    is_over: !streams,
                    alive: cues.live(),
                });
                *response.status_mut() = StatusCode::from_u16(status).expect("a status");
                Ok(response)
            }
        })
    }
}

pub(super) struct Stream {
    call: usize,
    is_over: bool,
    alive: Alive,
}

impl Body for Stream {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, BoxError>>> {
        let frame = self.alive.0.0.borrow_mut().frames.remove(&self.call);
        let data = || http_body::Frame::data(Bytes::from_static(b"x"));
        Poll::Ready(match frame.unwrap_or(Frame::None) {
            Frame::None => return Poll::Pending,
            Frame::Data => Some(Ok(data())),
            Frame::Last => {
                self.is_over = true;
                Some(Ok(data()))
            }
            Frame::Trailers => Some(Ok(http_body::Frame::trailers(HeaderMap::new()))),
            Frame::End => None,
            Frame::Error => Some(Err("broken off".into())),
            Frame::Panic => panics(),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.is_over
    }
}
