//! What Prometheus is told, against what was sent and seen.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
        mpsc,
    },
    thread,
    time::Duration,
};

use buttress::clock;
use prometheus_parse::{Scrape, Value};

use crate::{
    client::{connect, get, post},
    process::{Gateway, TOKEN},
    upstream::{Connection, Upstream},
};

/// One page: each series by its name and labels. Of a histogram there are its buckets.
struct Page(BTreeMap<String, f64>);

fn scrape(gateway: &Gateway) -> Page {
    let response = get(gateway.admin, "/metrics");
    assert_eq!(
        response.head.get("content-type"),
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    let page = response.text();
    assert!(page.ends_with("# EOF\n"), "{page}");
    let scrape = Scrape::parse(page.lines().map(|line| Ok(line.to_owned()))).expect("it parses");
    let mut series = BTreeMap::new();
    let mut add = |name: String, value: f64| {
        assert!(
            series.insert(name.clone(), value).is_none(),
            "{name} is there twice"
        );
    };
    for sample in scrape.samples {
        let labels = &sample.labels;
        let mut labels: Vec<_> = labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
        labels.sort();
        let labels = labels.join(",");
        match sample.value {
            Value::Counter(value) | Value::Gauge(value) | Value::Untyped(value) => {
                add(format!("{}{{{labels}}}", sample.metric), value);
            }
            Value::Histogram(buckets) => {
                for bucket in buckets {
                    let bound = bucket.less_than;
                    add(format!("{}{{{labels},le={bound}}}", sample.metric), bucket.count);
                }
            }
            Value::Summary(_) => panic!("there is none"),
        }
    }
    Page(series)
}

impl Page {
    fn get(&self, name: &str) -> u64 {
        let value = self
            .0
            .get(name)
            .unwrap_or_else(|| panic!("{name} in {:#?}", self.0));
        *value as u64
    }

    fn outcomes(&self, stack: &str) -> Vec<(&'static str, u64)> {
        OUTCOMES
            .iter()
            .map(|outcome| {
                let name = format!("shop_requests_total{{outcome={outcome},stack={stack}}}");
                (*outcome, self.get(&name))
            })
            .collect()
    }

    /// What must be so at any moment.
    fn is_sound(&self) {
        let states = self.0.iter().filter(|(name, _)| name.contains("breaker_state{"));
        let states: Vec<f64> = states.map(|(_, value)| *value).collect();
        assert_eq!((states.len(), states.iter().sum::<f64>()), (6, 1.0));
        assert!(states.iter().all(|state| [0.0, 1.0].contains(state)));
    }

    /// No counter is lower than before, and no series has gone.
    fn follows(&self, before: &Self) {
        for (name, was) in &before.0 {
            let is = self.0.get(name).unwrap_or_else(|| panic!("{name} has gone"));
            let counts = name.contains("_total{") || name.contains("le=");
            assert!(!counts || is >= was, "{name}: {was}, then {is}");
        }
    }
}

const OUTCOMES: [&str; 7] = [
    "success",
    "failure",
    "neutral",
    "rejected",
    "timed_out",
    "cancelled",
    "panicked",
];

/// Buckets of every length: most calls take less than the first.
const FILE: &str = "[trace_id]\n[metrics]\nprefix = \"shop\"\nbuckets = [\"1s\", \"60s\"]\nroute_labels = 0\n\
                    [timeouts]\nattempt = \"2s\"\n\
                    [retry]\nretry_on = [503]\ninitial_backoff = \"5ms\"\nmax_backoff = \"5ms\"\n\
                    budget = { ratio = 1.0, min_per_second = 100000 }\n\
                    [circuit_breaker]\nconsecutive_failures = 1000000\n";

/// What becomes of a path, whatever its number.
const KINDS: [(&str, u16, &str); 4] = [
    ("/well", 200, "success"),
    ("/none", 404, "neutral"),
    ("/fail", 500, "failure"),
    // First a 503, then well.
    ("/busy", 200, "success"),
];

fn upstream(held: mpsc::Sender<()>, calls: Arc<AtomicU64>) -> Upstream {
    let held = Mutex::new(held);
    let busy = Mutex::new(std::collections::BTreeSet::new());
    Upstream::start(move |mut connection: Connection| {
        calls.fetch_add(1, SeqCst);
        let path = connection
            .head
            .first
            .split(' ')
            .nth(1)
            .expect("a path")
            .to_owned();
        let kind = path.split('/').nth(1).expect("a kind");
        match kind {
            "well" => connection.answer("200 OK", "well"),
            "none" => connection.answer("404 Not Found", "none"),
            "fail" => connection.answer("500 Internal Server Error", "no"),
            "busy" => match busy.lock().expect("nobody panics").insert(path) {
                true => connection.answer("503 Service Unavailable", "busy"),
                false => connection.answer("200 OK", "well"),
            },
            _ => {
                if kind == "held" {
                    held.lock()
                        .expect("nobody panics")
                        .send(())
                        .expect("the test runs");
                }
                let mut rest = Vec::new();
                let _ = connection.reader.read_to_end(&mut rest);
            }
        }
    })
}

fn drill(gateway: &Gateway, drill: &str) {
    let path = format!("/circuit-breakers/upstream/{drill}");
    let fields = format!("Authorization: Bearer {TOKEN}\r\n");
    assert_eq!(post(gateway.admin, &path, &fields).status, 200, "{drill}");
}

#[test]
fn under_load_the_counters_add_up_to_what_was_sent_and_seen() {
    const CALLERS: u64 = 4;
    const ROUNDS: u64 = 60;
    const LATE: u64 = 6;
    const HUNG_UP: u64 = 7;
    const REFUSED: u64 = 25;

    let calls = Arc::new(AtomicU64::new(0));
    let (held, holding) = mpsc::channel();
    let upstream = upstream(held, calls.clone());
    let gateway = Gateway::start(upstream.address, FILE);
    let first = scrape(&gateway);
    let over = AtomicBool::new(false);
    let scrapes = AtomicU64::new(0);

    thread::scope(|scope| {
        let scraper = scope.spawn(|| {
            let mut before = scrape(&gateway);
            while !over.load(SeqCst) {
                let page = scrape(&gateway);
                page.is_sound();
                page.follows(&before);
                before = page;
                scrapes.fetch_add(1, SeqCst);
            }
        });
        let callers: Vec<_> = (0..CALLERS)
            .map(|caller| {
                let gateway = &gateway;
                scope.spawn(move || {
                    for round in 0..ROUNDS {
                        for (path, status, _) in KINDS {
                            // A path and a query of its own for each.
                            let path = format!("{path}/{caller}/{round}?{round}={caller}");
                            assert_eq!(get(gateway.address, &path).status, status, "{path}");
                        }
                    }
                })
            })
            .collect();
        let late: Vec<_> = (0..LATE)
            .map(|_| scope.spawn(|| assert_eq!(get(gateway.address, "/late/1").status, 504)))
            .collect();
        for _ in 0..HUNG_UP {
            let mut stream = connect(gateway.address);
            let request = "GET /held/1 HTTP/1.1\r\nHost: x\r\n\r\n";
            stream.write_all(request.as_bytes()).expect("it is read");
            // It hangs up once it is known to wait for the upstream.
            holding.recv_timeout(Duration::from_secs(20)).expect("it is held");
        }
        for caller in callers.into_iter().chain(late) {
            caller.join().expect("a caller");
        }
        drill(&gateway, "force-open");
        for _ in 0..REFUSED {
            assert_eq!(get(gateway.address, "/well/refused").status, 503);
        }
        over.store(true, SeqCst);
        scraper.join().expect("the scraper");
    });
    println!("{} scrapes", scrapes.load(SeqCst));
    assert!(scrapes.load(SeqCst) > 10);

    // The last who hung up may not have been noticed yet.
    let end = clock::now() + Duration::from_secs(10);
    let page = loop {
        let page = scrape(&gateway);
        let in_flight = |stack| page.get(&format!("shop_requests_in_flight{{stack={stack}}}"));
        if (in_flight("gateway"), in_flight("upstream")) == (0, 0) {
            break page;
        }
        assert!(clock::now() < end, "{:#?}", page.0);
        thread::sleep(Duration::from_millis(20));
    };

    let each = CALLERS * ROUNDS;
    let of = |outcome| KINDS.iter().filter(|(_, _, o)| *o == outcome).count() as u64 * each;
    let expected = [
        ("success", of("success")),
        ("failure", of("failure")),
        ("neutral", of("neutral")),
        ("rejected", REFUSED),
        ("timed_out", LATE),
        ("cancelled", HUNG_UP),
        ("panicked", 0),
    ];
    let all: u64 = expected.iter().map(|(_, count)| count).sum();
    for stack in ["gateway", "upstream"] {
        assert_eq!(page.outcomes(stack), expected, "{stack}");
        let errors = page.get(&format!("shop_request_errors_total{{stack={stack}}}"));
        assert_eq!(errors, of("failure") + REFUSED + LATE, "{stack}");
        let to_end = format!("shop_request_duration_to_end_seconds{{stack={stack},le=inf}}");
        assert_eq!(page.get(&to_end), all, "{stack}");
        let within_a_second = format!("shop_request_duration_to_end_seconds{{stack={stack},le=1}}");
        assert!(page.get(&within_a_second) <= all - LATE, "{stack}");
    }

    let attempts = all + each;
    let upstream = |name: &str| page.get(&format!("shop_{name}{{name=upstream}}"));
    assert_eq!(upstream("retry_calls_total"), all);
    assert_eq!(upstream("retry_attempts_total"), attempts);
    assert_eq!(upstream("retry_recovered_total"), each);
    assert_eq!(upstream("circuit_breaker_rejected_total"), REFUSED);
    assert_eq!(calls.load(SeqCst), attempts - REFUSED, "what the upstream saw");
    let breaker = |outcome: &str| {
        page.get(&format!(
            "shop_circuit_breaker_calls_total{{name=upstream,outcome={outcome}}}"
        ))
    };
    assert_eq!(breaker("success"), of("success"));
    assert_eq!(breaker("neutral"), of("neutral"));
    assert_eq!(breaker("failure"), of("failure") + each + LATE);
    assert_eq!(breaker("cancelled"), HUNG_UP);
    assert_eq!(
        page.get("shop_circuit_breaker_state{name=upstream,state=forced_open}"),
        1
    );
    assert_eq!(page.get("shop_timeouts_total{limit=attempt,name=upstream}"), LATE);
    assert_eq!(page.get("shop_traces_total{name=gateway,origin=made}"), all);

    // Hundreds of paths, and no series more than at the beginning.
    let names = |page: &Page| page.0.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&page), names(&first));

    // And one line of the log for each. The last may be written after its call is booked.
    for (direction, stack) in [("inbound", "gateway"), ("outbound", "upstream")] {
        let line = format!("buttress::access: direction=\"{direction}\" stack=\"{stack}\"");
        let lines = || gateway.log().lines().filter(|l| l.contains(&line)).count() as u64;
        while lines() < all && clock::now() < end {
            thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(lines(), all, "{direction}");
    }
}

