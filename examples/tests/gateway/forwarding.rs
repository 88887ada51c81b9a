//! What the upstream is told, and what the client gets back.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU32, Ordering::SeqCst},
};

use crate::{
    client::{exchange, get, without_pseudonym},
    process::Gateway,
    upstream::{Connection, Upstream},
};

/// Answers with what it was asked.
fn echo(connection: Connection) {
    let mut text = format!("{}\n", connection.head.first);
    for (name, value) in &connection.head.fields {
        text.push_str(&format!("{name}: {value}\n"));
    }
    connection.answer("200 OK", &text);
}

#[test]
fn the_upstream_learns_who_asked_and_no_hop_by_hop_field_passes() {
    let upstream = Upstream::start(echo);
    let gateway = Gateway::start(upstream.address, "");
    let response = exchange(
        gateway.address,
        "GET /a//b/../c?d=e%20f HTTP/1.1\r\nHost: shop.example:8080\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\n\
         Keep-Alive: timeout=5\r\nUpgrade: websocket\r\nTE: gzip\r\nProxy-Authorization: Basic eA==\r\n\
         X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Host: forged\r\nAccept: */*\r\n\r\n",
    );
    assert_eq!(response.status, 200);
    let text = without_pseudonym(&response.text());
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    lines[1..].sort();
    assert_eq!(
        lines,
        [
            "GET /a//b/../c?d=e%20f HTTP/1.1".to_owned(),
            "accept: */*".to_owned(),
            "forwarded: for=127.0.0.1;host=\"shop.example:8080\";proto=http".to_owned(),
            format!("host: {}", upstream.address),
            "via: 1.1 buttress-…".to_owned(),
            "x-forwarded-for: 203.0.113.9, 127.0.0.1".to_owned(),
            "x-forwarded-host: shop.example:8080".to_owned(),
            "x-forwarded-proto: http".to_owned(),
        ]
    );
}

#[test]
fn a_request_that_comes_back_goes_round_in_circles_no_longer() {
    // A hop between, which may go by any name: to its address the gateway has nothing to object.
    let (gateway, rounds) = (Arc::new(OnceLock::new()), Arc::new(AtomicU32::new(0)));
    let (next, round) = (gateway.clone(), rounds.clone());
    let hop = Upstream::start(move |connection: Connection| {
        if round.fetch_add(1, SeqCst) >= 5 {
            return connection.answer("200 OK", "so it would go on");
        }
        // What is no text must not hide what comes after it.
        let via = ["1.1 \u{ff}", connection.head.get("via").expect("a field")].join(", ");
        let request =
            format!("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nVia: {via}, 1.1 hop\r\n\r\n");
        let answer = exchange(*next.get().expect("it has begun"), &request);
        let status = if answer.status == 508 {
            "508 Loop Detected"
        } else {
            "500 Other"
        };
        connection.answer(status, &answer.text());
    });
    let started = Gateway::start(hop.address, "");
    gateway.set(started.address).expect("once");

    let answer = get(started.address, "/");
    assert_eq!(
        (answer.status, rounds.load(SeqCst)),
        (508, 1),
        "{}",
        answer.text()
    );
    assert_eq!(answer.json()["error"]["kind"], "loop_detected");
    assert!(started.log().contains("an endpoint leads to this gateway"));
    // One gateway before another is no loop.
    let upstream = Upstream::saying("well");
    let inner = Gateway::start(upstream.address, "");
    let outer = Gateway::start(inner.address, "");
    assert_eq!(get(outer.address, "/").text(), "well");
}

#[test]
fn the_response_is_the_upstreams_own_but_for_its_hop() {
    let upstream = Upstream::start(|mut connection: Connection| {
        connection.write(
            "HTTP/1.1 418 Short And Stout\r\nContent-Length: 3\r\nX-One: 1\r\nX-One: 2\r\nKeep-Alive: timeout=5\r\n\
             Connection: close, X-Hop\r\nX-Hop: 1\r\nServer: teapot\r\n\r\ntea",
        );
    });
    let gateway = Gateway::start(upstream.address, "");
    let response = get(gateway.address, "/");
    assert_eq!((response.status, response.text().as_str()), (418, "tea"));
    assert_eq!(response.head.all("x-one"), ["1", "2"]);
    assert_eq!(response.head.get("server"), Some("teapot"));
    assert_eq!(response.head.get("x-hop"), None);
    assert_eq!(response.head.get("keep-alive"), None);
}

