//! Callers, who count what they get.

use std::{
    mem,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use buttress::clock;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep},
};

use super::upstream::{BY_UPSTREAM, ENDLESS};

/// How many callers there are.
pub(crate) const CALLERS: usize = 8;

/// How long a caller waits for the rest of an answer that does not end.
const PATIENCE: Duration = Duration::from_millis(80);

/// By which the gateway knows who calls, where it has a limit for each.
pub(crate) const API_KEY: &str = "x-api-key";

pub(crate) type HttpClient = Client<HttpConnector, Empty<Bytes>>;

/// A plain client, with nothing around it.
pub(crate) fn client() -> HttpClient {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new()).build(connector)
}

/// How a call ended, as the caller sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Ending {
    Well,
    Missing,
    Failed,
    Unavailable,
    Unreached,
    TimedOut,
    Refused,
    GaveUp,
    Unexpected,
}

/// How many calls ended in which way.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    /// Calls that were begun.
    pub(crate) begun: u64,
    /// 200, to the end of its body.
    pub(crate) well: u64,
    /// 404.
    pub(crate) missing: u64,
    /// 500 from the upstream.
    pub(crate) failed: u64,
    /// 503 from the upstream.
    pub(crate) unavailable: u64,
    /// 502: the gateway got no connection.
    pub(crate) unreached: u64,
    /// 504: the gateway got no answer in time.
    pub(crate) timed_out: u64,
    /// 503: the breaker was open.
    pub(crate) refused: u64,
    /// The caller hung up.
    pub(crate) gave_up: u64,
    /// What should not be.
    pub(crate) unexpected: u64,
}

impl Tally {
    /// Those that ended in anything but a good answer of an upstream.
    pub(crate) fn noticed(&self) -> u64 {
        self.failures() + self.missing + self.timed_out + self.refused + self.gave_up + self.unexpected
    }

    /// Those that failed: the upstream, in whichever way, or the way to it.
    pub(crate) fn failures(&self) -> u64 {
        self.failed + self.unavailable + self.unreached
    }

    fn add(&mut self, ending: Ending) {
        *match ending {
            Ending::Well => &mut self.well,
            Ending::Missing => &mut self.missing,
            Ending::Failed => &mut self.failed,
            Ending::Unavailable => &mut self.unavailable,
            Ending::Unreached => &mut self.unreached,
            Ending::TimedOut => &mut self.timed_out,
            Ending::Refused => &mut self.refused,
            Ending::GaveUp => &mut self.gave_up,
            Ending::Unexpected => &mut self.unexpected,
        } += 1;
    }
}

/// What happened in a while.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    pub(crate) tally: Tally,
    /// How long answers took, to the end of the body; refusals aside.
    pub(crate) answered: Vec<Duration>,
    /// How long refusals took.
    pub(crate) refused: Vec<Duration>,
}

#[derive(Debug, Default)]
struct Books {
    total: Tally,
    recent: Recent,
}

/// Callers at work.
#[derive(Debug)]
pub(crate) struct Load {
    // Eight callers take turns at this lock, a few hundred times a second: they are not what is measured.
    books: Arc<Mutex<Books>>,
    over: Arc<AtomicBool>,
    callers: JoinSet<()>,
}

impl Load {
    /// Sends callers to that address, each of whom calls so often.
    pub(crate) fn start(target: SocketAddr, every: Duration) -> Result<Self, http::Error> {
        let target = Uri::builder()
            .scheme("http")
            .authority(target.to_string())
            .path_and_query("/things/7")
            .build()?;
        let (books, over) = (Arc::default(), Arc::<AtomicBool>::default());
        let mut callers = JoinSet::new();
        let client = client();
        for i in 0..CALLERS {
            let mut request = Request::new(Empty::new());
            *request.uri_mut() = target.clone();
            let key = HeaderValue::try_from(format!("caller-{i}"))?;
            request.headers_mut().insert(API_KEY, key);
            callers.spawn(caller(
                client.clone(),
                request,
                every,
                Arc::clone(&books),
                over.clone(),
            ));
        }
        Ok(Self { books, over, callers })
    }

    /// What happened so far.
    pub(crate) fn total(&self) -> Tally {
        lock(&self.books).total
    }

    /// What happened since this was last asked.
    pub(crate) fn take_recent(&self) -> Recent {
        mem::take(&mut lock(&self.books).recent)
    }

    /// Sends the callers home, each after its last call, and returns what they have counted.
    pub(crate) async fn finish(mut self) -> Tally {
        self.over.store(true, Relaxed);
        while self.callers.join_next().await.is_some() {}
        lock(&self.books).total
    }
}

fn lock(books: &Mutex<Books>) -> MutexGuard<'_, Books> {
    books.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn caller(
    client: HttpClient,
    request: Request<Empty<Bytes>>,
    every: Duration,
    books: Arc<Mutex<Books>>,
    over: Arc<AtomicBool>,
) {
    let mut pace = interval(every);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !over.load(Relaxed) {
        pace.tick().await;
        lock(&books).total.begun += 1;
        let began = clock::now();
        let ending = call(&client, request.clone()).await;
        let took = began.elapsed();

        let mut books = lock(&books);
        books.total.add(ending);
        books.recent.tally.add(ending);
        match ending {
            Ending::Refused => books.recent.refused.push(took),
            Ending::GaveUp => {}
            _ => books.recent.answered.push(took),
        }
    }
}

async fn call(client: &HttpClient, request: Request<Empty<Bytes>>) -> Ending {
    match client.request(request).await {
        Ok(response) if response.headers().contains_key(ENDLESS) => give_up(response).await,
        Ok(response) => {
            let status = response.status().as_u16();
            let by_upstream = response.headers().contains_key(BY_UPSTREAM);
            match (status, response.into_body().collect().await) {
                (200, Ok(_)) if by_upstream => Ending::Well,
                (404, Ok(_)) => Ending::Missing,
                (500, Ok(_)) if by_upstream => Ending::Failed,
                (503, Ok(_)) if by_upstream => Ending::Unavailable,
                (502, Ok(_)) => Ending::Unreached,
                (503, Ok(_)) => Ending::Refused,
                (504, Ok(_)) => Ending::TimedOut,
                _ => Ending::Unexpected,
            }
        }
        Err(_) => Ending::Unexpected,
    }
}

/// Takes what there is, waits in vain, and hangs up by dropping the response.
async fn give_up(mut response: Response<Incoming>) -> Ending {
    let first = response.body_mut().frame().await;
    sleep(PATIENCE).await;
    match first {
        Some(Ok(_)) => Ending::GaveUp,
        _ => Ending::Unexpected,
    }
}
