//! A service whose headers and frames come when they are told to, and a reader that takes its time.

use std::{future::poll_fn, pin::pin, sync::Mutex};

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use tokio::time::{Sleep, sleep, sleep_until};

use super::*;

/// What comes next in a body.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    Data,
    Trailers,
    Error,
    Never,
}

/// What a service has seen of a call: how much time it was given, and when it was dropped.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    pub(super) asked: Option<u64>,
    pub(super) gone: Option<u64>,
}

#[derive(Clone)]
pub(super) struct Sender {
    born: Instant,
    calls: Arc<[Call]>,
    seen: Arc<Mutex<Vec<Option<Seen>>>>,
}

impl Sender {
    pub(super) fn new(calls: Vec<Call>) -> Self {
        Self {
            born: clock::now(),
            seen: Arc::new(Mutex::new(vec![None; calls.len()])),
            calls: calls.into(),
        }
    }

    pub(super) fn seen(&self, call: usize) -> Option<Seen> {
        self.seen.lock().expect("no panic")[call]
    }
}

/// Notes when a call is dropped, be it before its headers or after.
struct Presence(Sender, usize);

impl Drop for Presence {
    fn drop(&mut self) {
        let gone = (clock::now() - self.0.born).as_millis() as u64;
        let mut seen = self.0.seen.lock().expect("no panic");
        seen[self.1].as_mut().expect("it was called").gone = Some(gone);
    }
}

impl Service<Request<usize>> for Sender {
    type Response = Response<Frames>;
    type Error = Refusal;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Frames>, Refusal>>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<usize>) -> Self::Future {
        let number = *request.body();
        let asked = Grpc::new().timeout(&request).map(|time| time.as_millis() as u64);
        self.seen.lock().expect("no panic")[number] = Some(Seen { asked, gone: None });
        let presence = Presence(self.clone(), number);
        let call = self.calls[number].clone();
        Box::pin(async move {
            match call.headers {
                None => std::future::pending().await,
                Some(0) => {}
                Some(time) => sleep(millis(time)).await,
            }
            let mut at = clock::now();
            let body = call.body.into_iter().map(|(gap, kind)| {
                at += millis(gap);
                (at, kind)
            });
            let mut body: Vec<_> = body.collect();
            body.reverse();
            Ok(Response::new(Frames {
                body,
                timer: None,
                _presence: presence,
            }))
        })
    }
}

/// Frames with the moments from which they are there, the last first.
pub(super) struct Frames {
    body: Vec<(Instant, Kind)>,
    timer: Option<Pin<Box<Sleep>>>,
    _presence: Presence,
}

impl Body for Frames {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Some((at, kind)) = self.body.last().copied() else {
            return Poll::Ready(None);
        };
        if kind == Kind::Never {
            return Poll::Pending;
        }
        if clock::now() < at {
            let timer = self.timer.insert(Box::pin(sleep_until(at)));
            return timer
                .as_mut()
                .poll(cx)
                .map(|()| unreachable!("it is not time yet"));
        }
        self.body.pop();
        Poll::Ready(Some(match kind {
            Kind::Data => Ok(Frame::data(Bytes::from_static(b"x"))),
            Kind::Trailers => Ok(Frame::trailers(HeaderMap::new())),
            _ => Err("broken".into()),
        }))
    }
}

impl Call {
    pub(super) fn request(&self, number: usize) -> Request<usize> {
        let mut request = Request::new(number);
        if let Some(asks) = self.asks {
            let asks = format!("{asks}m").parse().expect("a value");
            request.headers_mut().insert("grpc-timeout", asks);
        }
        if let Some(after) = self.deadline {
            let now = clock::now();
            let before = now.checked_sub(millis(after.unsigned_abs()));
            let deadline = if after < 0 {
                before.expect("a moment")
            } else {
                now + millis(after as u64)
            };
            request.extensions_mut().insert(context_until(deadline));
        }
        request
    }

    /// Reads a body as its reader does, to its end.
    pub(super) async fn read(&self, body: impl Body<Data = Bytes, Error = BoxError>) -> (usize, How) {
        let mut body = pin!(body);
        let mut frames = 0;
        for (pause, look) in self.reads.iter().cycle() {
            sleep_unless_zero(*pause).await;
            let mut frame = None;
            if let Some(stays_after) = look {
                let looked = poll_fn(|cx| Poll::Ready(body.as_mut().poll_frame(cx))).await;
                match looked {
                    Poll::Ready(there) => frame = Some(there),
                    Poll::Pending => sleep_unless_zero(*stays_after).await,
                }
            }
            let frame = match frame {
                Some(there) => there,
                None => body.frame().await,
            };
            match frame {
                None => return (frames, How::Whole),
                Some(Ok(_)) => frames += 1,
                Some(Err(error)) => {
                    let how = broken(&error);
                    if how != How::BodyError {
                        assert!(body.frame().await.is_none(), "it is cut off once");
                        assert!(body.is_end_stream());
                    }
                    return (frames, how);
                }
            }
        }
        unreachable!("it reads for ever")
    }
}

async fn sleep_unless_zero(time: u64) {
    if time > 0 {
        sleep(millis(time)).await;
    }
}
