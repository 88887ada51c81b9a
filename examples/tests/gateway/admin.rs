//! The operators' port.

use crate::{
    client::{exchange, get, post},
    process::{Gateway, TOKEN},
    upstream::Upstream,
};

const BREAKER: &str = "name = \"payments\"\n[circuit_breaker]\nopen_for = \"30s\"\n";

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

#[test]
fn health_and_state_are_for_everybody() {
    let upstream = Upstream::saying("well");
    let gateway = Gateway::start(upstream.address, BREAKER);
    let health = get(gateway.admin, "/healthz");
    assert_eq!(
        (health.status, health.text().as_str()),
        (200, "{\"status\":\"ok\"}\n")
    );
    assert_eq!(get(gateway.address, "/").status, 200);

    let response = get(gateway.admin, "/state");
    assert_eq!(response.head.get("content-type"), Some("application/json"));
    let state = response.json();
    let payments = &state["payments"];
    assert_eq!(payments["successRate"], 1.0);
    assert!(payments["avgLatency"].as_f64() > Some(0.0));
    assert_eq!(
        (&payments["requests"], &payments["errors"]),
        (&1.into(), &0.into())
    );
    let breaker = &payments["circuitBreaker"];
    assert_eq!(breaker["state"], "CLOSED");
    for (count, is) in [
        ("totalCalls", 1),
        ("successCalls", 1),
        ("failureCalls", 0),
        ("rejectedCalls", 0),
    ] {
        assert_eq!(breaker[count], is, "{count}");
    }
    assert_eq!(state["gateway"]["requests"], 1);
}

#[test]
fn a_drill_changes_what_clients_get() {
    let upstream = Upstream::saying("well");
    let gateway = Gateway::start(upstream.address, BREAKER);
    for (drill, state, status) in [
        ("open", "OPEN", 503),
        ("close", "CLOSED", 200),
        ("force-open", "FORCED_OPEN", 503),
        ("reset", "CLOSED", 200),
        ("record?failures=10", "OPEN", 503),
        ("close", "CLOSED", 200),
        ("record?failures=4&successes=1", "CLOSED", 200),
        ("record?failures=4", "CLOSED", 200),
        ("record?failures=5", "OPEN", 503),
    ] {
        let path = format!("/circuit-breakers/payments/{drill}");
        let response = post(gateway.admin, &path, &bearer(TOKEN));
        assert_eq!(response.status, 200, "{drill}: {}", response.text());
        let answer = response.json();
        assert_eq!(answer["name"], "payments");
        assert_eq!(answer["circuitBreaker"]["state"], state, "{drill}");
        assert_eq!(get(gateway.address, "/").status, status, "{drill}");
    }
}

#[test]
fn only_the_token_lets_anyone_drill() {
    let upstream = Upstream::saying("well");
    let gateway = Gateway::start(upstream.address, BREAKER);
    let path = "/circuit-breakers/payments/force-open";
    for fields in [
        String::new(),
        bearer("wrong"),
        bearer(""),
        bearer("s3cretive"),
        bearer("s3cre"),
        format!("Authorization: Basic {TOKEN}\r\n"),
        format!("Authorization: {TOKEN}\r\n"),
    ] {
        let response = post(gateway.admin, path, &fields);
        assert_eq!(response.status, 401, "{fields}");
        assert_eq!(
            response.head.get("www-authenticate"),
            Some("Bearer realm=\"admin\""),
            "{fields}"
        );
        // Not even whether there is such a breaker.
        assert_eq!(
            post(gateway.admin, "/circuit-breakers/none/reset", &fields).status,
            401
        );
    }
    assert_eq!(
        get(gateway.admin, "/state").json()["payments"]["circuitBreaker"]["state"],
        "CLOSED"
    );
}

#[test]
fn without_a_token_in_the_file_there_are_no_drills() {
    let upstream = Upstream::saying("well");
    let gateway = Gateway::with(&format!(
        "listen = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n[upstream]\nendpoints = [\"http://{}\"]\n\
         [circuit_breaker]\n",
        upstream.address
    ));
    for fields in [String::new(), bearer(""), bearer(TOKEN)] {
        let response = post(gateway.admin, "/circuit-breakers/upstream/open", &fields);
        assert_eq!(response.status, 403);
        assert_eq!(response.json()["error"]["kind"], "drills_off");
    }
    assert_eq!(get(gateway.admin, "/healthz").status, 200);
}

#[test]
fn what_makes_no_sense_is_explained() {
    let upstream = Upstream::saying("well");
    let gateway = Gateway::start(upstream.address, BREAKER);
    let asked = |path: &str| post(gateway.admin, path, &bearer(TOKEN));
    for (path, status, word) in [
        ("/circuit-breakers/paymints/open", 404, "There is: payments."),
        ("/circuit-breakers/gateway/open", 404, "There is: payments."),
        ("/circuit-breakers/payments/explode", 404, "force-open"),
        ("/circuit-breakers/payments/record", 400, "failures=N"),
        ("/circuit-breakers/payments/record?failures=0", 400, "1 to 10000"),
        (
            "/circuit-breakers/payments/record?failures=10001",
            400,
            "1 to 10000",
        ),
        ("/circuit-breakers/payments/record?disasters=1", 400, "failures=N"),
        ("/nowhere", 404, "GET /state"),
        ("/healthz", 405, "method"),
        ("/state", 405, "method"),
    ] {
        let response = asked(path);
        assert_eq!(response.status, status, "{path}");
        let message = response.json()["error"]["message"].to_string();
        assert!(message.contains(word), "{path}: {message}");
    }
    let response = get(gateway.admin, "/circuit-breakers/payments/open");
    assert_eq!((response.status, response.head.get("allow")), (405, Some("POST")));
    let delete = "DELETE /state HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    assert_eq!(exchange(gateway.admin, delete).status, 405);
}

#[test]
fn what_the_readme_tells_operators_to_type_works_with_the_file_that_it_is_about() {
    let readme = include_str!("../../README.md");
    let file = include_str!("../../gateway/gateway.toml");
    let file = file
        .replace("127.0.0.1:8080", "127.0.0.1:0")
        .replace("127.0.0.1:9090", "127.0.0.1:0");
    let gateway = Gateway::with(&file);
    let (_, section) = readme.split_once("### What operators see").expect("a section");
    let (_, block) = section.split_once("```sh\n").expect("a block");
    let (block, _) = block.split_once("```").expect("its end");
    let mut typed = 0;
    let mut fields = "";
    for line in block.lines() {
        if let Some(token) = line.strip_prefix("T='") {
            fields = token.split('\'').next().expect("a field");
        }
        let Some(command) = line.strip_prefix("curl ") else {
            continue;
        };
        let (_, url) = command.split_once("localhost:9090").expect("the admin port");
        let path = url.split([' ', '\'']).next().expect("a path");
        let answer = match command.starts_with("-X POST -H \"$T\" ") {
            true => post(gateway.admin, path, &format!("{fields}\r\n")),
            false => get(gateway.admin, path),
        };
        assert_eq!(answer.status, 200, "{line}: {}", answer.text());
        if path.starts_with("/circuit-breakers/") {
            let (_, after) = path.split_once("upstream:a/").expect("a breaker of the pool");
            let state = match after.split_once('?').map_or(after, |(drill, _)| drill) {
                "open" | "record" => "OPEN",
                "force-open" => "FORCED_OPEN",
                _ => "CLOSED",
            };
            assert_eq!(answer.json()["circuitBreaker"]["state"], state, "{line}");
        }
        typed += 1;
    }
    assert_eq!(typed, 12, "{block}");
}
