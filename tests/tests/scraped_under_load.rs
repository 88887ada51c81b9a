//! A server and the client behind it, as a gateway has them, scraped while all goes wrong at once: the counters add up
//! to what was sent and seen, for each of the seven ways to end.
#![allow(clippy::print_stdout)] // figures, for whoever looks

use std::{
    collections::BTreeMap,
    convert::Infallible,
    future::pending,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use axum::{Router, body::Body};
use buttress::{
    Registry, Stack, circuit_breaker::CircuitBreaker, export::Export, metrics::Metrics, recover::Recover,
    timeout::Timeout,
};
use buttress_tests::{server, soon};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper_util::{client::legacy, rt::TokioExecutor};
use prometheus_client::{encoding::text, registry::Registry as Page};
use prometheus_parse::{Scrape, Value};
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tower::{ServiceExt as _, service_fn};

const CALLERS: u64 = 4;
const ROUNDS: u64 = 50;
const HUNG_UP: u64 = 20;
const REFUSED: u64 = 30;

/// What becomes of a path: what the caller sees, and how that is booked in front and behind.
struct Kind {
    path: &'static str,
    status: u16,
    whole: bool,
    front: &'static str,
    /// `None` where the call gets no further than the front.
    behind: Option<&'static str>,
}

const fn kind(path: &'static str, status: u16, outcome: &'static str) -> Kind {
    Kind {
        path,
        status,
        whole: true,
        front: outcome,
        behind: Some(outcome),
    }
}

const KINDS: [Kind; 8] = [
    kind("/well", 200, "success"),
    kind("/none", 404, "neutral"),
    kind("/fail", 500, "failure"),
    kind("/late", 504, "timed_out"),
    kind("/panic", 500, "panicked"),
    Kind {
        behind: None,
        ..kind("/panic-in-front", 500, "panicked")
    },
    Kind {
        whole: false,
        ..kind("/break", 200, "failure")
    },
    // What is further out sees a body that broke: the panic was caught further in.
    Kind {
        whole: false,
        ..kind("/panic-in-body", 200, "failure")
    },
];

/// A body whose second part comes when the head and the first are on their way.
fn streamed(second: fn() -> Result<Bytes, std::io::Error>) -> Body {
    let first = tokio_stream::once(Ok(Bytes::from_static(b"begun")));
    let second = tokio_stream::once(()).then(move |()| async move {
        tokio::task::yield_now().await;
        second()
    });
    Body::from_stream(first.chain(second))
}

async fn upstream(held: mpsc::UnboundedSender<()>, path: String) -> Result<Response<Body>, Infallible> {
    let (status, body) = match path.as_str() {
        "/well" => (StatusCode::OK, Body::from("well")),
        "/none" => (StatusCode::NOT_FOUND, Body::from("none")),
        "/fail" => (StatusCode::INTERNAL_SERVER_ERROR, Body::from("no")),
        "/panic" => panic!("as asked"),
        "/break" => (
            StatusCode::OK,
            streamed(|| Err(std::io::Error::other("as asked"))),
        ),
        "/panic-in-body" => (StatusCode::OK, streamed(|| panic!("as asked"))),
        path => {
            if path == "/held" {
                held.send(()).expect("the test runs");
            }
            return pending().await;
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    Ok(response)
}

/// The server, and the breaker around what it calls.
async fn gateway(registry: &Registry, held: mpsc::UnboundedSender<()>) -> (SocketAddr, CircuitBreaker) {
    let breaker = CircuitBreaker::builder()
        .consecutive_failures(1_000_000)
        .build()
        .expect("valid");
    let behind = Stack::http_client("upstream")
        .registry(registry)
        .metrics(Metrics::new())
        .circuit_breaker(breaker.clone())
        .attempt_timeout(Timeout::after(Duration::from_millis(300)).build().expect("valid"))
        .recover_with(Recover::new())
        .build()
        .service(service_fn(move |request: Request<Body>| {
            upstream(held.clone(), request.uri().path().to_owned())
        }));
    let front = Stack::http_server("gateway")
        .registry(registry)
        .metrics(Metrics::new())
        .recover_with(Recover::new())
        .keep_error()
        .build()
        .service(service_fn(move |request: Request<Body>| {
            let behind = behind.clone();
            async move {
                assert_ne!(request.uri().path(), "/panic-in-front", "as asked");
                behind.oneshot(request).await
            }
        }));
    (server::axum(Router::new().fallback_service(front)).await, breaker)
}

type Client = legacy::Client<legacy::connect::HttpConnector, Empty<Bytes>>;

fn client() -> Client {
    legacy::Client::builder(TokioExecutor::new()).build_http()
}

/// The status, and whether the body ended as it should.
async fn get(client: &Client, server: SocketAddr, path: &str) -> (u16, bool) {
    let uri = format!("http://{server}{path}").parse().expect("a uri");
    let response = soon(client.get(uri)).await.expect("a response");
    (
        response.status().as_u16(),
        soon(response.into_body().collect()).await.is_ok(),
    )
}

/// Each series by name and labels; of histograms the buckets.
fn scrape(page: &Page) -> BTreeMap<String, u64> {
    let mut text = String::new();
    text::encode(&mut text, page).expect("a text");
    let scrape = Scrape::parse(text.lines().map(|line| Ok(line.to_owned()))).expect("it parses");
    let mut series = BTreeMap::new();
    for sample in scrape.samples {
        let mut labels: Vec<_> = sample.labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
        labels.sort();
        let (name, labels) = (sample.metric, labels.join(","));
        let known = match sample.value {
            Value::Counter(value) | Value::Gauge(value) | Value::Untyped(value) => {
                series.insert(format!("{name}{{{labels}}}"), value as u64)
            }
            Value::Histogram(buckets) => {
                for bucket in buckets {
                    let bound = bucket.less_than;
                    series.insert(format!("{name}{{{labels},le={bound}}}"), bucket.count as u64);
                }
                None
            }
            Value::Summary(_) => panic!("there is none"),
        };
        assert_eq!(known, None, "{name} {labels} is there twice");
    }
    series
}

/// Ends the scraping, even where the test fails.
struct Over(Arc<AtomicBool>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

/// What must be so at any moment.
fn is_sound(page: &BTreeMap<String, u64>, before: &BTreeMap<String, u64>) {
    for breaker in ["upstream", "spare"] {
        let of = format!("buttress_circuit_breaker_state{{name={breaker},");
        let states: Vec<_> = page
            .iter()
            .filter_map(|(name, is)| name.starts_with(&of).then_some(*is))
            .collect();
        assert_eq!(
            (states.len(), states.iter().sum::<u64>()),
            (6, 1),
            "{breaker}: {states:?}"
        );
    }
    for (name, was) in before {
        let is = page.get(name).unwrap_or_else(|| panic!("{name} has gone"));
        let counts = name.contains("_total{") || name.contains("le=");
        assert!(!counts || is >= was, "{name}: {was}, then {is}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_seven_outcomes_add_up_to_what_was_sent_and_seen() {
    let registry = Registry::new();
    let (held, mut holding) = mpsc::unbounded_channel();
    let (server, breaker) = gateway(&registry, held).await;
    registry.register("spare", &CircuitBreaker::new());
    let mut page = Page::default();
    page.register_collector(Box::new(Export::of(&registry)));
    let page = Arc::new(page);

    let over = Over(Arc::default());
    let scraper = tokio::task::spawn_blocking({
        let (page, over) = (page.clone(), over.0.clone());
        move || {
            let (mut before, mut scrapes) = (scrape(&page), 0);
            while !over.load(SeqCst) {
                let now = scrape(&page);
                is_sound(&now, &before);
                (before, scrapes) = (now, scrapes + 1);
            }
            scrapes
        }
    });

    let seen: Arc<[AtomicU64; KINDS.len()]> = Arc::default();
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let seen = seen.clone();
            tokio::spawn(async move {
                let client = client();
                for _ in 0..ROUNDS {
                    for (kind, seen) in KINDS.iter().zip(&*seen) {
                        // Of what is late, a few will do.
                        if kind.path == "/late" && seen.load(SeqCst) >= 2 * CALLERS {
                            continue;
                        }
                        let got = get(&client, server, kind.path).await;
                        assert_eq!(got, (kind.status, kind.whole), "{}", kind.path);
                        seen.fetch_add(1, SeqCst);
                    }
                }
            })
        })
        .collect();
    for _ in 0..HUNG_UP {
        let uri = format!("http://{server}/held").parse().expect("a uri");
        let call = tokio::spawn(client().get(uri));
        soon(holding.recv()).await.expect("it is held");
        call.abort();
    }
    for caller in callers {
        caller.await.expect("a caller");
    }
    breaker.force_open();
    let client = client();
    for _ in 0..REFUSED {
        assert_eq!(get(&client, server, "/well").await, (503, true));
    }
    // The last who hung up may not have been noticed yet.
    let settled = async {
        loop {
            let now = scrape(&page);
            let in_flight = |stack| now[&format!("buttress_requests_in_flight{{stack={stack}}}")];
            if (in_flight("gateway"), in_flight("upstream")) == (0, 0) {
                break now;
            }
            tokio::task::yield_now().await;
        }
    };
    let now = soon(settled).await;
    drop(over);
    println!("{} scrapes", scraper.await.expect("the scraper"));

    type Outcome = fn(&Kind) -> Option<&'static str>;
    let sides: [(&str, Outcome); 2] = [
        ("gateway", |kind| Some(kind.front)),
        ("upstream", |kind| kind.behind),
    ];
    for (stack, outcome_of) in sides {
        let mut expected = BTreeMap::from([
            ("success", 0),
            ("failure", 0),
            ("neutral", 0),
            ("rejected", REFUSED),
            ("timed_out", 0),
            ("cancelled", HUNG_UP),
            ("panicked", 0),
        ]);
        for (kind, seen) in KINDS.iter().zip(&*seen) {
            if let Some(outcome) = outcome_of(kind) {
                *expected.get_mut(outcome).expect("one of the seven") += seen.load(SeqCst);
            }
        }
        println!("{stack}: {expected:?}");
        assert!(expected.values().all(|count| *count > 0), "each of the seven");
        for (outcome, count) in &expected {
            let name = format!("buttress_requests_total{{outcome={outcome},stack={stack}}}");
            assert_eq!(now[&name], *count, "{name}");
        }
        let errors =
            expected["failure"] + expected["rejected"] + expected["timed_out"] + expected["panicked"];
        assert_eq!(
            now[&format!("buttress_request_errors_total{{stack={stack}}}")],
            errors
        );
        let to_end = format!("buttress_request_duration_to_end_seconds{{stack={stack},le=inf}}");
        assert_eq!(now[&to_end], expected.values().sum::<u64>());
    }
    let panics = |name, place| now[&format!("buttress_panics_total{{name={name},place={place}}}")];
    let each = CALLERS * ROUNDS;
    assert_eq!(panics("upstream", "future"), each);
    assert_eq!(panics("upstream", "body"), each);
    assert_eq!(panics("gateway", "future"), each);
    assert_eq!(
        now["buttress_circuit_breaker_rejected_total{name=upstream}"],
        REFUSED
    );
}
