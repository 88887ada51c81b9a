//! Bodies, frame by frame.

use std::{
    cell::RefCell,
    collections::VecDeque,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use buttress::{
    Error, Grpc, Http,
    http::ReplayBody,
    outcome::{Outcome, Protocol, Token},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use http_body::{Body, Frame, SizeHint};

use crate::source::Source;

#[derive(Clone, Debug)]
enum Step {
    Pending,
    Data(Bytes),
    Trailers(HeaderMap),
    Error,
}

/// A body that does what it is told, and ends; with or without a word about its size and its end before.
#[derive(Clone, Debug)]
struct Script {
    steps: VecDeque<Step>,
    says_end: bool,
    says_size: bool,
}

impl Script {
    fn new(source: &mut Source<'_>) -> Self {
        let flags = source.byte();
        let steps = (0..source.byte() % 12).map(|_| match source.byte() % 8 {
            0 => Step::Pending,
            1 => Step::Error,
            2 => Step::Trailers(trailers(source.byte())),
            3 => Step::Data(Bytes::new()),
            length => Step::Data(vec![source.byte(); usize::from(length) * 5].into()),
        });
        let mut steps: VecDeque<Step> = steps.collect();
        // Nothing comes after trailers, and nothing after an error.
        if let Some(last) = steps
            .iter()
            .position(|s| matches!(s, Step::Error | Step::Trailers(_)))
        {
            steps.truncate(last + 1);
        }
        Self {
            steps,
            says_end: flags & 1 > 0,
            says_size: flags & 2 > 0,
        }
    }

    fn data(&self) -> Vec<u8> {
        let data = |step: &Step| match step {
            Step::Data(data) => data.to_vec(),
            _ => Vec::new(),
        };
        self.steps.iter().flat_map(data).collect()
    }

    fn trailers(&self) -> Option<HeaderMap> {
        self.steps.iter().find_map(|step| match step {
            Step::Trailers(trailers) => Some(trailers.clone()),
            _ => None,
        })
    }

    fn breaks(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Error))
    }
}

fn trailers(seed: u8) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    if !seed.is_multiple_of(4) {
        let value = HeaderValue::from(u16::from(seed) % 20);
        trailers.insert(HeaderName::from_static("grpc-status"), value);
    }
    trailers
}

impl Body for Script {
    type Data = Bytes;
    type Error = Error<std::io::Error>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.steps.pop_front() {
            None => Poll::Ready(None),
            Some(Step::Pending) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Some(Step::Data(data)) => Poll::Ready(Some(Ok(Frame::data(data)))),
            Some(Step::Trailers(trailers)) => Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
            Some(Step::Error) => Poll::Ready(Some(Err(Error::Inner(std::io::Error::other("broken"))))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.says_end && self.steps.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        if self.says_size {
            SizeHint::with_exact(self.data().len() as u64)
        } else {
            SizeHint::default()
        }
    }
}

/// What came of a token.
#[derive(Debug, Default)]
struct Books {
    finished: Vec<Outcome>,
    dropped: u32,
    data: u32,
}

struct Counted(Rc<RefCell<Books>>, bool);

impl Token for Counted {
    fn data(&mut self) {
        self.0.borrow_mut().data += 1;
    }

    fn finish(mut self, outcome: Outcome) {
        self.1 = true;
        self.0.borrow_mut().finished.push(outcome);
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if !self.1 {
            self.0.borrow_mut().dropped += 1;
        }
    }
}

/// What is read of a body.
#[derive(Debug, PartialEq)]
enum Read {
    Data(Bytes),
    Trailers(HeaderMap),
    Error,
    Pending,
    End,
}

fn poll(body: &mut (impl Body<Data = Bytes> + Unpin)) -> Read {
    match Pin::new(body).poll_frame(&mut Context::from_waker(Waker::noop())) {
        Poll::Pending => Read::Pending,
        Poll::Ready(None) => Read::End,
        Poll::Ready(Some(Err(_))) => Read::Error,
        Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
            Ok(data) => Read::Data(data),
            Err(frame) => Read::Trailers(frame.into_trailers().unwrap_or_default()),
        },
    }
}

