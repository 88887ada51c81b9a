//! What goes over the wire, and what is believed of what comes.

#[cfg(feature = "keyed")]
use std::num::NonZeroU8;

use bytes::Bytes;
use http::{HeaderName, Request, Response};
use http_body_util::Full;
use tower::ServiceExt;

use super::{headers::forwarded_for, *};
#[cfg(feature = "keyed")]
use crate::http::PeerAddr;
use crate::http::{Grpc, GrpcResponder, Http, HttpResponder, RespondLayer};

type Page = Full<Bytes>;

async fn handler(_: Request<()>) -> Result<Response<Page>, Refused> {
    Ok(Response::new(Page::from("hello")))
}

fn request(headers: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::new(());
    for (name, value) in headers {
        let name: HeaderName = name.parse().expect("a name");
        request
            .headers_mut()
            .append(name, value.parse().expect("a value"));
    }
    request
}

fn said(response: &Response<impl Sized>, name: &str) -> Vec<String> {
    let values = response.headers().get_all(name).iter();
    values.map(|v| v.to_str().expect("text").to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn responses_say_what_is_left_and_refusals_too() {
    let limiter = RateLimiter::per_second(2)
        .burst(3)
        .headers(true)
        .name("secret")
        .build()
        .expect("valid");
    let edge = RespondLayer::with(limiter.responder(HttpResponder::new()));
    let service = edge.layer(limiter.layer_for(Http::new()).layer(tower::service_fn(handler)));
    for (left, reset) in [(2, 1), (1, 1), (0, 2)] {
        let response = service.clone().oneshot(request(&[])).await.expect("infallible");
        assert_eq!(response.status(), 200);
        assert_eq!(said(&response, "ratelimit-policy"), [r#""default";q=3;w=2"#]);
        assert_eq!(
            said(&response, "ratelimit"),
            [format!(r#""default";r={left};t={reset}"#)]
        );
        assert!(said(&response, "retry-after").is_empty());
    }
    let response = service.oneshot(request(&[])).await.expect("infallible");
    assert_eq!(response.status(), 429);
    assert_eq!(said(&response, "ratelimit-policy"), [r#""default";q=3;w=2"#]);
    assert_eq!(said(&response, "ratelimit"), [r#""default";r=0;t=1"#]);
    assert_eq!(said(&response, "retry-after"), ["1"]);
    assert!(!format!("{:?}", response.headers()).contains("secret"));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_said_that_was_not_asked_for() {
    let limiter = RateLimiter::per_second(2).build().expect("valid");
    let service = limiter.layer_for(Http::new()).layer(tower::service_fn(handler));
    let response = service.oneshot(request(&[])).await.expect("allowed");
    assert!(response.headers().is_empty());
}

#[tokio::test(start_paused = true)]
async fn limits_one_in_the_other_both_say_so() {
    let [outer, inner] = [5, 7].map(|n| RateLimiter::per_minute(n).headers(true).build().expect("valid"));
    let service = inner.layer_for(Http::new()).layer(tower::service_fn(handler));
    let service = outer.layer_for(Http::new()).layer(service);
    let response = service.oneshot(request(&[])).await.expect("allowed");
    let policies = said(&response, "ratelimit-policy");
    assert_eq!(policies, [r#""default";q=7;w=60"#, r#""default";q=5;w=60"#]);
}

#[tokio::test(start_paused = true)]
async fn a_window_of_less_than_a_second_is_told_by_the_second() {
    for (limiter, policy) in [
        (RateLimiter::per_second(100).burst(1), r#""default";q=100;w=1"#),
        (
            RateLimiter::per_second(100).algorithm(Algorithm::Leaky),
            r#""default";q=100;w=1"#,
        ),
        (
            RateLimiter::builder()
                .rate(5, millis(100))
                .algorithm(Algorithm::SlidingWindowLog),
            r#""default";q=50;w=1"#,
        ),
        (
            RateLimiter::builder().rate(5, millis(1500)),
            r#""default";q=5;w=2"#,
        ),
    ] {
        let limiter = limiter.headers(true).build().expect("valid");
        let service = limiter.layer_for(Http::new()).layer(tower::service_fn(handler));
        let response = service.oneshot(request(&[])).await.expect("allowed");
        assert_eq!(said(&response, "ratelimit-policy"), [policy]);
    }
}

#[tokio::test(start_paused = true)]
async fn no_number_is_longer_than_a_structured_field_may_have() {
    let limiter = RateLimiter::per_second(100_000_000)
        .burst(2_000_000_000_000_000)
        .headers(true)
        .build()
        .expect("valid");
    let service = limiter.layer_for(Http::new()).layer(tower::service_fn(handler));
    let response = service.oneshot(request(&[])).await.expect("allowed");
    let policy = r#""default";q=999999999999999;w=20000000"#;
    assert_eq!(said(&response, "ratelimit-policy"), [policy]);
    let left = r#""default";r=999999999999999;t=1"#;
    assert_eq!(said(&response, "ratelimit"), [left]);
}

#[tokio::test(start_paused = true)]
async fn grpc_refuses_with_resource_exhausted_and_metadata() {
    let limiter = RateLimiter::per_minute(1).build().expect("valid");
    let edge = RespondLayer::with(limiter.responder(GrpcResponder::new()));
    let service = edge.layer(limiter.layer_for(Grpc::new()).layer(tower::service_fn(handler)));
    service.clone().oneshot(request(&[])).await.expect("infallible");
    advance(millis(500)).await;
    let response = service.oneshot(request(&[])).await.expect("infallible");
    assert_eq!(response.status(), 200);
    assert_eq!(said(&response, "grpc-status"), ["8"]);
    assert_eq!(said(&response, "retry-after"), ["60"]);
    assert_eq!(said(&response, "grpc-retry-pushback-ms"), ["59500"]);
    assert_eq!(said(&response, "ratelimit"), [r#""default";r=0;t=60"#]);
}

#[tokio::test(start_paused = true)]
async fn the_refusal_of_another_limiter_is_not_ours() {
    let ours = RateLimiter::per_minute(1).name("ours").build().expect("valid");
    let other = Rejected::new(RejectionKind::RateLimited, "other").with_retry_after(millis(1));
    let open = Rejected::new(RejectionKind::CircuitOpen, "ours");
    for rejected in [other, open] {
        let response = crate::http::Responder::respond(&ours.responder(HttpResponder::new()), &rejected);
        assert!(said(&response, "ratelimit").is_empty());
    }
}

#[cfg(feature = "keyed")]
fn keyed_by(by: KeyBy) -> impl AsyncFn(Request<()>) -> bool {
    let limiter = RateLimiter::per_hour(1).key_by(by).build().expect("valid");
    let service = limiter.layer_for(Grpc::new()).layer(tower::service_fn(handler));
    async move |request| service.clone().oneshot(request).await.is_ok()
}

#[cfg(feature = "keyed")]
#[tokio::test(start_paused = true)]
async fn a_header_is_a_key() {
    let passes = keyed_by(KeyBy::Header(HeaderName::from_static("x-api-key")));
    for (key, expected) in [("a", true), ("b", true), ("a", false), ("c", true)] {
        assert_eq!(passes(request(&[("x-api-key", key)])).await, expected);
    }
    assert!(passes(request(&[])).await);
    assert!(!passes(request(&[])).await, "those without one share a limit");
}

#[cfg(feature = "keyed")]
#[tokio::test(start_paused = true)]
async fn the_peer_is_a_key_and_its_network_in_ipv6() {
    let passes = keyed_by(KeyBy::PeerIp);
    for (peer, expected) in [
        ("192.0.2.1:1", true),
        ("192.0.2.1:2", false),
        ("[2001:db8::1]:1", true),
        ("[2001:db8::2]:1", false),
        ("[2001:db8:0:1::1]:1", true),
    ] {
        let mut request = request(&[("x-forwarded-for", "198.51.100.7")]);
        let peer: std::net::SocketAddr = peer.parse().expect("an address");
        request.extensions_mut().insert(PeerAddr::from(peer));
        assert_eq!(passes(request).await, expected, "{peer}");
    }
}

#[cfg(feature = "keyed")]
#[tokio::test(start_paused = true)]
async fn what_somebody_has_put_into_the_extensions_is_a_key() {
    use crate::outcome::Plain;

    let (http, grpc) = (Http::new(), Grpc::new());
    let with = |key: Option<&str>| {
        let mut request = request(&[("x-api-key", "not this")]);
        if let Some(key) = key {
            request.extensions_mut().insert(RateLimitKey::from(key));
        }
        request
    };
    let passes = keyed_by(KeyBy::Extension);
    for (key, expected) in [
        (Some("a"), true),
        (Some("b"), true),
        (Some("a"), false),
        (None, true),
        (None, false),
    ] {
        assert_eq!(passes(with(key)).await, expected, "{key:?}");
        let request = with(key);
        assert_eq!(http.key(&KeyBy::Extension, &request).is_some(), key.is_some());
        assert_eq!(grpc.key(&KeyBy::Extension, &request).is_some(), key.is_some());
        let plain = KeyProtocol::key(&Plain::new(), &KeyBy::Extension, &request);
        assert!(plain.is_none(), "a plain request has no extensions");
    }
}

#[cfg(feature = "keyed")]
#[tokio::test(start_paused = true)]
async fn a_grpc_method_is_a_key() {
    for by in [KeyBy::GrpcMethod, KeyBy::Route] {
        let passes = keyed_by(by);
        for (path, expected) in [("/a.B/C", true), ("/a.B/D", true), ("/a.B/C", false)] {
            let mut request = request(&[]);
            *request.uri_mut() = path.parse().expect("a path");
            assert_eq!(passes(request).await, expected, "{path}");
        }
    }
}

/// everruns#2643: the leftmost address was believed, which is what the client sent.
#[cfg(feature = "keyed")]
#[tokio::test(start_paused = true)]
async fn a_made_up_forwarded_for_changes_nothing() {
    let passes = keyed_by(KeyBy::ForwardedFor(NonZeroU8::MIN));
    for (number, made_up) in [
        "",
        "1.2.3.4, ",
        "9.9.9.9, 8.8.8.8, ",
        "nonsense,,,",
        "\"[::1]:1\", ",
    ]
    .iter()
    .enumerate()
    {
        // The proxy adds at the right what it saw.
        let list = format!("{made_up}192.0.2.1");
        assert_eq!(
            passes(request(&[("x-forwarded-for", &list)])).await,
            number == 0,
            "{list}"
        );
    }
    // Some proxies add a line.
    let lines = [("x-forwarded-for", "7.7.7.7"), ("x-forwarded-for", "192.0.2.1")];
    assert!(!passes(request(&lines)).await);
}

#[test]
fn the_client_is_counted_from_the_right() {
    let of = |lines: &[&str], hops| {
        let lines: Vec<_> = lines.iter().map(|line| ("x-forwarded-for", *line)).collect();
        forwarded_for(request(&lines).headers(), hops).map(|address| address.to_string())
    };
    let two = &["6.6.6.6, 192.0.2.1, 10.0.0.1"];
    assert_eq!(of(two, 1).as_deref(), Some("10.0.0.1"));
    assert_eq!(of(two, 2).as_deref(), Some("192.0.2.1"));
    assert_eq!(of(two, 4), None, "it has not come through four proxies");
    let lines = &["6.6.6.6", "192.0.2.1", "10.0.0.1"];
    assert_eq!(of(lines, 1).as_deref(), Some("10.0.0.1"));
    assert_eq!(of(lines, 2).as_deref(), Some("192.0.2.1"));
    for written in [" 192.0.2.1 ", "192.0.2.1:443", "\"192.0.2.1\"", "192.0.2.1"] {
        assert_eq!(of(&[written], 1).as_deref(), Some("192.0.2.1"), "{written}");
    }
    for written in [
        "2001:db8::1",
        "[2001:db8::1]",
        "[2001:db8::1]:443",
        "\"[2001:db8::1]:443\"",
    ] {
        assert_eq!(of(&[written], 1).as_deref(), Some("2001:db8::1"), "{written}");
    }
    let endless = "x".repeat(60_000);
    for nonsense in [
        "",
        ",",
        "unknown",
        "_hidden",
        "1.2.3",
        "1.2.3.4.5",
        "[::1",
        &endless,
    ] {
        assert_eq!(of(&[nonsense], 1), None);
    }
    assert_eq!(
        of(&[&format!("{endless},192.0.2.1")], 1).as_deref(),
        Some("192.0.2.1")
    );
    assert_eq!(of(&[], 1), None);
}
