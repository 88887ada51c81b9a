use std::sync::Arc;

use http::{HeaderValue, Method, Request, Version};

use super::*;
use crate::{
    CallContext, Grpc, Http, RequestProtocol,
    http::SavedRequest,
    replay::{Bare, Replay},
};

type Below = Request<ReplayBody<Script>>;

fn request(method: Method) -> Request<Script> {
    Request::builder()
        .method(method)
        .uri("/items/4?x=1")
        .header("accept", "text/plain")
        .extension(7_u8)
        .body(Script::new([data("ab"), data("c")]))
        .expect("a request")
}

fn save<P>(protocol: &P, request: Request<Script>) -> (Below, Option<SavedRequest>)
where
    P: Replay<Request<Script>, Bare, Request = Below, Saved = SavedRequest>,
{
    protocol.save(&Bare, request, 64)
}

#[test]
fn a_request_is_sent_again_as_it_came_in() {
    let http = Http::new();
    let (mut first, saved) = save(&http, request(Method::PUT));
    let saved = saved.expect("idempotent");
    // What happens to the first further in does not touch those to come.
    first
        .headers_mut()
        .insert("accept", "*/*".parse().expect("a value"));
    first.extensions_mut().clear();

    let can_repeat = |saved| Replay::<Request<Script>, Bare>::can_repeat(&http, saved);
    assert!(!can_repeat(&saved));
    let none: Option<Below> = http.again(&Bare, &saved);
    assert!(none.is_none());
    let seen = read(first.into_body());
    assert!(can_repeat(&saved));
    for _ in 0..2 {
        let again: Below = http.again(&Bare, &saved).expect("complete");
        assert_eq!(again.method(), Method::PUT);
        assert_eq!(again.uri(), "/items/4?x=1");
        assert_eq!(again.headers()["accept"], "text/plain");
        assert_eq!(again.extensions().get(), Some(&7_u8));
        assert_eq!(read(again.into_body()), seen);
    }
}

#[test]
fn a_head_is_kept_with_all_that_is_in_it() {
    let http = Http::new();
    let text = |value: &'static str| HeaderValue::from_static(value);
    let mut secret = text("42");
    secret.set_sensitive(true);
    for others in 0..3 {
        let mut given = request(Method::DELETE);
        *given.version_mut() = Version::HTTP_2;
        let headers = given.headers_mut();
        headers.append("accept", text("text/html"));
        headers.insert("x-secret", secret.clone());
        headers.append("accept", text("*/*"));
        given.extensions_mut().clear();
        if others > 0 {
            let mut context = CallContext::new();
            context.set_priority(80);
            given.extensions_mut().insert(context);
        }
        if others > 1 {
            given.extensions_mut().insert(7_u8);
        }
        let headers = given.headers().clone();
        let (first, saved) = save(&http, given);
        let tally = |request: &Below| {
            request
                .extensions()
                .get()
                .map(|c: &CallContext| c.tally().clone())
        };
        let known = tally(&first);
        read(first.into_body());
        let again: Below = http.again(&Bare, &saved.expect("kept")).expect("complete");
        assert_eq!(
            (again.method(), again.version()),
            (&Method::DELETE, Version::HTTP_2)
        );
        assert_eq!(again.headers(), &headers);
        let accepted: Vec<_> = again.headers().get_all("accept").iter().collect();
        assert_eq!(accepted, ["text/plain", "text/html", "*/*"]);
        assert!(again.headers()["x-secret"].is_sensitive());
        assert_eq!(again.extensions().len(), others);
        assert_eq!(again.extensions().get(), (others > 1).then_some(&7_u8));
        let context = again.extensions().get::<CallContext>();
        assert_eq!(
            context.and_then(CallContext::priority),
            (others > 0).then_some(80)
        );
        match (known, tally(&again)) {
            (Some(one), Some(same)) => assert!(Arc::ptr_eq(&one, &same), "one tally for every attempt"),
            (one, other) => assert!(one.is_none() && other.is_none()),
        }
    }
}

/// PITFALLS: "a POST was replayed and billed twice".
#[test]
fn a_post_without_a_key_is_passed_on_and_not_kept() {
    let http = Http::new();
    let (first, saved) = save(&http, request(Method::POST));
    assert!(saved.is_none());
    assert!(first.into_body().try_into_passed().is_ok());

    let mut keyed = request(Method::POST);
    keyed
        .headers_mut()
        .insert("idempotency-key", "4".parse().expect("a value"));
    assert!(save(&http, keyed).1.is_some());

    // Unless its owner knows better.
    let (_, saved) = http.keep(&Bare, request(Method::POST), 64);
    assert!(saved.is_some());
    // The methods of gRPC are all POST.
    assert!(save(&Grpc::new(), request(Method::POST)).1.is_some());
}

#[test]
fn each_attempt_has_its_own_context_and_number() {
    fn second<P>(protocol: &P) -> Below
    where
        P: Replay<Request<Script>, Bare, Request = Below, Saved = SavedRequest> + RequestProtocol<Below>,
    {
        let (mut first, saved) = save(protocol, request(Method::PUT));
        protocol.announce_attempt(&mut first, 1);
        assert_eq!(first.headers().len(), 1, "nothing to tell");
        read(first.into_body());
        let mut second = protocol.again(&Bare, &saved.expect("kept")).expect("complete");
        let mut context = CallContext::new();
        context.set_attempt(2);
        assert!(protocol.set_attempt_context(&mut second, context).is_ok());
        assert_eq!(protocol.context(&second).map(CallContext::attempt), Some(2));
        protocol.announce_attempt(&mut second, 2);
        second
    }
    assert_eq!(second(&Http::new()).headers()["x-retry-attempt"], "2");
    assert_eq!(second(&Grpc::new()).headers()["grpc-previous-rpc-attempts"], "1");
}
