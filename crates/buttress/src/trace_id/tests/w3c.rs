//! The cases of the [validation suite] of W3C Trace Context, by their names, at its strictest level.
//!
//! Its service under test is asked to call back; here that is a server's layer, a handler, and a client's two layers.
//! Each case is tried with a handler that makes requests of its own and with one that hands on what it was sent, as a
//! proxy does.
//!
//! [validation suite]: https://github.com/w3c/trace-context/tree/main/test

use std::{
    collections::{BTreeMap, HashSet},
    convert::Infallible,
    sync::{Arc, Mutex},
};

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::Empty;
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};

use crate::{
    BoxError, Http,
    trace_id::{TraceId, TraceParent},
};

const TRACE: &str = "12345678901234567890123456789012";
const GOOD: &str = "00-12345678901234567890123456789012-1234567890123456-00";

type Headers<'a> = &'a [(&'a str, &'a str)];

fn map(headers: Headers<'_>) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let name: HeaderName = name.parse().expect("a name");
        map.append(name, HeaderValue::from_bytes(value.as_bytes()).expect("a value"));
    }
    map
}

/// What the requests that the service makes have in their headers.
fn called_back(headers: Headers<'_>, times: usize, is_proxy: bool) -> Vec<HeaderMap> {
    let trace = TraceId::w3c();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sent = seen.clone();
    let client = ServiceBuilder::new()
        .layer(trace.layer_for(Http::new()))
        .layer(trace.attempt_layer_for(Http::new()))
        .service(service_fn(move |request: Request<()>| {
            sent.lock().expect("no panic").push(request.headers().clone());
            std::future::ready(Ok::<_, BoxError>(Response::new(Empty::<bytes::Bytes>::new())))
        }));
    let layer = trace.layer_for(Http::new()).inbound();
    let mut server = tower::Layer::layer(
        &layer,
        service_fn(move |request: Request<()>| {
            let client = client.clone();
            async move {
                for _ in 0..times {
                    let mut next = Request::new(());
                    if is_proxy {
                        *next.headers_mut() = request.headers().clone();
                    }
                    client.clone().oneshot(next).await.expect("it answers");
                }
                Ok::<_, Infallible>(Response::new(Empty::<bytes::Bytes>::new()))
            }
        }),
    );
    let mut request = Request::new(());
    *request.headers_mut() = map(headers);
    tokio_test::block_on(server.call(request)).expect("infallible");
    drop(server);
    Arc::into_inner(seen)
        .expect("all is over")
        .into_inner()
        .expect("no panic")
}

/// The ids and the state that go out, which have to be the same whatever the handler does.
fn pass(headers: Headers<'_>) -> (TraceParent, BTreeMap<String, String>) {
    let [plain, proxied] = [false, true].map(|is_proxy| {
        let sent = called_back(headers, 1, is_proxy).remove(0);
        let parents: Vec<_> = sent.get_all("traceparent").iter().collect();
        assert_eq!(parents.len(), 1, "one traceparent for {headers:?}");
        let parent = TraceParent::parse(parents[0].as_bytes()).expect("a valid one");
        let states: Vec<_> = sent.get_all("tracestate").iter().collect();
        assert!(states.len() <= 1);
        let members = states.iter().flat_map(|s| s.to_str().expect("ASCII").split(','));
        let members = members.map(|m| m.split_once('=').expect("a member"));
        let state = members.map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        (parent, state)
    });
    let is_own =
        |parent: &TraceParent| parent.trace_id.get() != u128::from_str_radix(TRACE, 16).expect("hex");
    assert_eq!(is_own(&plain.0), is_own(&proxied.0), "{headers:?}");
    assert_eq!(plain.1, proxied.1, "{headers:?}");
    plain
}

/// The trace that is gone on with: where one is begun, it is another each time.
fn gone_on_with(traceparent: &str) -> Option<String> {
    let [one, another] = [(); 2].map(|()| {
        let (parent, _) = pass(&[("traceparent", traceparent)]);
        assert_ne!(format!("{:016x}", parent.parent_id), "1234567890123456");
        parent.trace_id
    });
    (one == another).then(|| format!("{one:032x}"))
}

