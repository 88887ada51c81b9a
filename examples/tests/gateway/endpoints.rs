//! Several endpoints behind one gateway, as clients and operators see them.

use std::{thread, time::Duration};

use buttress::clock;
use serde_json::Value;

use crate::{
    client::{get, post},
    process::{Gateway, TOKEN},
    upstream::{Connection, Upstream},
};

/// In front of those, with these lines in `[upstream]` and after it.
fn gateway(endpoints: &[(&str, &Upstream)], more: &str) -> Gateway {
    let listed: Vec<_> = endpoints
        .iter()
        .map(|(name, upstream)| format!("{{ name = \"{name}\", url = \"http://{}\" }}", upstream.address))
        .collect();
    Gateway::with(&format!(
        "listen = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\nadmin_token = \"{TOKEN}\"\n\
         [upstream]\nendpoints = [{}]\nbalance = \"round_robin\"\n{more}",
        listed.join(", ")
    ))
}

fn drill(gateway: &Gateway, path: &str) -> (u16, Value) {
    let bearer = format!("Authorization: Bearer {TOKEN}\r\n");
    let answer = post(gateway.admin, path, &bearer);
    (answer.status, answer.json())
}

fn who(gateway: &Gateway) -> String {
    let answer = get(gateway.address, "/");
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.text()
}

/// Waits until it is so.
fn eventually(what: &str, so: impl Fn() -> bool) {
    let end = clock::now() + Duration::from_secs(15);
    while !so() {
        assert!(clock::now() < end, "{what}");
        thread::sleep(Duration::from_millis(20));
    }
}

const BREAKER: &str = "[circuit_breaker]\nconsecutive_failures = 2\nopen_for = \"30s\"\n";

#[test]
fn clients_do_not_notice_an_endpoint_that_fails_and_each_has_a_state_of_its_own() {
    let bad = Upstream::start(|connection: Connection| connection.answer("503 Service Unavailable", "no"));
    let (well, fine) = (Upstream::saying("well"), Upstream::saying("fine"));
    let gateway = gateway(&[("bad", &bad), ("well", &well), ("fine", &fine)], BREAKER);
    let answers: Vec<_> = (0..30).map(|_| who(&gateway)).collect();
    for answer in ["well", "fine"] {
        assert!(
            answers.iter().filter(|a| *a == answer).count() >= 10,
            "{answers:?}"
        );
    }
    let state = get(gateway.admin, "/state").json();
    let pool = &state["upstream"]["pool"];
    assert_eq!(
        (&pool["calls"], &pool["usable"], &pool["failovers"]),
        (&30.into(), &2.into(), &1.into())
    );
    let bad = &pool["endpoints"]["bad"];
    assert_eq!(
        (&bad["failureCalls"], &bad["movedCalls"], &bad["usable"]),
        (&2.into(), &2.into(), &false.into())
    );
    assert!(bad["failedFor"].as_f64() > Some(0.0), "{bad}");
    assert_eq!(state["upstream:bad"]["circuitBreaker"]["state"], "OPEN");
    assert_eq!(state["upstream:well"]["circuitBreaker"]["state"], "CLOSED");
    assert_eq!(state["upstream"]["requests"], 30, "calls, not attempts");

    let page = get(gateway.admin, "/metrics").text();
    for line in [
        "buttress_pool_usable_endpoints{name=\"upstream\"} 2",
        "buttress_pool_endpoint_healthy{name=\"upstream\",endpoint=\"bad\"} 0",
        "buttress_pool_failovers_total{name=\"upstream\",endpoint=\"bad\"} 1",
        "buttress_circuit_breaker_state{name=\"upstream:bad\",state=\"open\"} 1",
    ] {
        assert!(page.contains(line), "{line} in\n{page}");
    }
}

#[test]
fn each_endpoint_is_called_by_its_own_name_and_learns_whom_the_client_asked() {
    let echo = || {
        Upstream::start(|connection: Connection| {
            let field = |name| connection.head.all(name).join(";");
            let text = format!(
                "{} {} {}",
                connection.head.first,
                field("host"),
                field("x-forwarded-host")
            );
            connection.answer("200 OK", &text);
        })
    };
    let (a, b) = (echo(), echo());
    let gateway = gateway(&[("a", &a), ("b", &b)], "");
    let mut answers: Vec<_> = (0..2).map(|_| get(gateway.address, "/x?y=1").text()).collect();
    answers.sort();
    let mut expected = [&a, &b].map(|u| format!("GET /x?y=1 HTTP/1.1 {} shop.example", u.address));
    expected.sort();
    assert_eq!(answers, expected);
}

