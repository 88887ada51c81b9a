//! A pool over three hosts in a simulated network whose links are cut, slowed down and repaired, and whose hosts crash
//! and come back, as a seed has it.
//!
//! A dozen seeds by default. `SEEDS=1000 cargo test --release -p buttress-tests --test partitions` tries as many, from
//! `SEED` on, and so `SEED=7 SEEDS=1` is one that failed. Time and network are simulated, and what the policies draw is
//! fixed, so one seed is one story.
#![allow(clippy::print_stdout)] // figures, for whoever looks

use std::{cell::RefCell, collections::BTreeMap, convert::Infallible, net::Ipv4Addr, rc::Rc, time::Duration};

use buttress::{
    Stack,
    circuit_breaker::CircuitBreaker,
    metrics::Metrics,
    pool::{Endpoint, Pool, Strategy},
    retry::{Jitter, Retry},
};
use bytes::Bytes;
use http::{Request, Response, Uri, uri::Authority};
use http_body_util::{BodyExt, Empty, Full};
use hyper::{body::Incoming, client::conn::http1 as client, server::conn::http1 as server, service};
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, sleep, timeout};
use tower::{BoxError, ServiceExt, service_fn};
use turmoil::{Sim, net};

const HOSTS: [&str; 3] = ["a", "b", "c"];

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// One host stays well until then.
const ROCK_UNTIL: Duration = ms(10_000);
/// No host may be relied upon until then; then all is repaired.
const STORM_UNTIL: Duration = ms(20_000);
/// By then all has to be as if nothing had been.
const CALM_FROM: Duration = ms(24_000);
/// When the last call begins.
const END: Duration = ms(27_000);
/// Between two calls.
const EVERY: Duration = ms(30);
const ATTEMPT: Duration = ms(200);
const TOTAL: Duration = ms(2000);

#[derive(Clone, Copy, Debug)]
enum Fault {
    Partition,
    /// Requests do not get there.
    Deaf,
    /// Answers do not come back.
    Mute,
    Slow,
    Crash,
}

/// What happens to a host, from when to when.
#[derive(Clone, Copy, Debug)]
struct Trouble {
    host: &'static str,
    fault: Fault,
    from: Duration,
    to: Duration,
}

impl Trouble {
    fn begin(&self, sim: &mut Sim<'_>) {
        let host = self.host;
        match self.fault {
            Fault::Partition => sim.partition("client", host),
            Fault::Deaf => sim.partition_oneway("client", host),
            Fault::Mute => sim.partition_oneway(host, "client"),
            Fault::Slow => sim.set_link_latency("client", host, ms(400)),
            Fault::Crash => sim.crash(host),
        }
    }

    fn end(&self, sim: &mut Sim<'_>) {
        let host = self.host;
        match self.fault {
            Fault::Partition | Fault::Deaf | Fault::Mute => sim.repair("client", host),
            Fault::Slow => sim.set_link_latency("client", host, ms(2)),
            Fault::Crash => sim.bounce(host),
        }
    }
}

/// One trouble after the other for each host, none for the rock before its time.
fn troubles(rng: &mut fastrand::Rng) -> Vec<Trouble> {
    let rock = rng.usize(..HOSTS.len());
    let mut all = Vec::new();
    for (n, host) in HOSTS.into_iter().enumerate() {
        let mut at = if n == rock { ROCK_UNTIL } else { ms(500) };
        loop {
            let from = at + ms(rng.u64(100..3000));
            let to = from + ms(rng.u64(50..4000));
            if to >= STORM_UNTIL {
                break;
            }
            let faults = [
                Fault::Partition,
                Fault::Deaf,
                Fault::Mute,
                Fault::Slow,
                Fault::Crash,
            ];
            let fault = faults[rng.usize(..faults.len())];
            all.push(Trouble {
                host,
                fault,
                from,
                to,
            });
            at = to;
        }
    }
    all
}