#[track_caller]
fn accepted(traceparent: &str) {
    assert_eq!(
        gone_on_with(traceparent).as_deref(),
        Some(TRACE),
        "{traceparent:?} is good"
    );
}

#[track_caller]
fn refused(traceparent: &str) {
    assert_eq!(gone_on_with(traceparent), None, "{traceparent:?} is bad");
}

fn states(values: &[&str]) -> BTreeMap<String, String> {
    let mut headers = vec![("traceparent", GOOD)];
    headers.extend(values.iter().map(|value| ("tracestate", *value)));
    let (parent, state) = pass(&headers);
    assert_eq!(format!("{:032x}", parent.trace_id), TRACE, "for {values:?}");
    state
}

#[track_caller]
fn discarded(values: &[&str]) {
    assert_eq!(states(values), BTreeMap::new(), "{values:?} is bad");
}

#[track_caller]
fn inherited(values: &[&str], members: &[(&str, &str)]) {
    let members = members.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    assert_eq!(states(values), members.collect(), "{values:?}");
}

#[test]
fn both_traceparent_and_tracestate_missing() {
    assert_eq!(pass(&[]).1, BTreeMap::new());
}

#[test]
fn traceparent_included_tracestate_missing() {
    accepted("00-12345678901234567890123456789012-1234567890123456-01");
}

#[test]
fn traceparent_duplicated() {
    let other = "00-12345678901234567890123456789011-1234567890123456-01";
    let (parent, _) = pass(&[("traceparent", other), ("traceparent", GOOD)]);
    let id = format!("{:032x}", parent.trace_id);
    assert!(id != TRACE && id != "12345678901234567890123456789011");
}

#[test]
fn traceparent_header_name() {
    for name in ["trace-parent", "trace.parent"] {
        assert_ne!(format!("{:032x}", pass(&[(name, GOOD)]).0.trace_id), TRACE);
    }
}

#[test]
fn traceparent_header_name_valid_casing() {
    for name in ["TraceParent", "TrAcEpArEnT", "TRACEPARENT"] {
        assert_eq!(format!("{:032x}", pass(&[(name, GOOD)]).0.trace_id), TRACE);
    }
}

#[test]
fn traceparent_version_0x00() {
    refused("00-12345678901234567890123456789012-1234567890123456-01.");
    refused("00-12345678901234567890123456789012-1234567890123456-01-what-the-future-will-be-like");
}

#[test]
fn traceparent_version_0xcc() {
    accepted("cc-12345678901234567890123456789012-1234567890123456-01");
    accepted("cc-12345678901234567890123456789012-1234567890123456-01-what-the-future-will-be-like");
    refused("cc-12345678901234567890123456789012-1234567890123456-01.what-the-future-will-be-like");
}

#[test]
fn traceparent_version_0xff() {
    refused("ff-12345678901234567890123456789012-1234567890123456-01");
}

#[test]
fn traceparent_version_illegal_characters_too_long_and_too_short() {
    refused(".0-12345678901234567890123456789012-1234567890123456-01");
    refused("0.-12345678901234567890123456789012-1234567890123456-01");
    refused("000-12345678901234567890123456789012-1234567890123456-01");
    refused("0000-12345678901234567890123456789012-1234567890123456-01");
    refused("0-12345678901234567890123456789012-1234567890123456-01");
}

#[test]
fn traceparent_trace_id_all_zero() {
    let (parent, _) = pass(&[(
        "traceparent",
        "00-00000000000000000000000000000000-1234567890123456-01",
    )]);
    assert_ne!(parent.trace_id.get(), 0);
}

#[test]
fn traceparent_trace_id_illegal_characters_too_long_and_too_short() {
    refused("00-.2345678901234567890123456789012-1234567890123456-01");
    refused("00-1234567890123456789012345678901.-1234567890123456-01");
    refused("00-123456789012345678901234567890123-1234567890123456-01");
    refused("00-1234567890123456789012345678901-1234567890123456-01");
    // Not in the suite: capital letters, which the text forbids.
    refused("00-1234567890123456789012345678901A-1234567890123456-01");
}