#[test]
fn operators_drill_endpoints() {
    let (one, two) = (Upstream::saying("one"), Upstream::saying("two"));
    let gateway = gateway(&[("one", &one), ("two", &two)], BREAKER);
    let (status, answer) = drill(&gateway, "/endpoints/one/drain");
    assert_eq!(
        (status, &answer["endpoint"]["draining"]),
        (200, &true.into()),
        "{answer}"
    );
    assert!((0..6).all(|_| who(&gateway) == "two"));
    assert_eq!(
        drill(&gateway, "/endpoints/two/force-open").1["circuitBreaker"]["state"],
        "FORCED_OPEN"
    );

    let refused = get(gateway.address, "/");
    assert_eq!(
        (refused.status, &refused.json()["error"]["kind"]),
        (503, &"no_endpoint".into())
    );
    assert_eq!(
        drill(&gateway, "/endpoints/one/resume").1["endpoint"]["usable"],
        true
    );
    assert!((0..6).all(|_| who(&gateway) == "one"));
    assert_eq!(drill(&gateway, "/circuit-breakers/upstream:two/close").0, 200);
    assert_eq!(
        drill(&gateway, "/endpoints/two/record?failures=2").1["circuitBreaker"]["state"],
        "OPEN"
    );
    assert_eq!(
        drill(&gateway, "/endpoints/two/reset").1["endpoint"]["usable"],
        true
    );
    let (status, answer) = drill(&gateway, "/endpoints/one/weight/3");
    assert_eq!((status, &answer["endpoint"]["weight"]), (200, &3.into()));
    let ones = (0..40).filter(|_| who(&gateway) == "one").count();
    // Three of four, wherever in their turn it began.
    assert!((29..=31).contains(&ones), "{ones}");

    assert_eq!(drill(&gateway, "/endpoints/one/weight/0").0, 400);
    assert_eq!(drill(&gateway, "/endpoints/one/record").0, 400);
    assert_eq!(drill(&gateway, "/endpoints/one/polish").0, 404);
    let (status, answer) = drill(&gateway, "/endpoints/three/drain");
    assert_eq!(status, 404);
    assert_eq!(
        answer["error"]["message"],
        "There is no such endpoint. There is: one, two."
    );
    for path in ["/endpoints/one/drain", "/endpoints/one/weight/3"] {
        assert_eq!(
            post(gateway.admin, path, "").status,
            401,
            "nobody without the token"
        );
    }
}

#[test]
fn an_endpoint_that_fails_its_checks_gets_no_calls_until_it_passes_them() {
    use std::sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    };
    let ill = Arc::new(AtomicBool::new(true));
    let is_ill = ill.clone();
    let one = Upstream::start(move |connection: Connection| {
        let refused = connection.head.first.contains("/healthz") && is_ill.load(SeqCst);
        connection.answer(
            if refused {
                "500 Internal Server Error"
            } else {
                "200 OK"
            },
            "one",
        );
    });
    let two = Upstream::saying("two");
    let gateway = gateway(
        &[("one", &one), ("two", &two)],
        "slow_start = \"0s\"\n[health_check]\npath = \"/healthz\"\ninterval = \"200ms\"\nfailure_threshold = 2\n",
    );
    let usable = || get(gateway.admin, "/state").json()["upstream"]["pool"]["usable"].clone();
    // With not one call made: the checks begin with the gateway.
    eventually("marked", || usable() == 1);
    assert!((0..6).all(|_| who(&gateway) == "two"));
    ill.store(false, SeqCst);
    eventually("back", || usable() == 2);
    eventually("has its share", || who(&gateway) == "one");
}

#[test]
fn what_is_for_a_pool_is_refused_for_one_endpoint() {
    let upstream = Upstream::saying("well");
    let gateway = Gateway::start(upstream.address, "");
    let (status, answer) = drill(&gateway, "/endpoints/a/drain");
    assert_eq!(status, 404);
    assert_eq!(
        answer["error"]["message"],
        "There are no endpoints by name: there is no pool."
    );
}
