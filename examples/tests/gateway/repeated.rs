//! Retries, time limits, hedges and the fallback, as clients and upstreams see them.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use crate::{
    client::{Response, exchange, get},
    process::Gateway,
    upstream::{Connection, Upstream},
};

/// An upstream that counts its requests and answers each by its number, from 0.
fn upstream(answer: impl Fn(usize, Connection) + Send + Sync + 'static) -> (Upstream, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let upstream = Upstream::start(move |connection| answer(counted.fetch_add(1, SeqCst), connection));
    (upstream, calls)
}

/// Reads until the other side hangs up, and says nothing.
fn ignore(mut connection: Connection) {
    let mut rest = Vec::new();
    let _ = connection.reader.read_to_end(&mut rest);
}

fn send(gateway: &Gateway, method: &str, fields: &str, body: &str) -> Response {
    let length = body.len();
    let request = format!(
        "{method} / HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\nContent-Length: {length}\r\n{fields}\r\n{body}"
    );
    exchange(gateway.address, &request)
}

const QUICK_RETRY: &str = "[retry]\ninitial_backoff = \"10ms\"\nmax_backoff = \"50ms\"\n";

#[test]
fn a_get_is_sent_again_and_a_post_is_not() {
    let (upstream, calls) = upstream(|n, connection| match n {
        0 | 1 | 3 => connection.answer("503 Service Unavailable", "busy"),
        _ => connection.answer("200 OK", "well"),
    });
    let gateway = Gateway::start(upstream.address, QUICK_RETRY);
    assert_eq!(get(gateway.address, "/").text(), "well");
    assert_eq!(calls.load(SeqCst), 3);

    // The upstream's own answer, unchanged.
    let refused = send(&gateway, "POST", "", "one book");
    assert_eq!((refused.status, refused.text().as_str()), (503, "busy"));
    assert_eq!(calls.load(SeqCst), 4);

    let state = get(gateway.admin, "/state").json();
    let retry = &state["upstream"]["retry"];
    assert_eq!(
        (&retry["calls"], &retry["retries"]),
        (&2.into(), &2.into()),
        "{state}"
    );
    assert_eq!(retry["recovered"], 1, "{state}");
}

#[test]
fn a_body_is_sent_again_byte_for_byte_where_a_key_allows_it() {
    let bodies = Arc::new(Mutex::new(Vec::new()));
    let (upstream, _calls) = upstream({
        let bodies = bodies.clone();
        move |n, mut connection| {
            assert_eq!(connection.head.get("idempotency-key"), Some("5f1c"));
            let body = connection.read_exactly(32 << 10);
            bodies.lock().expect("nobody panics").push(body);
            match n {
                0 => connection.answer("502 Bad Gateway", "no"),
                _ => connection.answer("201 Created", "done"),
            }
        }
    });
    let gateway = Gateway::start(upstream.address, QUICK_RETRY);
    let body: String = (0..32 << 10).map(|n| char::from(b'a' + (n % 23) as u8)).collect();
    let created = send(&gateway, "POST", "Idempotency-Key: 5f1c\r\n", &body);
    assert_eq!((created.status, created.text().as_str()), (201, "done"));
    let bodies = bodies.lock().expect("nobody panics");
    assert_eq!(bodies.len(), 2);
    assert!(bodies.iter().all(|b| b == body.as_bytes()));
}

#[test]
fn a_connection_that_breaks_before_the_answer_is_tried_again() {
    let (upstream, calls) = upstream(|n, connection| match n {
        0 => drop(connection.writer.shutdown(Shutdown::Both)),
        _ => connection.answer("200 OK", "well"),
    });
    let gateway = Gateway::start(upstream.address, QUICK_RETRY);
    assert_eq!(get(gateway.address, "/").text(), "well");
    assert_eq!(calls.load(SeqCst), 2);
}

#[test]
fn an_upstream_that_does_not_answer_in_time_is_a_504() {
    let (upstream, calls) = upstream(|_, connection| ignore(connection));
    let limits = "[timeouts]\nattempt = \"100ms\"\n[circuit_breaker]\nconsecutive_failures = 2\n";
    let gateway = Gateway::start(upstream.address, limits);
    for _ in 0..2 {
        let late = get(gateway.address, "/");
        assert_eq!(late.status, 504);
        assert_eq!(late.json()["error"]["kind"], "timed_out");
    }
    // The breaker inside of the retry, and outside of the limit, has seen it.
    assert_eq!(get(gateway.address, "/").status, 503);
    assert_eq!(calls.load(SeqCst), 2);
    let state = get(gateway.admin, "/state").json();
    assert_eq!(state["gateway"]["outcomes"]["timedOut"], 2, "{state}");
}

#[test]
fn a_body_that_falls_silent_is_cut_off() {
    let (upstream, _calls) = upstream(|_, mut connection| {
        connection.write("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf");
        ignore(connection);
    });
    let gateway = Gateway::start(upstream.address, "[timeouts]\nbody_idle = \"100ms\"\n");
    let cut = get(gateway.address, "/");
    assert_eq!((cut.status, cut.text().as_str(), cut.whole), (200, "half", false));
}

#[test]
fn a_hedge_answers_in_place_of_a_slow_attempt_which_is_dropped() {
    let dropped = Arc::new(AtomicUsize::new(0));
    let (upstream, calls) = upstream({
        let dropped = dropped.clone();
        move |n, connection| match n {
            0 => {
                ignore(connection);
                dropped.fetch_add(1, SeqCst);
            }
            _ => connection.answer("200 OK", "well"),
        }
    });
    let gateway = Gateway::start(upstream.address, "[hedge]\nafter = \"50ms\"\n");
    assert_eq!(get(gateway.address, "/").text(), "well");
    assert_eq!(calls.load(SeqCst), 2);
    let end = buttress::clock::now() + Duration::from_secs(10);
    while dropped.load(SeqCst) == 0 {
        assert!(buttress::clock::now() < end, "the first attempt hangs on");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_fallback_answers_for_those_that_it_names() {
    let (upstream, calls) = upstream(|_, connection| connection.answer("500 Internal Server Error", "no"));
    let policies = "[circuit_breaker]\nconsecutive_failures = 2\n\
                    [fallback]\nstatus = 200\nbody = '{\"cached\":true}'\non = [\"circuit_open\", \"timed_out\"]\n";
    let gateway = Gateway::start(upstream.address, policies);
    // What it does not name is the upstream's own.
    for _ in 0..2 {
        assert_eq!(get(gateway.address, "/").status, 500);
    }
    let cached = get(gateway.address, "/");
    assert_eq!(cached.status, 200);
    assert_eq!(cached.json(), serde_json::json!({"cached": true}));
    assert_eq!(cached.head.get("content-type"), Some("application/json"));
    assert_eq!(calls.load(SeqCst), 2);
}

#[test]
fn a_client_that_hangs_up_in_a_backoff_is_not_called_for_again() {
    let (upstream, calls) = upstream(|_, connection| connection.answer("503 Service Unavailable", "busy"));
    let slow = "[retry]\ninitial_backoff = \"1s\"\njitter = \"none\"\n";
    let gateway = Gateway::start(upstream.address, slow);
    let mut client = TcpStream::connect(gateway.address).expect("a connection");
    let request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    client.write_all(request).expect("it is read");
    while calls.load(SeqCst) == 0 {
        thread::sleep(Duration::from_millis(10));
    }
    drop(client);
    thread::sleep(Duration::from_millis(1500));
    assert_eq!(calls.load(SeqCst), 1);
}
