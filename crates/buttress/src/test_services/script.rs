use std::{
    future::{Ready, ready},
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::Either;
use tower::Service;

use crate::{
    CallContext, Error, Rejected, RejectionKind,
    clock::{self, Instant},
};

pub(crate) type Answer = Result<u32, Error<&'static str>>;

pub(crate) const BUSY: Answer = Err(Error::Inner("busy"));

pub(crate) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) fn rejected(kind: RejectionKind) -> Answer {
    Err(Rejected::new(kind, "inside").into())
}

/// When a call came, and which attempt it was.
type Seen = (Instant, Option<u32>);

/// A service whose calls take the time and give the answer that stand at their place in a script, or the last for ever;
/// and which notes when they came and which attempt they were.
#[derive(Clone)]
pub(crate) struct Script {
    lines: Arc<[Line]>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// Milliseconds, and an answer.
#[derive(Clone)]
pub(crate) struct Line(u64, Answer);

impl From<(u64, Answer)> for Line {
    fn from((takes, answer): (u64, Answer)) -> Self {
        Self(takes, answer)
    }
}

impl From<Answer> for Line {
    fn from(answer: Answer) -> Self {
        Self(0, answer)
    }
}

impl Script {
    pub(crate) fn new<L: Into<Line>>(lines: impl IntoIterator<Item = L>) -> Self {
        Self {
            lines: lines.into_iter().map(Into::into).collect(),
            seen: Arc::default(),
        }
    }

    pub(crate) fn calls(&self) -> usize {
        self.seen.lock().expect("no panic").len()
    }

    /// How long after the call before each call came, in milliseconds.
    pub(crate) fn waits(&self) -> Vec<u64> {
        let seen = self.seen.lock().expect("no panic");
        let wait = |two: &[Seen]| (two[1].0 - two[0].0).as_millis() as u64;
        seen.windows(2).map(wait).collect()
    }

    /// How long after the first call each other one came, in milliseconds.
    pub(crate) fn delays(&self) -> Vec<u64> {
        let seen = self.seen.lock().expect("no panic");
        let since = |(at, _): &Seen| (*at - seen[0].0).as_millis() as u64;
        seen[1..].iter().map(since).collect()
    }

    pub(crate) fn attempts(&self) -> Vec<Option<u32>> {
        self.seen.lock().expect("no panic").iter().map(|s| s.1).collect()
    }
}

impl Service<()> for Script {
    type Response = u32;
    type Error = Error<&'static str>;
    // Boxed only where it takes time, for tests that count allocations.
    type Future = Either<Ready<Answer>, Pin<Box<dyn Future<Output = Answer> + Send>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (): ()) -> Self::Future {
        let attempt = CallContext::current().map(|context| context.attempt());
        let mut seen = self.seen.lock().expect("no panic");
        seen.push((clock::now(), attempt));
        let line = self.lines.get(seen.len() - 1).or(self.lines.last());
        let Line(takes, answer) = line.expect("an answer").clone();
        match takes {
            0 => Either::Left(ready(answer)),
            takes => Either::Right(Box::pin(async move {
                tokio::time::sleep(ms(takes)).await;
                answer
            })),
        }
    }
}
