//! What says which trace a request is part of.

use std::{convert::Infallible, sync::Mutex};

use buttress::{
    Error, Stack,
    trace_id::{TraceId, TraceParent},
};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::Empty;
use tower::{ServiceExt, service_fn};

use crate::{fields::on_a_paused_clock, source::Source};

/// `traceparent`, by the letter.
pub(crate) fn traceparent(bytes: &[u8]) {
    let read = TraceParent::parse(bytes);
    assert_eq!(
        read.is_some(),
        is_traceparent(blanks_off(bytes)),
        "{}",
        bytes.escape_ascii()
    );
    if let Some(parent) = read {
        let written = parent.to_bytes();
        assert_eq!(TraceParent::parse(&written), Some(parent));
        let value = blanks_off(bytes);
        assert_eq!(written[3..52], value[3..52], "both ids go through untouched");
    }
}

/// Without the white space that HTTP allows around a value.
fn blanks_off(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

fn is_traceparent(value: &[u8]) -> bool {
    let parts: Vec<&[u8]> = value.splitn(5, |byte| *byte == b'-').collect();
    let [version, trace, parent, flags, more @ ..] = &parts[..] else {
        return false;
    };
    let hex = |part: &[u8], length| {
        part.len() == length && part.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let some = |part: &[u8]| part.iter().any(|digit| *digit != b'0');
    hex(version, 2)
        && *version != b"ff"
        && hex(trace, 32)
        && some(trace)
        && hex(parent, 16)
        && some(parent)
        && hex(flags, 2)
        && (more.is_empty() || *version != b"00")
}

/// `traceparent`, `tracestate` and `x-request-id`, a line each, through a server and on through a client: what they
/// answer and send is short, well-formed, and of harmless characters, whatever came in.
pub(crate) fn headers(bytes: &[u8]) {
    let mut source = Source::new(bytes);
    let mut request = Request::new(Empty::<bytes::Bytes>::new());
    for name in ["traceparent", "tracestate", "x-request-id"] {
        if let Ok(value) = HeaderValue::from_bytes(source.line()) {
            request.headers_mut().append(name, value);
        }
    }
    let came = request.headers().clone();
    let sent = Mutex::new(HeaderMap::new());
    on_a_paused_clock(async {
        let client = Stack::http_client("client").trace_id(TraceId::w3c()).build();
        let upstream = service_fn(async |request: Request<Empty<bytes::Bytes>>| {
            *sent.lock().expect("no one panicked") = request.headers().clone();
            Ok::<_, Infallible>(Response::new(Empty::<bytes::Bytes>::new()))
        });
        let client = client.service(upstream);
        let server = Stack::http_server("server").trace_id(TraceId::w3c()).build();
        let handler = service_fn(|_: Request<_>| {
            let client = client.clone();
            async move {
                let onward = Request::new(Empty::<bytes::Bytes>::new());
                let done: Result<_, Error<Infallible>> = client.oneshot(onward).await;
                Ok::<_, Infallible>(done.expect("it always answers"))
            }
        });
        let answer = server
            .service(handler)
            .oneshot(request)
            .await
            .expect("it always answers");
        let id = answer.headers()["x-request-id"].as_bytes().to_vec();
        assert!(is_request_id(&id), "{}", id.escape_ascii());
    });
    let sent = sent.into_inner().expect("no one panicked");
    let onward = sent["traceparent"].as_bytes();
    assert!(is_traceparent(onward) && onward.len() == 55);
    assert!(is_request_id(sent["x-request-id"].as_bytes()));
    let valid = came
        .get("traceparent")
        .filter(|value| is_traceparent(blanks_off(value.as_bytes())));
    if let Some(value) = valid {
        let value = blanks_off(value.as_bytes());
        assert_eq!(onward[..35][3..], value[3..35], "it is the same trace");
        assert_ne!(onward[36..52], value[36..52], "and another piece of work");
    }
    let state: usize = sent.get_all("tracestate").iter().map(HeaderValue::len).sum();
    assert!(state == 0 || valid.is_some(), "a state without its parent");
    assert!(state <= 512 || came["tracestate"].len() >= state);
}

fn is_request_id(id: &[u8]) -> bool {
    let harmless = |b: &u8| b.is_ascii_alphanumeric() || b"-_.~:/+=@".contains(b);
    (1..=128).contains(&id.len()) && id.iter().all(harmless)
}