#[test]
fn traceparent_parent_id_all_zero_illegal_characters_too_long_and_too_short() {
    refused("00-12345678901234567890123456789012-0000000000000000-01");
    refused("00-12345678901234567890123456789012-.234567890123456-01");
    refused("00-12345678901234567890123456789012-123456789012345.-01");
    refused("00-12345678901234567890123456789012-12345678901234567-01");
    refused("00-12345678901234567890123456789012-123456789012345-01");
    refused("00-12345678901234567890123456789012-123456789012345F-01");
}

#[test]
fn traceparent_trace_flags_illegal_characters_too_long_and_too_short() {
    refused("00-12345678901234567890123456789012-1234567890123456-.0");
    refused("00-12345678901234567890123456789012-1234567890123456-0.");
    refused("00-12345678901234567890123456789012-1234567890123456-001");
    refused("00-12345678901234567890123456789012-1234567890123456-1");
    refused("00-12345678901234567890123456789012-1234567890123456-0A");
}

/// Not in the suite: a flag that is not known is not sent on.
#[test]
fn traceparent_trace_flags_known_and_unknown() {
    for (flags, sent) in [("00", 0), ("01", 1), ("02", 2), ("03", 3), ("ff", 3), ("fc", 0)] {
        let value = format!("00-{TRACE}-1234567890123456-{flags}");
        assert_eq!(pass(&[("traceparent", &value)]).0.flags, sent, "{flags}");
    }
}

#[test]
fn traceparent_ows_handling() {
    for (before, after) in [(" ", ""), ("\t", ""), ("", " "), ("", "\t"), ("\t ", " \t")] {
        accepted(&format!("{before}{GOOD}{after}"));
    }
}

#[test]
fn tracestate_included_traceparent_missing() {
    for state in ["foo=1", "foo=1,bar=2"] {
        assert_eq!(pass(&[("tracestate", state)]).1, BTreeMap::new());
        let bad = [("traceparent", "00-0-0-00"), ("tracestate", state)];
        assert_eq!(pass(&bad).1, BTreeMap::new());
    }
}

#[test]
fn tracestate_included_traceparent_included() {
    inherited(&["foo=1,bar=2"], &[("foo", "1"), ("bar", "2")]);
}

#[test]
fn tracestate_header_name_and_its_casing() {
    for (name, count) in [
        ("trace-state", 0),
        ("trace.state", 0),
        ("TraceState", 1),
        ("TrAcEsTaTe", 1),
        ("TRACESTATE", 1),
    ] {
        let (_, state) = pass(&[("traceparent", GOOD), (name, "foo=1")]);
        assert_eq!(state.len(), count, "{name}");
    }
}

#[test]
fn tracestate_empty_header() {
    discarded(&[""]);
    inherited(&["foo=1", ""], &[("foo", "1")]);
    inherited(&["", "foo=1"], &[("foo", "1")]);
    inherited(&["foo=1,,bar=2,"], &[("foo", "1"), ("bar", "2")]);
}

#[test]
fn tracestate_multiple_headers_different_keys() {
    let headers = [
        ("traceparent", GOOD),
        ("tracestate", "foo=1,bar=2"),
        ("tracestate", "rojo=1,congo=2"),
        ("tracestate", "baz=3"),
    ];
    let sent = called_back(&headers, 1, false).remove(0);
    assert_eq!(sent["tracestate"], "foo=1,bar=2,rojo=1,congo=2,baz=3");
}

#[test]
fn tracestate_duplicated_keys() {
    discarded(&["foo=1,foo=1"]);
    discarded(&["foo=1,foo=2"]);
    discarded(&["foo=1", "foo=1"]);
    discarded(&["foo=1", "foo=2"]);
}

#[test]
fn tracestate_all_allowed_characters() {
    let key = "abcdefghijklmnopqrstuvwxyz0123456789_-*/";
    let value: String = (' '..='~').filter(|c| !",=".contains(*c)).collect();
    for key in [key.to_owned(), format!("{key}@a-z0-9_-*/")] {
        inherited(&[&format!("{key}={value}")], &[(&key, &value)]);
    }
}

