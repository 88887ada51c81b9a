//! A request through three processes: the gateway, by HTTP to a service, by gRPC to another.

mod service;

use std::{collections::BTreeSet, thread, time::Duration};

use buttress::clock;
use buttress_tests::echo::{EchoClient, say};
use tonic::{metadata::AsciiMetadataValue, transport::Endpoint};

use crate::{
    client::{Response, exchange_bytes, get},
    process::Gateway,
};

struct Chain {
    gateway: Gateway,
    orders: Gateway,
    stock: Gateway,
}

impl Chain {
    fn start() -> Self {
        let stock = service::start("stock");
        let orders = service::start(&format!("orders={}", stock.address));
        let gateway = Gateway::start(
            orders.address,
            "[trace_id]\n[metrics]\n[retry]\n[circuit_breaker]\n",
        );
        Self {
            gateway,
            orders,
            stock,
        }
    }

    fn all(&self) -> [&Gateway; 3] {
        [&self.gateway, &self.orders, &self.stock]
    }
}

/// The line of a log that all of this is in, once it is there; there is one.
fn line(program: &Gateway, has: &[&str]) -> String {
    line_where(program, |line| has.iter().all(|part| line.contains(part)))
}

fn line_where(program: &Gateway, is: impl Fn(&str) -> bool) -> String {
    let end = clock::now() + Duration::from_secs(10);
    loop {
        let log = program.log();
        let mut lines = log.lines().filter(|line| is(line));
        if let Some(line) = lines.next() {
            assert_eq!(lines.next(), None, "after {line}");
            return line.to_owned();
        }
        assert!(clock::now() < end, "{log}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// The last field of that name: of an event its own, of a span that is begun its own too.
fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let at = line.rfind(&format!("{name}="))? + name.len() + 1;
    line[at..].split([' ', '}']).next()
}

/// Where a piece of work stands: its trace, its own id, and whose part it is.
fn place(line: &str) -> (String, String, Option<String>) {
    let get = |name| field(line, name).map(str::to_owned);
    let own = |name| get(name).unwrap_or_else(|| panic!("no {name} in {line}"));
    (own("trace_id"), own("span_id"), get("parent_id"))
}

#[test]
fn one_id_goes_through_all_and_each_span_is_part_of_the_one_before() {
    let chain = Chain::start();
    let answer = get(chain.gateway.address, "/orders/tea");
    let id = answer.head.get("x-request-id").expect("an id").to_owned();
    assert_eq!(answer.text(), format!("tea {id}"));

    // What has gone in and out of the gateway is in its access log, what the services began is in their logs.
    let access = |direction: &str| {
        let begins = format!("buttress::access: direction=\"{direction}\"");
        place(&line(&chain.gateway, &[&begins]))
    };
    let begun = |program: &Gateway, spans: &[&str], without: &str| {
        let log = line_where(program, |line| {
            line.contains("buttress::trace_id: new")
                && spans.iter().all(|span| line.contains(&format!("{span}{{")))
                && !line.contains(&format!("{without}{{"))
        });
        place(&log)
    };
    let requested = access("inbound");
    let called = access("outbound");
    let sent = |program: &Gateway| {
        let headers = line(program, &["a request headers="]);
        let (_, parent) = headers.split_once("\"traceparent\": \"").expect("it was sent");
        let (_, request_id) = headers.split_once("\"x-request-id\": \"").expect("it was sent");
        assert_eq!((&parent[3..35], &request_id[..32]), (&*id, &*id));
        parent[36..52].to_owned()
    };
    // Of the gateway's attempt there is no line, only what it sent; whose part an attempt is, the services' logs say.
    let tried = (id.clone(), sent(&chain.orders), Some(called.1.clone()));
    let handled = begun(&chain.orders, &["request"], "call");
    let handed_on = begun(&chain.orders, &["request", "call"], "attempt");
    let tried_on = begun(&chain.orders, &["request", "call", "attempt"], "none");
    let done = begun(&chain.stock, &["request"], "call");
    assert_eq!(sent(&chain.stock), tried_on.1);

    let all = [requested, called, tried, handled, handed_on, tried_on, done];
    assert_eq!(all[0].2, None, "it began here");
    for (outer, inner) in all.iter().zip(&all[1..]) {
        assert_eq!(inner.2.as_ref(), Some(&outer.1), "{inner:?} in {outer:?}");
    }
    assert!(all.iter().all(|(trace, ..)| *trace == id), "{all:?}");
    let spans: BTreeSet<_> = all.iter().map(|(_, span, _)| span).collect();
    assert_eq!(spans.len(), all.len(), "{all:?}");
    // And nobody has told of any other.
    for program in chain.all() {
        let log = program.log();
        let ids: BTreeSet<_> = log
            .split("trace_id=")
            .skip(1)
            .filter_map(|rest| rest.get(..32))
            .collect();
        assert_eq!(ids, BTreeSet::from([&*id]), "{log}");
    }
}

/// How many headers that process has found to be no ids.
fn refused(program: &Gateway, name: &str) -> u64 {
    let page = get(program.admin, "/metrics").text();
    let series = format!("buttress_trace_headers_refused_total{{name=\"{name}\"}} ");
    let line = page.lines().find_map(|line| line.strip_prefix(&series));
    line.unwrap_or_else(|| panic!("{page}"))
        .parse()
        .expect("a number")
}

/// What is no id, each as the value of a header. The long one is 10 000 bytes.
fn hostile() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = [
        "evil id",
        "evil\tid",
        "evil\"id",
        "evil;id",
        "evil<id>",
        "evil%0d%0aid",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into();
    all.push("evil".repeat(2_500).into_bytes());
    all.push(b"evil\xe9\xff".to_vec());
    all
}

/// In HTTP/1 there are more: whole controls, and a line's end in the middle.
const NOT_EVEN_HTTP: [&str; 6] = [
    "\u{1b}[31mevil",
    "evil\u{0}",
    "evil\u{1}id",
    "evil\u{7f}",
    "evil\r\n evil",
    "evil\n evil",
];

const HEADERS: [&str; 3] = ["x-request-id", "traceparent", "tracestate"];

fn ask(address: std::net::SocketAddr, header: &str, value: &[u8]) -> Response {
    // A state counts only beside a parent.
    let parent = match header {
        "tracestate" => "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n",
        _ => "",
    };
    let mut request =
        format!("GET /orders/tea HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{parent}{header}: ")
            .into_bytes();
    request.extend_from_slice(value);
    request.extend_from_slice(b"\r\n\r\n");
    exchange_bytes(address, &request)
}

#[test]
fn a_hostile_id_is_replaced_where_it_comes_in_and_appears_in_none_of_them() {
    let chain = Chain::start();
    let hostile = hostile();
    let mut told = Vec::new();
    let refusals = || {
        [
            refused(&chain.gateway, "gateway"),
            refused(&chain.orders, "orders"),
            refused(&chain.stock, "stock"),
        ]
    };
    let each = (hostile.len() * HEADERS.len()) as u64;

    // By HTTP, to the gateway and past it.
    for address in [chain.gateway.address, chain.orders.address] {
        for header in HEADERS {
            for value in &hostile {
                let answer = ask(address, header, value);
                assert_eq!(answer.status, 200, "{header} {value:?}");
                let id = answer.head.get("x-request-id").expect("an id");
                assert!(
                    id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()),
                    "{id}"
                );
                assert_eq!(answer.text(), format!("tea {id}"));
                told.push(format!("{answer:?}"));
            }
            for value in NOT_EVEN_HTTP {
                let answer = ask(address, header, value.as_bytes());
                assert_eq!(answer.status, 400, "{header} {value:?}");
                told.push(format!("{answer:?}"));
            }
        }
        // Whoever is asked has refused all, and who is further in has seen nothing of it.
        let at_gateway = refusals() == [each, 0, 0];
        assert!(
            at_gateway || (address == chain.orders.address && refusals() == [each, each, 0]),
            "{:?}",
            refusals()
        );
    }

    // And by gRPC.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let channel = Endpoint::from_shared(format!("http://{}", chain.stock.address)).expect("an address");
        let mut client = EchoClient::new(channel.connect_lazy());
        for header in HEADERS {
            for value in &hostile {
                let mut request = tonic::Request::new(say("tea"));
                let metadata = request.metadata_mut();
                metadata.insert(
                    "traceparent",
                    AsciiMetadataValue::from_static(
                        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                    ),
                );
                metadata.insert(
                    header,
                    AsciiMetadataValue::try_from(&**value).expect("HTTP/2 can carry it"),
                );
                let answer = client.unary(request).await.expect("an answer");
                told.push(format!("{answer:?}"));
            }
        }
    });
    assert_eq!(refusals(), [each, each, each]);

    for program in chain.all() {
        told.extend([
            get(program.admin, "/state").text(),
            get(program.admin, "/metrics").text(),
            program.log(),
        ]);
    }
    for text in told {
        assert!(!text.contains("evil"), "{text}");
    }
}
