//! The rate limit in front and the queue behind, as clients see them.

use std::{
    io::{BufReader, Write},
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        mpsc::{self, Receiver, Sender},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use buttress::clock;
use serde_json::Value;

use crate::{
    client::{Response, connect, exchange, get, post, read_head, read_response},
    process::{Gateway, TOKEN},
    upstream::{Connection, Upstream},
};

const PATIENCE: Duration = Duration::from_secs(20);

fn state(gateway: &Gateway) -> Value {
    get(gateway.admin, "/state").json()
}

/// Asks until it is so.
fn eventually(gateway: &Gateway, so: impl Fn(&Value) -> bool) {
    let end = clock::now() + PATIENCE;
    loop {
        let state = state(gateway);
        if so(&state) {
            return;
        }
        assert!(clock::now() < end, "{state}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// On a connection of its own.
fn get_with(address: SocketAddr, fields: &str) -> Response {
    let head = "GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n";
    exchange(address, &format!("{head}{fields}\r\n"))
}

fn statuses(address: SocketAddr, fields: impl IntoIterator<Item = String>) -> Vec<u16> {
    let answer = |fields: String| get_with(address, &fields).status;
    fields.into_iter().map(answer).collect()
}

// ===== rate limit =====

#[test]
fn thirty_requests_over_thirty_connections_are_under_one_limit() {
    let upstream = Upstream::saying("well");
    let limit = "[rate_limit]\nrate = 5\nper = \"1h\"\nheaders = true\n";
    let gateway = Gateway::start(upstream.address, limit);
    let address = gateway.address;
    let calls: Vec<_> = (0..30)
        .map(|_| thread::spawn(move || get(address, "/")))
        .collect();
    let answers: Vec<_> = calls
        .into_iter()
        .map(|call| call.join().expect("an answer"))
        .collect();
    let (passed, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert_eq!(passed.len(), 5);
    for answer in passed {
        assert_eq!(
            answer.head.get("ratelimit-policy"),
            Some(r#""default";q=5;w=3600"#)
        );
        assert_eq!(answer.head.get("retry-after"), None);
        let said = answer.head.get("ratelimit").expect("what is left");
        let left = said.strip_prefix(r#""default";r="#).expect("the format");
        let left: u8 = left.split(';').next().expect("it").parse().expect("a number");
        assert!(left < 5, "{said}");
    }
    for answer in refused {
        assert_eq!(answer.status, 429);
        let error = &answer.json()["error"];
        assert_eq!(error["kind"], "rate_limited");
        let seconds: u64 = answer
            .head
            .get("retry-after")
            .expect("a header")
            .parse()
            .expect("seconds");
        assert!((700..=720).contains(&seconds), "{seconds}: a fifth of an hour");
        assert_eq!(
            seconds,
            error["retry_after_ms"].as_u64().expect("a number").div_ceil(1000)
        );
        assert_eq!(
            answer.head.get("ratelimit-policy"),
            Some(r#""default";q=5;w=3600"#)
        );
        let said = format!(r#""default";r=0;t={seconds}"#);
        assert_eq!(answer.head.get("ratelimit"), Some(&*said));
    }
    let books = &state(&gateway)["gateway"]["rateLimit"];
    assert_eq!((&books["allowed"], &books["limited"]), (&5.into(), &25.into()));
    let page = get(gateway.admin, "/metrics").text();
    assert!(
        page.contains("buttress_rate_limit_limited_total{name=\"gateway\"} 25\n"),
        "{page}"
    );
}

#[test]
fn each_value_of_a_header_has_a_limit_of_its_own() {
    let upstream = Upstream::saying("well");
    let limit = "[rate_limit]\nrate = 2\nper = \"1h\"\nkey = { header = \"x-api-key\" }\n";
    let gateway = Gateway::start(upstream.address, limit);
    for key in ["one", "other"] {
        let fields = || std::iter::repeat_n(format!("X-API-Key: {key}\r\n"), 3);
        assert_eq!(statuses(gateway.address, fields()), [200, 200, 429], "{key}");
    }
    // Those without one share a third.
    assert_eq!(statuses(gateway.address, vec![String::new(); 3]), [200, 200, 429]);
    let answer = get_with(gateway.address, "X-API-Key: one\r\n");
    assert!(answer.head.get("retry-after").is_some() && answer.head.get("ratelimit").is_some());
    assert_eq!(state(&gateway)["gateway"]["rateLimit"]["keys"], 2);
}

#[test]
fn a_made_up_x_forwarded_for_changes_nothing() {
    let upstream = Upstream::saying("well");
    // By the connection's peer, whatever the client says.
    let limit = "[rate_limit]\nrate = 2\nper = \"1h\"\nkey = \"peer_ip\"\n";
    let gateway = Gateway::start(upstream.address, limit);
    let made_up = |n: u8| format!("X-Forwarded-For: 198.51.100.{n}\r\nForwarded: for=198.51.100.{n}\r\n");
    assert_eq!(
        statuses(gateway.address, (0..4).map(made_up)),
        [200, 200, 429, 429]
    );

    // By what the one trusted proxy in front of it has added.
    let limit = "[rate_limit]\nrate = 2\nper = \"1h\"\nkey = { forwarded_for = 1 }\n";
    let gateway = Gateway::start(upstream.address, limit);
    let seen = |by: &'static str| move |n: u8| format!("X-Forwarded-For: 198.51.100.{n}, {by}\r\n");
    let address = gateway.address;
    assert_eq!(
        statuses(address, (0..3).map(seen("203.0.113.7"))),
        [200, 200, 429]
    );
    assert_eq!(
        statuses(address, (0..3).map(seen("203.0.113.8"))),
        [200, 200, 429]
    );
    // Nor does a second line.
    let lines = |n: u8| format!("X-Forwarded-For: 198.51.100.{n}\r\nX-Forwarded-For: 203.0.113.7\r\n");
    assert_eq!(statuses(address, (0..2).map(lines)), [429, 429]);
    // In IPv6 it is the /64 that counts.
    let near = |n: u8| format!("X-Forwarded-For: 2001:db8::{n}\r\n");
    assert_eq!(statuses(address, (0..3).map(near)), [200, 200, 429]);
}

#[test]
fn what_the_breaker_refuses_is_not_counted() {
    let upstream = Upstream::saying("well");
    let policies = "[rate_limit]\nrate = 2\nper = \"1h\"\n[circuit_breaker]\nopen_for = \"1h\"\n";
    let gateway = Gateway::start(upstream.address, policies);
    let token = format!("Authorization: Bearer {TOKEN}\r\n");
    let drill = |what: &str| {
        let path = format!("/circuit-breakers/upstream/{what}");
        assert_eq!(post(gateway.admin, &path, &token).status, 200);
    };
    drill("force-open");
    for _ in 0..5 {
        assert_eq!(get(gateway.address, "/").status, 503);
    }
    drill("close");
    let answers = [(); 3].map(|()| get(gateway.address, "/").status);
    assert_eq!(answers, [200, 200, 429]);
    assert_eq!(state(&gateway)["gateway"]["rateLimit"]["refunded"], 5);
}

#[test]
fn who_may_wait_waits_for_its_turn() {
    let upstream = Upstream::saying("well");
    let limit = "[rate_limit]\nrate = 10\nburst = 1\nmax_wait = \"250ms\"\n";
    let gateway = Gateway::start(upstream.address, limit);
    let address = gateway.address;
    let start = clock::now();
    let calls: Vec<_> = (0..8)
        .map(|_| thread::spawn(move || get(address, "/").status))
        .collect();
    let answers: Vec<_> = calls
        .into_iter()
        .map(|call| call.join().expect("an answer"))
        .collect();
    let passed = answers.iter().filter(|status| **status == 200).count();
    // One at once, and one more each tenth of a second; whose turn is later than it may wait is refused at once.
    assert!(passed >= 3, "{answers:?}");
    let at_least = Duration::from_millis(100) * (passed as u32 - 1);
    assert!(
        start.elapsed() >= at_least,
        "{answers:?} in {:?}",
        start.elapsed()
    );
    assert!(answers.iter().all(|status| [200, 429].contains(status)));
}

// ===== priority =====

/// An upstream that notes who has come, and answers each when it is told to.
struct Held {
    upstream: Upstream,
    came: Arc<Mutex<Vec<String>>>,
    go: Sender<()>,
}

impl Held {
    fn new() -> Self {
        let came: Arc<Mutex<Vec<String>>> = Arc::default();
        let (go, told) = mpsc::channel();
        let told: Mutex<Receiver<()>> = Mutex::new(told);
        let notes = came.clone();
        let upstream = Upstream::start(move |connection: Connection| {
            let name = connection.head.get("x-name").unwrap_or_default().to_owned();
            notes.lock().expect("no panic").push(name);
            let told = told.lock().expect("no panic").recv_timeout(PATIENCE);
            if told.is_ok() {
                connection.answer("200 OK", "well");
            }
        });
        Self { upstream, came, go }
    }

    fn came(&self) -> Vec<String> {
        self.came.lock().expect("no panic").clone()
    }
}

fn asking(gateway: &Gateway, name: &str, priority: &str) -> JoinHandle<Response> {
    let (address, fields) = (
        gateway.address,
        format!("X-Name: {name}\r\nPriority: {priority}\r\n"),
    );
    thread::spawn(move || get_with(address, &fields))
}

const ONE_AT_A_TIME: &str = "[priority]\nconcurrency = 1\nqueue = 3\nageing = \"off\"\n\
                             classify = { header = \"priority\", max = \"critical\" }\n";

#[test]
fn the_important_go_first_and_the_least_is_refused_for_them() {
    let held = Held::new();
    let gateway = Gateway::start(held.upstream.address, ONE_AT_A_TIME);
    let first = asking(&gateway, "first", "u=3");
    eventually(&gateway, |state| state["upstream"]["priority"]["running"] == 1);
    // By urgency, by number, and by name; one at a time, so that all are there.
    let mut waiting = Vec::new();
    for (n, (name, priority)) in [("background", "u=7"), ("low", "40"), ("high", "u=2, i")]
        .iter()
        .enumerate()
    {
        waiting.push(asking(&gateway, name, priority));
        eventually(&gateway, |state| {
            state["upstream"]["priority"]["queued"] == n as u64 + 1
        });
    }
    // There is no room for another one that is no more important,
    let full = asking(&gateway, "late", "background").join().expect("an answer");
    assert_eq!(
        (full.status, &full.json()["error"]["kind"]),
        (503, &"queue_full".into())
    );
    assert!(full.head.get("retry-after").is_some());
    // but for one that is.
    waiting.push(asking(&gateway, "critical", "critical"));
    let displaced = waiting.remove(0).join().expect("an answer");
    assert_eq!(
        (displaced.status, &displaced.json()["error"]["kind"]),
        (503, &"queue_full".into())
    );

    assert_eq!(held.came(), ["first"]);
    for _ in 0..4 {
        held.go.send(()).expect("it waits");
    }
    for call in waiting.into_iter().chain([first]) {
        assert_eq!(call.join().expect("an answer").status, 200);
    }
    assert_eq!(held.came(), ["first", "critical", "high", "low"]);
    let books = &state(&gateway)["upstream"]["priority"];
    assert_eq!(
        (&books["rejectedFull"], &books["displaced"]),
        (&2.into(), &1.into())
    );
    assert_eq!(books["timeInQueueByClass"]["critical"]["count"], 1);
}

#[test]
fn what_a_client_claims_is_believed_up_to_a_bound() {
    let held = Held::new();
    let policy =
        "[priority]\nconcurrency = 1\nqueue = 3\nageing = \"off\"\nclassify = { header = \"priority\" }\n";
    let gateway = Gateway::start(held.upstream.address, policy);
    let first = asking(&gateway, "first", "u=3");
    eventually(&gateway, |state| state["upstream"]["priority"]["running"] == 1);
    let _waiting = [
        asking(&gateway, "one", "critical"),
        asking(&gateway, "other", "u=0"),
    ];
    eventually(&gateway, |state| {
        state["upstream"]["priority"]["queuedByClass"]["high"] == 2
    });
    for _ in 0..3 {
        held.go.send(()).expect("it waits");
    }
    assert_eq!(first.join().expect("an answer").status, 200);
}

#[test]
fn who_has_waited_for_as_long_as_its_class_may_is_told_so() {
    let held = Held::new();
    let policy = format!("{ONE_AT_A_TIME}max_queue_time = {{ background = \"50ms\" }}\n");
    let gateway = Gateway::start(held.upstream.address, &policy);
    let first = asking(&gateway, "first", "u=3");
    eventually(&gateway, |state| state["upstream"]["priority"]["running"] == 1);
    let late = asking(&gateway, "late", "u=7").join().expect("an answer");
    assert_eq!(
        (late.status, &late.json()["error"]["kind"]),
        (503, &"queue_timeout".into())
    );
    assert!(late.head.get("retry-after").is_some());
    held.go.send(()).expect("it waits");
    assert_eq!(first.join().expect("an answer").status, 200);
    assert_eq!(held.came(), ["first"]);
}

#[test]
fn a_slot_is_taken_until_the_body_is_over_or_the_client_gone() {
    let upstream = Upstream::start(|mut connection: Connection| {
        if connection.head.get("x-name") == Some("long") {
            connection.write("HTTP/1.1 200 OK\r\nContent-Length: 8\r\nConnection: close\r\n\r\nhalf");
            // The rest never comes: the connection ends when the gateway has had enough.
            let _ = std::io::Read::read(&mut connection.reader, &mut [0; 1]);
        } else {
            connection.answer("200 OK", "well");
        }
    });
    let gateway = Gateway::start(upstream.address, ONE_AT_A_TIME);
    let mut long = connect(gateway.address);
    long.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nX-Name: long\r\n\r\n")
        .expect("it is read");
    let mut reader = BufReader::new(long);
    assert!(read_head(&mut reader).is_some());
    let next = asking(&gateway, "next", "u=0");
    eventually(&gateway, |state| {
        let queue = &state["upstream"]["priority"];
        queue["running"] == 1 && queue["queued"] == 1
    });
    drop(reader);
    assert_eq!(next.join().expect("an answer").status, 200);
    eventually(&gateway, |state| state["upstream"]["priority"]["running"] == 0);
}

/// Thirty connections, each with one request after the other: never two at a time.
#[test]
fn over_many_connections_the_slots_are_the_same_slots() {
    let running = Arc::new(Mutex::new((0_u32, 0_u32)));
    let seen = running.clone();
    let upstream = Upstream::start(move |connection: Connection| {
        {
            let mut running = running.lock().expect("no panic");
            running.0 += 1;
            running.1 = running.1.max(running.0);
        }
        thread::sleep(Duration::from_millis(2));
        running.lock().expect("no panic").0 -= 1;
        connection.answer("200 OK", "well");
    });
    let policy = "[priority]\nconcurrency = 1\nqueue = 100\n";
    let gateway = Gateway::start(upstream.address, policy);
    let address = gateway.address;
    let calls: Vec<_> = (0..30)
        .map(|_| {
            thread::spawn(move || {
                let mut stream = connect(address);
                let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
                for _ in 0..3 {
                    stream
                        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                        .expect("it is read");
                    assert_eq!(read_response(&mut reader).status, 200);
                }
            })
        })
        .collect();
    calls.into_iter().for_each(|call| call.join().expect("well"));
    assert_eq!(*seen.lock().expect("no panic"), (0, 1));
}