#[test]
fn an_answer_of_http_1_0_that_ends_with_its_connection_is_whole() {
    let upstream = Upstream::start(|mut connection: Connection| {
        connection.write("HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nas long as it lasts");
    });
    let gateway = Gateway::start(upstream.address, "");
    let response = get(gateway.address, "/");
    assert_eq!(response.head.first, "HTTP/1.1 200 OK");
    assert!(response.whole);
    assert_eq!(response.text(), "as long as it lasts");
}

#[test]
fn the_head_of_an_absent_body_says_its_length() {
    let upstream = Upstream::start(|mut connection: Connection| {
        assert!(connection.head.first.starts_with("HEAD "));
        connection.write("HTTP/1.1 200 OK\r\nContent-Length: 12345\r\nConnection: close\r\n\r\n");
    });
    let gateway = Gateway::start(upstream.address, "");
    let mut stream = crate::client::connect(gateway.address);
    use std::io::{Read as _, Write as _};
    stream
        .write_all(b"HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .expect("it is read");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("a response");
    assert!(text.contains("content-length: 12345\r\n"), "{text}");
    assert!(text.ends_with("\r\n\r\n"), "{text}");
}

#[test]
fn a_target_or_host_that_leads_astray_goes_nowhere() {
    let upstream = Upstream::start(echo);
    let gateway = Gateway::start(upstream.address, "");
    for (request, status) in [
        ("CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443", 405),
        ("TRACE / HTTP/1.1\r\nHost: x", 405),
        ("GET / HTTP/1.1\r\nAccept: */*", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b", 400),
        ("GET / HTTP/1.1\r\nHost: a@b", 400),
        ("GET / HTTP/1.1\r\nHost: a b", 400),
        ("GET http://u:p@b/ HTTP/1.1\r\nHost: b", 400),
        ("GET * HTTP/1.1\r\nHost: x", 400),
        // The beginnings of request smuggling, which hyper refuses by itself.
        (
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2",
            400,
        ),
        ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +1", 400),
        ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip", 400),
        ("GET / HTTP/1.1\r\nHost : x", 400),
    ] {
        let response = exchange(
            gateway.address,
            &format!("{request}\r\nConnection: close\r\n\r\n"),
        );
        assert_eq!(response.status, status, "{request}\n{response:?}");
    }
    // Where the request goes is not for the client to say.
    let request = "GET http://elsewhere.example/path HTTP/1.1\r\nHost: ignored\r\nConnection: close\r\n\r\n";
    let text = exchange(gateway.address, request).text();
    assert!(text.starts_with("GET /path HTTP/1.1\n"), "{text}");
    assert!(text.contains("x-forwarded-host: elsewhere.example\n"), "{text}");
    assert!(text.contains(&format!("host: {}\n", upstream.address)), "{text}");

    let text = exchange(
        gateway.address,
        "OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    )
    .text();
    assert!(text.starts_with("OPTIONS * HTTP/1.1\n"), "{text}");
}

#[test]
fn of_two_lengths_only_the_transfer_coding_goes_on() {
    let upstream = Upstream::start(|mut connection: Connection| {
        let lengths = connection.head.all("content-length").len();
        let coding = connection
            .head
            .get("transfer-encoding")
            .unwrap_or("none")
            .to_owned();
        let chunk = crate::client::read_chunk(&mut connection.reader).expect("a chunk");
        let text = format!("{lengths} {coding} {}", String::from_utf8_lossy(&chunk));
        connection.answer("200 OK", &text);
    });
    let gateway = Gateway::start(upstream.address, "");
    for order in [
        "Content-Length: 3\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 3",
    ] {
        let request = format!(
            "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{order}\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
        );
        let response = exchange(gateway.address, &request);
        // hyper may refuse it as well.
        if response.status != 400 {
            assert_eq!(response.text(), "0 chunked hello", "{order}");
        }
    }
}