/// Serves whoever comes, and says who it is.
async fn serve(name: &'static str) -> turmoil::Result {
    let listener = net::TcpListener::bind((Ipv4Addr::UNSPECIFIED, 80)).await?;
    loop {
        let (connection, _) = listener.accept().await?;
        tokio::spawn(async move {
            let answer = service::service_fn(move |_: Request<Incoming>| async move {
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(name.as_bytes()))))
            });
            let serving = server::Builder::new().serve_connection(TokioIo::new(connection), answer);
            // The network may end it at any time.
            let _ended = serving.await;
        });
    }
}

/// A connection for each call.
async fn send<B>(request: Request<B>) -> Result<Response<Incoming>, BoxError>
where
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let host = request.uri().host().ok_or("the pool names a host")?.to_owned();
    let connection = net::TcpStream::connect((host, 80)).await?;
    let (mut sender, connection) = client::handshake(TokioIo::new(connection)).await?;
    tokio::spawn(connection);
    Ok(sender.send_request(request).await?)
}

/// What became of a call.
#[derive(Debug)]
struct Call {
    began: Duration,
    took: Duration,
    /// Who answered it, or why nobody did.
    end: Result<Bytes, String>,
    outcome: &'static str,
}

/// All that a story leaves behind.
#[derive(Debug)]
struct Books {
    metrics: Metrics,
    pool: Pool<Authority>,
    calls: RefCell<Vec<Call>>,
}

fn books() -> Books {
    let pool = Pool::builder()
        .balance(Strategy::RoundRobin)
        .failover(2)
        .budget(None)
        .slow_start(Duration::ZERO)
        .breaker(
            CircuitBreaker::builder()
                .consecutive_failures(3)
                .success_threshold(2)
                .half_open_probes(2)
                .open_for(ms(300))
                .max_open_for(ms(1000))
                .open_jitter(0.0),
        )
        .extend(HOSTS.map(|host| Endpoint::new(host, Authority::from_static(host))));
    Books {
        metrics: Metrics::new(),
        pool: pool.build().expect("good options"),
        calls: RefCell::default(),
    }
}

/// Calls all the time, and waits for all the answers.
async fn call(books: Rc<Books>, seed: u64) -> turmoil::Result {
    let retry = Retry::builder()
        .max_attempts(2)
        .initial_backoff(ms(50))
        .jitter(Jitter::None)
        .budget(None)
        .seed(seed);
    let stack = Stack::http_client("hosts")
        .metrics(books.metrics.clone())
        .recover()
        .total_timeout(TOTAL)?
        .retry(retry.build()?)
        .pool(books.pool.clone())
        .attempt_timeout(ATTEMPT)?
        .any_request_body()
        .keep_error()
        .build();
    let stack = stack.service(service_fn(send));
    let start = Instant::now();
    let mut calls = Vec::new();
    while start.elapsed() < END {
        let (stack, books) = (stack.clone(), books.clone());
        calls.push(tokio::task::spawn_local(async move {
            let began = start.elapsed();
            let request = Request::get(Uri::from_static("/who")).body(Empty::<Bytes>::new());
            let answer = async {
                match stack.oneshot(request.expect("a good request")).await {
                    Err(error) => Err(error),
                    Ok(response) => response.into_body().collect().await,
                }
            };
            // It must end by itself.
            let answer = timeout(2 * TOTAL, answer).await;
            let (outcome, end) = match answer {
                Err(_) => ("hung", Err("it hung".to_owned())),
                Ok(Ok(body)) => ("success", Ok(body.to_bytes())),
                Ok(Err(error)) => (outcome_of(&*error), Err(error.to_string())),
            };
            let took = start.elapsed() - began;
            books.calls.borrow_mut().push(Call {
                began,
                took,
                end,
                outcome,
            });
        }));
        sleep(EVERY).await;
    }
    for call in calls {
        call.await?;
    }
    Ok(())
}