/// An observed body, read so far and then dropped: the frames are untouched, and of a call one thing is said, once.
pub(crate) fn observed(bytes: &[u8]) {
    let mut source = Source::new(bytes);
    let (wire, status, polls) = (source.byte(), source.byte(), source.byte() % 16);
    let script = Script::new(&mut source);
    let status = [200, 204, 301, 404, 429, 500, 503][usize::from(status) % 7];
    let mut response = Response::new(script.clone());
    *response.status_mut() = http::StatusCode::from_u16(status).expect("it is one");
    if wire & 2 > 0 {
        let value = HeaderValue::from(u16::from(wire >> 2) % 20);
        response.headers_mut().insert("grpc-status", value);
    }
    if wire & 1 > 0 {
        watched(Grpc::new(), response, script, polls, false);
    } else {
        watched(Http::new(), response, script, polls, true);
    }
}

fn watched<P, B>(
    protocol: P,
    response: Response<Script>,
    mut bare: Script,
    polls: u8,
    ends_with_its_length: bool,
) where
    P: Protocol<Response<Script>, Error<std::io::Error>, Response<Counted> = Response<B>>,
    B: Body<Data = Bytes> + Unpin,
{
    let books = Rc::new(RefCell::new(Books::default()));
    let token = Counted(books.clone(), false);
    let Ok(response) = protocol.observe(Ok(response), Some(token)) else {
        panic!("it was a response");
    };
    let mut body = response.into_body();
    let mut ended = !books.borrow().finished.is_empty();
    for _ in 0..polls {
        let (read, expected) = (poll(&mut body), poll(&mut bare));
        assert_eq!(read, expected);
        assert_eq!(body.is_end_stream(), bare.is_end_stream());
        ended |= match read {
            Read::End | Read::Error | Read::Trailers(_) => true,
            // Hyper asks after a frame, and no other time; or stops when all has come that was promised.
            Read::Data(_) => {
                bare.is_end_stream() || (ends_with_its_length && bare.size_hint().exact() == Some(0))
            }
            Read::Pending => false,
        };
        assert_eq!(books.borrow().finished.len(), usize::from(ended), "{bare:?}");
    }
    drop(body);
    let books = books.borrow();
    assert_eq!(books.finished.len() + books.dropped as usize, 1, "{books:?}");
    assert!(books.data <= 1);
}

/// A body that is remembered while it is sent: what is sent is what came, and if it can be sent again, the same again,
/// from any point at which the first attempt ended.
pub(crate) fn replayed(bytes: &[u8]) {
    let mut source = Source::new(bytes);
    let (limit, polls, again) = (usize::from(source.byte()), source.byte() % 32, source.byte() % 32);
    let script = Script::new(&mut source);
    let (mut first, saved) = ReplayBody::save(script.clone(), limit);
    let sent = read(&mut first, polls);
    holds(&sent, &script);
    drop(first);
    let Some(saved) = saved else {
        return;
    };
    let Some(mut second) = saved.again::<Script>() else {
        return;
    };
    assert!(!script.breaks(), "a body that broke off is not sent again");
    assert!(script.data().len() <= limit, "no more is kept than was allowed");
    let part = read(&mut second, again);
    holds(&part, &script);
    // Each attempt has all of it, however far the one before had come.
    let whole = read(&mut saved.again::<Script>().expect("it could before"), u8::MAX);
    assert!(whole.over);
    assert_eq!(whole.data, script.data());
    assert_eq!(
        whole.trailers,
        script
            .trailers()
            .filter(|trailers| !trailers.is_empty() || whole.trailers.is_some())
    );
}

#[derive(Debug, Default)]
struct Sent {
    data: Vec<u8>,
    trailers: Option<HeaderMap>,
    over: bool,
    broken: bool,
}

fn read(body: &mut (impl Body<Data = Bytes> + Unpin), polls: u8) -> Sent {
    let mut sent = Sent::default();
    for _ in 0..polls {
        if body.is_end_stream() {
            sent.over = true;
            break;
        }
        match poll(body) {
            Read::Pending => {}
            Read::Data(data) => sent.data.extend_from_slice(&data),
            Read::Trailers(trailers) => {
                sent.trailers = Some(trailers);
                sent.over = true;
                break;
            }
            Read::Error => {
                sent.broken = true;
                break;
            }
            Read::End => {
                sent.over = true;
                break;
            }
        }
    }
    sent
}

/// What was sent is how the body began; all of it, if it is over.
fn holds(sent: &Sent, script: &Script) {
    let data = script.data();
    assert!(data.starts_with(&sent.data), "{sent:?}");
    assert!(!sent.broken || script.breaks());
    if sent.over {
        assert_eq!(sent.data, data);
        assert!(!script.breaks());
    }
}
