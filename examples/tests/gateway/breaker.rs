//! The breaker, as clients and upstreams see it.

use std::{io::Write, thread, time::Duration};

use buttress::clock;
use serde_json::Value;

use crate::{
    client::{Response, connect, get},
    process::Gateway,
    upstream::{Connection, Upstream},
};

const QUICK: &str = "[circuit_breaker]\nconsecutive_failures = 3\nsuccess_threshold = 1\nopen_for = \"3s\"\n\
                     open_jitter = 0.0\n";

fn state(gateway: &Gateway) -> Value {
    get(gateway.admin, "/state").json()
}

/// Asks until it is so.
fn eventually(gateway: &Gateway, so: impl Fn(&Value) -> bool) -> Value {
    let end = clock::now() + Duration::from_secs(10);
    loop {
        let state = state(gateway);
        if so(&state) {
            return state;
        }
        assert!(clock::now() < end, "{state}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn retry_after(response: &Response) -> (u64, u64) {
    let error = response.json()["error"].clone();
    assert_eq!(error["kind"], "circuit_open", "{error}");
    let seconds = response.head.get("retry-after").expect("a header");
    (
        seconds.parse().expect("seconds"),
        error["retry_after_ms"].as_u64().expect("milliseconds"),
    )
}

#[test]
fn it_opens_when_the_upstream_stops_and_closes_when_it_is_back() {
    let upstream = Upstream::saying("well");
    let address = upstream.address;
    let gateway = Gateway::start(address, QUICK);
    assert_eq!(get(gateway.address, "/").text(), "well");

    drop(upstream);
    for _ in 0..3 {
        let response = get(gateway.address, "/");
        assert_eq!(response.status, 502);
        assert_eq!(
            response.json(),
            serde_json::json!({"error": {
                "kind": "upstream_unreachable",
                "message": "The upstream cannot be reached.",
            }})
        );
    }
    let opened = clock::now();
    assert_eq!(state(&gateway)["upstream"]["circuitBreaker"]["state"], "OPEN");

    // Refused, and told for how long; that counts down.
    let response = get(gateway.address, "/");
    assert_eq!(response.status, 503);
    let first = retry_after(&response);
    assert!(first.0 == 3 && (2000..=3000).contains(&first.1), "{first:?}");
    thread::sleep(Duration::from_millis(1500));
    let second = retry_after(&get(gateway.address, "/"));
    assert!(
        second.0 < first.0 && second.1 <= first.1 - 1500,
        "{first:?} {second:?}"
    );
    // Nothing of the inside comes out.
    let text = format!("{:?}", get(gateway.address, "/"));
    assert!(
        !text.contains("upstream`") && !text.contains(&address.port().to_string()),
        "{text}"
    );

    let _upstream = Upstream::start_at(address, |connection| connection.answer("200 OK", "well again"));
    assert_eq!(get(gateway.address, "/").status, 503);
    thread::sleep(Duration::from_millis(3050).saturating_sub(opened.elapsed()));
    assert_eq!(get(gateway.address, "/").text(), "well again");
    let state = state(&gateway);
    assert_eq!(state["upstream"]["circuitBreaker"]["state"], "CLOSED", "{state}");
    // The stack in front has seen refusals for what they are.
    assert_eq!(state["gateway"]["outcomes"]["rejected"], 4, "{state}");
    assert_eq!(state["gateway"]["outcomes"]["failure"], 3, "{state}");
    assert_eq!(state["upstream"]["circuitBreaker"]["rejectedCalls"], 4, "{state}");
}

#[test]
fn it_opens_on_500s_and_not_on_404s() {
    let upstream = Upstream::start(|connection: Connection| {
        let status = match connection.head.first.contains("/none") {
            true => "404 Not Found",
            false => "500 Internal Server Error",
        };
        connection.answer(status, "no");
    });
    let gateway = Gateway::start(upstream.address, QUICK);
    for _ in 0..20 {
        assert_eq!(get(gateway.address, "/none").status, 404);
    }
    let counts: Vec<_> = (0..4).map(|_| get(gateway.address, "/").status).collect();
    assert_eq!(counts, [500, 500, 500, 503]);
    assert_eq!(state(&gateway)["upstream"]["circuitBreaker"]["neutralCalls"], 20);
}

#[test]
fn a_section_that_is_absent_is_a_policy_that_is_off() {
    let upstream = Upstream::start(|connection| connection.answer("500 Internal Server Error", "no"));
    let gateway = Gateway::start(upstream.address, "");
    for _ in 0..20 {
        assert_eq!(get(gateway.address, "/").status, 500);
    }
    let state = state(&gateway);
    assert_eq!(state["upstream"]["errors"], 20, "{state}");
    assert_eq!(state["upstream"]["circuitBreaker"], Value::Null, "{state}");
}

#[test]
fn clients_that_hang_up_do_not_open_it() {
    let upstream = Upstream::start(|mut connection: Connection| {
        // Waits for the rest of the body, or for as long as it takes.
        let mut rest = Vec::new();
        let _ = std::io::Read::read_to_end(&mut connection.reader, &mut rest);
    });
    let gateway = Gateway::start(upstream.address, QUICK);
    // In the middle of an upload.
    for _ in 0..5 {
        let mut stream = connect(gateway.address);
        stream
            .write_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf")
            .expect("it is read");
        thread::sleep(Duration::from_millis(50));
    }
    eventually(&gateway, |state| {
        state["gateway"]["requests"] == 5 && state["gateway"]["inFlight"] == 0
    });
    // While they wait for an answer.
    for _ in 0..5 {
        let mut stream = connect(gateway.address);
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            .expect("it is read");
        thread::sleep(Duration::from_millis(50));
    }
    let state = eventually(&gateway, |state| {
        state["gateway"]["requests"] == 10 && state["gateway"]["inFlight"] == 0
    });
    println!("{state}");
    let breaker = &state["upstream"]["circuitBreaker"];
    assert_eq!(breaker["state"], "CLOSED", "{state}");
    assert_eq!(breaker["failureCalls"], 0, "{state}");
    assert_eq!(state["gateway"]["errors"], 0, "{state}");
    assert!(
        state["gateway"]["outcomes"]["cancelled"].as_u64() >= Some(5),
        "{state}"
    );
}
