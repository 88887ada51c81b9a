//! An upstream that turns slow, flaky, silent, failing and healthy as it is told, and counts what it sees.

use std::{
    convert::Infallible,
    future::pending,
    io,
    net::{Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use tokio::time::sleep;
use tower::service_fn;

use super::sightings::{Sighting, Sightings};
use crate::server::Server;

/// How slow a slow answer is.
pub(crate) const SLOW: Duration = Duration::from_millis(200);

/// Of so many requests in a row a flaky upstream fails one, at random.
const FLAKY_ONE_IN: u64 = 10;

/// What the gateway calls a request.
const TRACE: &str = "x-request-id";

/// In the head of every answer of an upstream, its name, so that a caller knows it from the gateway's own.
pub(crate) const BY_UPSTREAM: &str = "x-answered-by";

/// In the head of an answer that never ends, so that a caller knows what to give up.
pub(crate) const ENDLESS: &str = "x-endless";

/// In the head of a request that the gateway sends again.
const ATTEMPT: &str = "x-retry-attempt";

/// What the upstream does with a request.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(u8)]
pub(crate) enum Behaviour {
    /// 200.
    Healthy,
    /// 200, late.
    Slow,
    /// 200, and one in ten times 503.
    Flaky,
    /// Nothing.
    Silent,
    /// 500.
    Failing,
    /// 404.
    Missing,
    /// 200, some data, and then nothing.
    Endless,
}

const BEHAVIOURS: [(&str, Behaviour); 7] = [
    ("healthy", Behaviour::Healthy),
    ("slow", Behaviour::Slow),
    ("flaky", Behaviour::Flaky),
    ("silent", Behaviour::Silent),
    ("failing", Behaviour::Failing),
    ("missing", Behaviour::Missing),
    ("endless", Behaviour::Endless),
];

/// The upstream.
#[derive(Debug)]
pub(crate) struct Upstream {
    name: &'static str,
    sightings: Sightings,
    state: Arc<State>,
    address: SocketAddr,
    /// `None` while it is down.
    server: Option<Server>,
}

#[derive(Debug, Default)]
struct State {
    behaviour: AtomicU8,
    seen: AtomicU64,
    again: AtomicU64,
    well: AtomicU64,
    well_again: AtomicU64,
    failed: AtomicU64,
    flaky: AtomicU64,
    silent: AtomicU64,
    missing: AtomicU64,
    endless: AtomicU64,
    /// Requests that a flaky upstream has seen.
    dice: AtomicU64,
    /// Endless answers that nobody has hung up on yet.
    hanging: AtomicU64,
}

/// What the upstream has counted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    /// Requests that arrived.
    pub(crate) all: u64,
    /// Those of them that the gateway sent again.
    pub(crate) again: u64,
    /// Answered with 200.
    pub(crate) well: u64,
    /// Requests that were sent again and found the upstream well: answered with 200, endless answers too.
    pub(crate) well_again: u64,
    /// Answered with 500.
    pub(crate) failed: u64,
    /// Answered with 503.
    pub(crate) flaky: u64,
    /// Not answered.
    pub(crate) silent: u64,
    /// Answered with 404.
    pub(crate) missing: u64,
    /// Answers that were begun and never ended.
    pub(crate) endless: u64,
}

impl Upstream {
    /// A healthy one on a free port of loopback, which tells `sightings` what it has answered.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub(crate) async fn start(name: &'static str, sightings: Sightings) -> io::Result<Self> {
        let mut upstream = Self {
            name,
            sightings,
            state: Arc::default(),
            address: (Ipv4Addr::LOCALHOST, 0).into(),
            server: None,
        };
        upstream.up().await?;
        Ok(upstream)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn behave(&self, behaviour: Behaviour) {
        self.state.behaviour.store(behaviour as u8, Relaxed);
    }

    /// Waits until every caller of an endless answer has hung up: for at most a second, for they are not patient.
    pub(crate) async fn all_hung_up(&self) -> bool {
        for _ in 0..100 {
            // A request that has found the upstream endless may be about to be counted.
            sleep(Duration::from_millis(10)).await;
            if self.state.hanging.load(Relaxed) == 0 {
                return true;
            }
        }
        false
    }

    /// Closes its port; what it has begun to answer it answers.
    pub(crate) async fn down(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop(Duration::from_secs(1)).await;
        }
    }

    /// Opens its port again, the same as before.
    ///
    /// # Errors
    ///
    /// If it is taken, for longer than a moment.
    pub(crate) async fn up(&mut self) -> io::Result<()> {
        let mut tries = 0;
        loop {
            let (name, sightings, state) = (self.name, self.sightings.clone(), self.state.clone());
            let service = service_fn(move |request: Request<Incoming>| {
                let (sightings, state) = (sightings.clone(), state.clone());
                async move {
                    let trace = request.headers().get(TRACE).map(HeaderValue::as_bytes);
                    let trace = trace.map(|trace| String::from_utf8_lossy(trace).into_owned());
                    let mut response = answer(&state, request).await;
                    if let Some(trace) = trace {
                        let status = response.status().as_u16();
                        let by = name;
                        sightings.add(Sighting { trace, by, status });
                    }
                    let name = HeaderValue::from_static(name);
                    response.headers_mut().insert(BY_UPSTREAM, name);
                    Ok::<_, Infallible>(response)
                }
            });
            match Server::start(self.address, service).await {
                Ok(server) => {
                    self.address = server.address();
                    self.server = Some(server);
                    return Ok(());
                }
                Err(error) if tries == 10 => return Err(error),
                Err(_) => tries += 1,
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    pub(crate) fn seen(&self) -> Seen {
        let state = &*self.state;
        Seen {
            all: state.seen.load(Relaxed),
            again: state.again.load(Relaxed),
            well: state.well.load(Relaxed),
            well_again: state.well_again.load(Relaxed),
            failed: state.failed.load(Relaxed),
            flaky: state.flaky.load(Relaxed),
            silent: state.silent.load(Relaxed),
            missing: state.missing.load(Relaxed),
            endless: state.endless.load(Relaxed),
        }
    }
}

type Answer = Response<Either<Full<Bytes>, Endless>>;

async fn answer(state: &Arc<State>, request: Request<Incoming>) -> Answer {
    if let (&Method::POST, Some(word)) = (request.method(), request.uri().path().strip_prefix("/-/")) {
        return control(state, word);
    }
    state.seen.fetch_add(1, Relaxed);
    let again = u64::from(request.headers().contains_key(ATTEMPT));
    state.again.fetch_add(again, Relaxed);
    let behaviour = usize::from(state.behaviour.load(Relaxed));
    let (_, behaviour) = BEHAVIOURS[behaviour.min(BEHAVIOURS.len() - 1)];
    let (status, text, count) = match behaviour {
        Behaviour::Healthy => (StatusCode::OK, "well\n", &state.well),
        Behaviour::Slow => {
            sleep(SLOW).await;
            (StatusCode::OK, "well, at last\n", &state.well)
        }
        Behaviour::Flaky if is_unlucky(state.dice.fetch_add(1, Relaxed)) => {
            (StatusCode::SERVICE_UNAVAILABLE, "not just now\n", &state.flaky)
        }
        Behaviour::Flaky => (StatusCode::OK, "well\n", &state.well),
        Behaviour::Silent => {
            state.silent.fetch_add(1, Relaxed);
            pending().await
        }
        Behaviour::Failing => (StatusCode::INTERNAL_SERVER_ERROR, "out of order\n", &state.failed),
        Behaviour::Missing => (StatusCode::NOT_FOUND, "no such thing\n", &state.missing),
        Behaviour::Endless => {
            state.well_again.fetch_add(again, Relaxed);
            let mut response = Response::new(Either::Right(Endless::of(state)));
            let yes = HeaderValue::from_static("yes");
            response.headers_mut().insert(ENDLESS, yes);
            return response;
        }
    };
    count.fetch_add(1, Relaxed);
    if status == StatusCode::OK {
        state.well_again.fetch_add(again, Relaxed);
    }
    plain(status, text.to_owned())
}

/// Whether it is the `n`th request to a flaky upstream that fails: one of every ten, nobody knows which.
fn is_unlucky(n: u64) -> bool {
    // The finaliser of SplitMix64.
    let mut dice = (n / FLAKY_ONE_IN + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    dice = (dice ^ (dice >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    dice = (dice ^ (dice >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (dice ^ (dice >> 31)) % FLAKY_ONE_IN == n % FLAKY_ONE_IN
}

/// For whoever plays with it by hand.
fn control(state: &State, word: &str) -> Answer {
    match BEHAVIOURS.iter().find(|(name, _)| *name == word) {
        Some((name, behaviour)) => {
            state.behaviour.store(*behaviour as u8, Relaxed);
            plain(StatusCode::OK, format!("from now on: {name}\n"))
        }
        None => {
            let names = BEHAVIOURS.map(|(name, _)| name).join(", ");
            plain(StatusCode::NOT_FOUND, format!("there is: {names}\n"))
        }
    }
}

fn plain(status: StatusCode, text: String) -> Answer {
    let mut response = Response::new(Either::Left(Full::from(text)));
    *response.status_mut() = status;
    response
}

/// A body that begins well.
#[derive(Debug)]
struct Endless {
    begun: bool,
    state: Arc<State>,
}

impl Endless {
    fn of(state: &Arc<State>) -> Self {
        state.endless.fetch_add(1, Relaxed);
        state.hanging.fetch_add(1, Relaxed);
        Self {
            begun: false,
            state: state.clone(),
        }
    }
}

impl Drop for Endless {
    fn drop(&mut self) {
        self.state.hanging.fetch_sub(1, Relaxed);
    }
}

impl Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.begun {
            // There is nothing to wake for: it ends when it is dropped.
            return Poll::Pending;
        }
        self.begun = true;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"to be continued\n")))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_behaviour_is_stored_as_its_place_in_the_list() {
        for (place, (_, behaviour)) in BEHAVIOURS.into_iter().enumerate() {
            assert_eq!(behaviour as usize, place);
        }
    }

    #[test]
    fn one_of_every_ten_requests_to_a_flaky_upstream_fails() {
        let unlucky: Vec<_> = (0..1000).filter(|n| is_unlucky(*n)).collect();
        assert_eq!(unlucky.len(), 100);
        assert!(unlucky.iter().enumerate().all(|(i, n)| n / 10 == i as u64));
        // Not every tenth.
        assert!((0..10).all(|place| unlucky.iter().any(|n| n % 10 == place)));
    }
}
