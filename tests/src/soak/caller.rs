//! Those who call, who go away at every point, and who count what they see.

use std::{
    fmt, future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use buttress::{Error, RejectionKind};
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use tokio::time::{sleep, timeout};
use tower::ServiceExt;

use super::{
    client::{CallError, Client},
    dice::Dice,
};

/// How a call can end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // as the metrics have them
pub enum End {
    Success,
    Failure,
    Neutral,
    Rejected,
    TimedOut,
    Cancelled,
    Panicked,
}

/// How they are called in JSON.
pub const ENDS: [&str; 7] = [
    "success",
    "failure",
    "neutral",
    "rejected",
    "timedOut",
    "cancelled",
    "panicked",
];

/// What the callers have seen so far.
#[derive(Debug, Default)]
pub struct Seen {
    started: AtomicU64,
    ended: [AtomicU64; 7],
}

/// What the callers had seen at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    /// Calls that began.
    pub started: u64,
    /// How they ended, in the order of [`ENDS`].
    pub ended: [u64; 7],
}

impl Seen {
    /// What it is now.
    pub fn tally(&self) -> Tally {
        Tally {
            started: self.started.load(SeqCst),
            ended: self.ended.each_ref().map(|count| count.load(SeqCst)),
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "started {}", self.started)?;
        for (end, count) in ENDS.iter().zip(self.ended) {
            write!(f, ", {end} {count}")?;
        }
        Ok(())
    }
}

/// One call. Dropped before it has ended, it was cancelled.
struct Watched {
    seen: Arc<Seen>,
    has_ended: bool,
}

impl Watched {
    fn begin(seen: &Arc<Seen>) -> Self {
        seen.started.fetch_add(1, SeqCst);
        Self {
            seen: seen.clone(),
            has_ended: false,
        }
    }

    fn end(&mut self, end: End) {
        assert!(!self.has_ended, "a call ends once");
        self.has_ended = true;
        self.seen.ended[end as usize].fetch_add(1, SeqCst);
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if !self.has_ended {
            self.end(End::Cancelled);
        }
    }
}

/// How a caller treats the body of a response.
#[derive(Clone, Copy, Debug)]
enum Reads {
    All,
    /// So many frames, and then it goes away.
    Frames(u64),
    /// Nothing; it keeps it for so long.
    Keeps(Duration),
}

/// How it ended, if it was an error.
fn end_of(error: &CallError) -> End {
    match error {
        Error::Inner(_) => End::Failure,
        Error::Rejected(rejected) => match rejected.kind() {
            RejectionKind::TimedOut => End::TimedOut,
            RejectionKind::Panicked => End::Panicked,
            _ => End::Rejected,
        },
    }
}

async fn one(
    mut client: impl Client<Body: Unpin>,
    request: Request<Full<Bytes>>,
    reads: Reads,
    seen: Arc<Seen>,
) {
    let client = client.ready().await.expect("a refusal comes from the call");
    let mut watched = Watched::begin(&seen);
    let (head, mut body) = match client.call(request).await {
        Ok(response) => response.into_parts(),
        Err(error) => {
            watched.end(end_of(&error));
            // Else most calls would be refusals, which take no time.
            if let Some(rejected) = error.rejected() {
                let after = rejected.retry_after().unwrap_or_default();
                sleep(after.clamp(Duration::from_millis(5), Duration::from_millis(20))).await;
            }
            return;
        }
    };
    match head.status {
        StatusCode::TOO_MANY_REQUESTS => watched.end(End::Failure),
        status if status.is_server_error() => watched.end(End::Failure),
        status if status.is_client_error() => watched.end(End::Neutral),
        _ if body.is_end_stream() => watched.end(End::Success),
        _ => {}
    }
    let most = match reads {
        Reads::All => u64::MAX,
        Reads::Frames(frames) => frames,
        Reads::Keeps(time) => {
            sleep(time).await;
            0
        }
    };
    for _ in 0..most {
        let end = match body.frame().await {
            None => End::Success,
            Some(Err(_)) => End::Failure,
            Some(Ok(_)) if body.is_end_stream() => End::Success,
            Some(Ok(_)) => continue,
        };
        if !watched.has_ended {
            watched.end(end);
        }
        break;
    }
}

fn request(dice: &Dice) -> Request<Full<Bytes>> {
    let urgency = format!("u={}", dice.below(8));
    let request = Request::builder().uri("/soak").header("priority", urgency);
    let (method, body) = match dice.below(5) {
        0 => ("POST", vec![b'x'; dice.between(0, 3000) as usize]),
        1 => ("PUT", vec![b'x'; dice.between(0, 3000) as usize]),
        _ => ("GET", Vec::new()),
    };
    request
        .method(method)
        .body(Full::from(body))
        .expect("a good request")
}

/// Calls until there are no calls left.
pub async fn call(client: impl Client<Body: Unpin>, seen: &Arc<Seen>, left: &AtomicU64, dice: &Dice) {
    while left
        .fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1))
        .is_ok()
    {
        let reads = match dice.below(20) {
            0..14 => Reads::All,
            14..16 => Reads::Frames(0),
            16..18 => Reads::Frames(dice.between(1, 3)),
            _ => Reads::Keeps(dice.millis(0, 40)),
        };
        let call = one(client.clone(), request(dice), reads, seen.clone());
        match dice.below(20) {
            0..3 => {
                let _cut_off = timeout(dice.millis(0, 20), call).await;
            }
            3 => {
                let task = tokio::spawn(call);
                sleep(dice.millis(0, 20)).await;
                task.abort();
                let ended = task.await;
                assert!(
                    !ended.is_err_and(|error| error.is_panic()),
                    "a caller saw a panic"
                );
            }
            4 => {
                // Begun, and never looked at again.
                let mut call = pin!(call);
                future::poll_fn(|cx| {
                    let _first = call.as_mut().poll(cx);
                    std::task::Poll::Ready(())
                })
                .await;
            }
            _ => call.await,
        }
    }
}

/// Calls once, patiently, and says whether all of it was well.
pub async fn call_well(client: &impl Client<Body: Unpin>, seen: &Arc<Seen>) -> bool {
    let success = |seen: &Seen| seen.ended[End::Success as usize].load(SeqCst);
    let before = success(seen);
    let request = Request::get("/calm")
        .body(Full::default())
        .expect("a good request");
    one(client.clone(), request, Reads::All, seen.clone()).await;
    success(seen) > before
}
