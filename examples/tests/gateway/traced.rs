//! One id for a request, for all who see it.

use std::{
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use buttress::clock;

use crate::{
    client::{Head, exchange, get},
    process::Gateway,
    upstream::Upstream,
};

const TRACED: &str = "[trace_id]\n[retry]\ninitial_backoff = \"10ms\"\n[circuit_breaker]\n";

/// An upstream that keeps the heads of its requests, and answers the first with 503.
fn upstream() -> (Upstream, Arc<Mutex<Vec<Head>>>) {
    let heads = Arc::new(Mutex::new(Vec::new()));
    let kept = heads.clone();
    let upstream = Upstream::start(move |mut connection| {
        let fields = std::mem::take(&mut connection.head.fields);
        let first = std::mem::take(&mut connection.head.first);
        let count = {
            let mut kept = kept.lock().expect("nobody panics");
            kept.push(Head { first, fields });
            kept.len()
        };
        match count {
            1 => connection.answer("503 Service Unavailable", "busy"),
            _ => connection.answer("200 OK", "well"),
        }
    });
    (upstream, heads)
}

fn is_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// The lines of the access log that `has` is in, once there are so many.
fn lines(gateway: &Gateway, has: &[&str], many: usize) -> Vec<String> {
    let end = clock::now() + Duration::from_secs(10);
    loop {
        let log = gateway.log();
        let lines = log
            .lines()
            .filter(|line| line.contains("buttress::access") && has.iter().all(|part| line.contains(part)));
        let lines: Vec<_> = lines.map(str::to_owned).collect();
        if lines.len() == many {
            return lines;
        }
        assert!(clock::now() < end, "{has:?} in {log}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn the_id_in_the_answer_is_the_one_that_the_upstream_got_and_that_is_in_the_log() {
    let (upstream, heads) = upstream();
    let gateway = Gateway::start(upstream.address, TRACED);
    let answer = get(gateway.address, "/books/4");
    assert_eq!(answer.text(), "well");
    let id = answer.head.get("x-request-id").expect("an id").to_owned();
    assert!(is_id(&id), "{id}");

    let heads = std::mem::take(&mut *heads.lock().expect("nobody panics"));
    assert_eq!(heads.len(), 2, "a failure, and the second attempt");
    let mut spans = Vec::new();
    for head in &heads {
        assert_eq!(head.all("x-request-id"), [id.as_str()]);
        let parents = head.all("traceparent");
        let [parent] = parents[..] else {
            panic!("{parents:?}")
        };
        assert_eq!(parent[..36], format!("00-{id}-"), "{parent}");
        spans.push(parent[36..52].to_owned());
    }
    assert_ne!(spans[0], spans[1]);

    let id = format!("trace_id={id}");
    let line = lines(&gateway, &[&id, "direction=\"inbound\""], 1).remove(0);
    for part in [
        " INFO ",
        "stack=\"gateway\"",
        "method=\"GET\"",
        "status=200",
        "outcome=\"success\"",
        "attempts=2",
        "queued_ms=",
        "headers_ms=",
        "total_ms=",
    ] {
        assert!(line.contains(part), "{part} in {line}");
    }
    assert!(!line.contains("books"), "no path: {line}");
    lines(
        &gateway,
        &[&id, "direction=\"outbound\"", "stack=\"upstream\""],
        1,
    );
}

#[test]
fn a_callers_trace_is_gone_on_with() {
    let (upstream, heads) = upstream();
    let gateway = Gateway::start(upstream.address, TRACED);
    let id = "4bf92f3577b34da6a3ce929d0e0e4736";
    let span = "00f067aa0ba902b7";
    let answer = exchange(
        gateway.address,
        // Whoever has the fields taken out on the way gets them all the same.
        &format!(
            "GET / HTTP/1.1\r\nHost: x\r\nConnection: close, traceparent, x-request-id\r\ntraceparent: \
             00-{id}-{span}-01\r\ntracestate: rojo={span},congo=t61\r\nx-request-id: order-7\r\n\r\n"
        ),
    );
    assert_eq!(answer.head.all("x-request-id"), ["order-7"]);
    for head in &*heads.lock().expect("nobody panics") {
        let parent = head.get("traceparent").expect("a trace");
        assert!(
            parent.starts_with(&format!("00-{id}-")) && parent.ends_with("-01"),
            "{parent}"
        );
        assert!(!parent.contains(span), "{parent}");
        assert_eq!(head.get("tracestate"), Some("rojo=00f067aa0ba902b7,congo=t61"));
        assert_eq!(head.all("x-request-id"), ["order-7"]);
    }
    let parts = [
        "direction=\"inbound\"",
        id,
        "parent_id=00f067aa0ba902b7",
        "request_id=\"order-7\"",
    ];
    lines(&gateway, &parts, 1);
}

#[test]
fn a_refusal_is_told_its_id() {
    let (upstream, _) = upstream();
    let gateway = Gateway::start(upstream.address, TRACED);
    let fields = format!("Authorization: Bearer {}\r\n", crate::process::TOKEN);
    let path = "/circuit-breakers/upstream/force-open";
    assert_eq!(crate::client::post(gateway.admin, path, &fields).status, 200);
    let refused = get(gateway.address, "/");
    assert_eq!(refused.status, 503);
    let id = refused.head.get("x-request-id").expect("an id");
    assert!(is_id(id), "{id}");
    let parts = [id, "direction=\"inbound\"", "status=503", "outcome=\"rejected\""];
    lines(&gateway, &parts, 1);
}

#[test]
fn a_hostile_id_is_replaced_and_appears_nowhere() {
    let (upstream, heads) = upstream();
    let gateway = Gateway::start(upstream.address, TRACED);
    let long = "evil".repeat(2_500);
    let answered: Vec<_> = [
        &long,
        "evil id",
        "evil\tid",
        "evil\u{e9}",
        "evil\"id",
        "\u{1b}[31mevil",
    ]
    .into_iter()
    .flat_map(|hostile| ["x-request-id", "traceparent", "tracestate"].map(|name| (name, hostile)))
    .map(|(name, hostile)| {
        // A state counts only beside a parent.
        let parent = match name {
            "tracestate" => "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n",
            _ => "",
        };
        exchange(
            gateway.address,
            &format!("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{parent}{name}: {hostile}\r\n\r\n"),
        )
    })
    .collect();
    let good: Vec<_> = answered.iter().filter(|answer| answer.status == 200).collect();
    // What is no HTTP at all is not even forwarded.
    assert!(good.len() >= 15, "{answered:?}");
    assert!(answered.iter().all(|answer| [200, 400].contains(&answer.status)));
    // One that tries to bring a field of its own in by a line's end is two fields, of which neither is an id.
    let folded = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nx-request-id: evil\r\n evil\r\n\r\n";
    assert_eq!(exchange(gateway.address, folded).status, 400);

    let heads = heads.lock().expect("nobody panics");
    let sent: Vec<_> = heads.iter().flat_map(|head| head.all("x-request-id")).collect();
    for answer in good {
        let ids = answer.head.all("x-request-id");
        assert!(ids.len() == 1 && is_id(ids[0]), "{ids:?}");
        assert!(sent.contains(&ids[0]));
    }
    let told = [
        format!("{heads:?}"),
        format!("{answered:?}"),
        get(gateway.admin, "/state").text(),
        get(gateway.admin, "/metrics").text(),
        gateway.log(),
    ];
    for text in told {
        assert!(!text.contains("evil"), "{text}");
    }
}