#[test]
fn tracestate_ows_handling() {
    let three = [("foo", "1"), ("bar", "2"), ("baz", "3")];
    inherited(&["foo=1 \t , \t bar=2, \t baz=3"], &three);
    inherited(&["foo=1\t \t,\t \tbar=2,\t \tbaz=3"], &three);
    for padded in [" foo=1", "\tfoo=1", "foo=1 ", "foo=1\t", "\t foo=1 \t"] {
        inherited(&[padded], &[("foo", "1")]);
    }
}

#[test]
fn tracestate_key_illegal_characters() {
    discarded(&["foo =1"]);
    discarded(&["FOO=1"]);
    discarded(&["foo.bar=1"]);
}

#[test]
fn tracestate_key_illegal_vendor_format() {
    for key in ["foo@", "@foo", "foo@@bar", "foo@bar@baz"] {
        discarded(&[&format!("{key}=1,bar=2")]);
    }
}

#[test]
fn tracestate_member_count_limit() {
    let members = |range: std::ops::RangeInclusive<u32>| {
        let members: Vec<_> = range.map(|n| format!("bar{n:02}={n:02}")).collect();
        members.join(",")
    };
    let first = [members(1..=10), members(11..=20), members(21..=30)];
    let with = |last: &str| states(&[&first[0], &first[1], &first[2], last]);
    assert_eq!(with(&members(31..=32)).len(), 32);
    assert_eq!(with(&members(31..=33)).len(), 0);
}

#[test]
fn tracestate_key_length_limit() {
    let state = |key: String| states(&["foo=1", &format!("{key}=1")]).contains_key("foo");
    assert!(state("z".repeat(256)));
    assert!(!state("z".repeat(257)));
    assert!(state(format!("{}@{}", "t".repeat(241), "v".repeat(14))));
    assert!(!state(format!("{}@v", "t".repeat(242))));
    assert!(!state(format!("t@{}", "v".repeat(15))));
}

#[test]
fn tracestate_value_illegal_characters() {
    discarded(&["foo=bar=baz"]);
    discarded(&["foo=,bar=3"]);
    discarded(&["foo"]);
    discarded(&["foo=a\u{e9}"]);
    discarded(&[&format!("foo={}", "v".repeat(257))]);
}

/// Not in the suite: a list may have 16 kB, and 512 characters are sent on.
#[test]
fn tracestate_is_cut_from_its_long_members_and_its_end() {
    let (short, long) = ("s".repeat(100), "l".repeat(130));
    let member = |key: &str, value: &str| format!("{key}={value}");
    let list = [
        member("a", &long),
        member("b", &short),
        member("c", &short),
        member("d", &short),
        member("e", &short),
        member("f", &short),
    ];
    let kept = states(&[&list.join(",")]);
    assert_eq!(kept.keys().collect::<Vec<_>>(), ["b", "c", "d", "e"]);
    // As long as there is room, a long one stays.
    assert_eq!(states(&[&list[..4].join(",")]).len(), 4);
    // 512 are not too many, and 513 are.
    for (last, members) in [(253, 2), (254, 0)] {
        let list = [member("a", &"x".repeat(254)), member("b", &"y".repeat(last))];
        assert_eq!(states(&[&list.join(",")]).len(), members, "{last}");
    }
}

#[test]
fn multiple_requests_with_valid_traceparent() {
    let sent = called_back(&[("traceparent", GOOD)], 3, false);
    let parents = sent
        .iter()
        .map(|h| TraceParent::parse(h["traceparent"].as_bytes()).expect("valid"));
    let parents: Vec<_> = parents.collect();
    assert!(parents.iter().all(|p| format!("{:032x}", p.trace_id) == TRACE));
    assert_eq!(
        parents.iter().map(|p| p.parent_id).collect::<HashSet<_>>().len(),
        3
    );
}

#[test]
fn multiple_requests_without_or_with_illegal_traceparent() {
    let zero = "00-00000000000000000000000000000000-1234567890123456-01";
    for headers in [&[][..], &[("traceparent", zero)]] {
        let sent = called_back(headers, 3, false);
        let parents = sent
            .iter()
            .map(|h| TraceParent::parse(h["traceparent"].as_bytes()).expect("valid"));
        assert_eq!(parents.map(|p| p.parent_id).collect::<HashSet<_>>().len(), 3);
    }
}
