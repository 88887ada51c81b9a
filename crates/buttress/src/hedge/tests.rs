use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    task::{Context, Poll},
    time::Duration,
};

use tower::{Layer, Service, ServiceExt, service_fn};

use super::*;
use crate::{
    CallContext, Error, Outcome, Plain, Rejected, RejectionKind,
    clock::{self, Instant},
    outcome::Reason,
};

mod attempts;
mod cancelled;
mod cost;
mod limits;
mod nested;
mod options;
mod results;
mod tail;
#[cfg(feature = "http")]
mod wire;

type Answer = Result<u32, Error<&'static str>>;

const BUSY: Answer = Err(Error::Inner("busy"));

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn rejected(kind: RejectionKind) -> Answer {
    Err(Rejected::new(kind, "inside").into())
}

/// A second attempt after 100 ms, as often as there is need.
fn fixed() -> HedgeBuilder {
    Hedge::builder().after(ms(100)).budget(None)
}

/// When a call came, and which attempt it was.
type Seen = (Instant, Option<u32>);

/// A service whose calls take the time and give the answer that stand at their place in a script, or the last for ever;
/// and which notes when they came and which attempt they were.
#[derive(Clone)]
struct Script {
    calls: Arc<Vec<(u64, Answer)>>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Script {
    /// Milliseconds, and an answer.
    fn new(calls: impl Into<Vec<(u64, Answer)>>) -> Self {
        Self {
            calls: Arc::new(calls.into()),
            seen: Arc::default(),
        }
    }

    fn calls(&self) -> usize {
        self.seen.lock().expect("no panic").len()
    }

    /// How long after the first call each other one came, in milliseconds.
    fn delays(&self) -> Vec<u64> {
        let seen = self.seen.lock().expect("no panic");
        let since = |(at, _): &Seen| (*at - seen[0].0).as_millis() as u64;
        seen[1..].iter().map(since).collect()
    }

    fn attempts(&self) -> Vec<Option<u32>> {
        self.seen.lock().expect("no panic").iter().map(|s| s.1).collect()
    }
}

impl Service<()> for Script {
    type Response = u32;
    type Error = Error<&'static str>;
    type Future = std::pin::Pin<Box<dyn Future<Output = Answer> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (): ()) -> Self::Future {
        let attempt = CallContext::current().map(|context| context.attempt());
        let mut seen = self.seen.lock().expect("no panic");
        seen.push((clock::now(), attempt));
        let (takes, answer) = self
            .calls
            .get(seen.len() - 1)
            .or(self.calls.last())
            .expect("an answer")
            .clone();
        Box::pin(async move {
            if takes > 0 {
                tokio::time::sleep(ms(takes)).await;
            }
            answer
        })
    }
}

/// One call through a hedge with these options: the answer, how long it took in milliseconds, the books.
async fn called(options: HedgeBuilder, script: &Script) -> (Answer, u64, Snapshot) {
    let hedge = options.build().expect("valid");
    let began = clock::now();
    let answer = hedge.layer().layer(script.clone()).oneshot(()).await;
    (answer, began.elapsed().as_millis() as u64, hedge.snapshot())
}