fn outcome_of(error: &(dyn std::error::Error + 'static)) -> &'static str {
    use buttress::{Rejected, RejectionKind};
    match Rejected::find(error).map(Rejected::kind) {
        None => "failure",
        Some(RejectionKind::TimedOut) => "timed_out",
        Some(RejectionKind::Panicked) => "panicked",
        Some(_) => "rejected",
    }
}

/// Plays the story of a seed, and says how many calls there were and how many failed in the storm.
fn story(seed: u64) -> (usize, usize) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let troubles = troubles(&mut rng);
    println!("seed {seed}: {} troubles", troubles.len());
    let mut sim = turmoil::Builder::new()
        .rng_seed(seed)
        .tick_duration(ms(10))
        .simulation_duration(END + 4 * TOTAL)
        .min_message_latency(ms(1))
        .max_message_latency(ms(10))
        .build();
    for host in HOSTS {
        sim.host(host, move || serve(host));
    }
    let books = Rc::new(books());
    sim.client("client", call(books.clone(), seed));
    let mut events: Vec<_> = troubles
        .iter()
        .flat_map(|t| [(t.from, true, t), (t.to, false, t)])
        .collect();
    events.sort_by_key(|(at, begins, _)| (*at, *begins));
    let mut events = events.into_iter().peekable();
    loop {
        while let Some((_, begins, trouble)) = events.next_if(|(at, _, _)| *at <= sim.elapsed()) {
            match begins {
                true => trouble.begin(&mut sim),
                false => trouble.end(&mut sim),
            }
        }
        if sim.step().expect("the story has an end") {
            break;
        }
    }

    let calls = books.calls.borrow();
    let mut served: BTreeMap<&[u8], u32> = BTreeMap::new();
    let mut outcomes: BTreeMap<&str, u64> = BTreeMap::new();
    for call in &*calls {
        *outcomes.entry(call.outcome).or_default() += 1;
        assert!(call.took <= TOTAL + ms(100), "past its deadline: {call:?}");
        let in_storm = call.began + call.took >= ROCK_UNTIL && call.began < CALM_FROM;
        match &call.end {
            Err(_) => assert!(in_storm, "{call:?}, though a host was well: {troubles:#?}"),
            Ok(host) if call.began >= CALM_FROM => *served.entry(host).or_default() += 1,
            Ok(_) => {}
        }
    }
    for host in HOSTS {
        let got = served.get(host.as_bytes()).copied().unwrap_or_default();
        let share = (END - CALM_FROM).as_millis() as u32 / EVERY.as_millis() as u32 / 3;
        assert!(got > share / 2, "{host} is not back: {served:?}");
    }
    let metrics = books.metrics.snapshot();
    assert_eq!((metrics.started, metrics.in_flight), (calls.len() as u64, 0));
    let counted: BTreeMap<_, _> = metrics.outcomes.iter().filter(|(_, count)| *count > 0).collect();
    assert_eq!(counted, outcomes, "the metrics, and what was seen");
    for e in &books.pool.snapshot().endpoints {
        let ended = e.success + e.failure + e.throttled_calls + e.neutral + e.cancelled;
        assert_eq!((e.calls, e.in_flight), (ended, 0), "{e:?}");
        assert!(e.usable, "{e:?}");
    }
    let failed = calls.iter().filter(|call| call.end.is_err()).count();
    (calls.len(), failed)
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|value| value.parse().expect("a whole number"))
}

#[test]
fn no_call_fails_while_a_host_is_well_none_hangs_and_traffic_returns() {
    let first = number("SEED").unwrap_or(0);
    let (mut calls, mut failed) = (0, 0);
    for seed in first..first + number("SEEDS").unwrap_or(12) {
        let (made, lost) = story(seed);
        (calls, failed) = (calls + made, failed + lost);
    }
    println!("{calls} calls, {failed} failed while no host could be relied upon");
}