#[test]
fn without_metrics_there_is_still_a_page() {
    let upstream = Upstream::saying("well");
    let gateway = Gateway::with(&format!(
        "listen = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\nmetrics = false\n[upstream]\n\
         endpoints = [\"http://{}\"]\n[circuit_breaker]\n",
        upstream.address
    ));
    assert_eq!(get(gateway.address, "/").status, 200);
    let page = scrape(&gateway);
    page.is_sound();
    assert!(
        !page
            .0
            .keys()
            .any(|name| name.starts_with("buttress_requests_total"))
    );
    assert_eq!(
        page.get("buttress_circuit_breaker_calls_total{name=upstream,outcome=success}"),
        1
    );
    let post = post(gateway.admin, "/metrics", "");
    assert_eq!(post.status, 405);
}

#[test]
fn routes_of_the_file_are_labels_and_paths_are_not() {
    let upstream = Upstream::saying("well");
    let gateway = Gateway::with(&format!(
        "listen = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\nroutes = [\"/books/{{id}}\", \"/files/{{*rest}}\", \"/more\"]\n\
         [upstream]\nendpoints = [\"http://{}\"]\n[trace_id]\n[metrics]\nroute_labels = 2\n[circuit_breaker]\n",
        upstream.address
    ));
    for n in 0..20 {
        for path in ["/books", "/files/a", "/more/than/that"] {
            assert_eq!(get(gateway.address, &format!("{path}/{n}?n={n}")).status, 200);
        }
    }
    assert_eq!(get(gateway.address, "/more").status, 200);
    // By its lines: the parser takes a brace in a label for the end of all labels.
    let page = get(gateway.admin, "/metrics").text();
    for stack in ["gateway", "upstream"] {
        let of = format!("buttress_requests_total{{stack=\"{stack}\",route=\"");
        let by_route = page.lines().filter_map(|line| {
            let (route, count) = line.strip_prefix(&of)?.split_once("\",outcome=\"success\"} ")?;
            Some((route, count.parse::<u64>().expect("a number")))
        });
        // There is room for two.
        let expected = [
            ("/books/{id}", 20),
            ("/files/{*rest}", 20),
            ("other", 1),
            ("unmatched", 20),
        ];
        assert_eq!(by_route.collect::<Vec<_>>(), expected, "{stack}");
    }
    let end = clock::now() + Duration::from_secs(10);
    let logged = || {
        let log = gateway.log();
        let lines = log
            .lines()
            .filter(|l| l.contains("buttress::access") && l.contains("route=\"/books/{id}\""));
        lines.count()
    };
    while logged() < 40 && clock::now() < end {
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(logged(), 40, "in front and behind");
}
