use std::time::Duration;

use http::{Method, Request};

use super::*;
use crate::{
    context::CallContext,
    error::{Rejected, RejectionKind},
    http::{ClassifyHead, Http, ResponseHead, StatusVerdict},
    outcome::{Reason, RequestProtocol, Verdict},
};

const NO_ANSWER: [Step; 0] = [];

fn of(status: u16) -> (Outcome, bool) {
    outcome(
        &Http::new(),
        response(status, &[], Script::new([Step::Data("hello")])),
    )
}

#[test]
fn errors_are_decided_at_the_headers_and_4xx_are_neutral() {
    for (status, verdict) in [
        (400, Verdict::Neutral),
        (401, Verdict::Neutral),
        (404, Verdict::Neutral),
        (408, Verdict::Neutral),
        (429, Verdict::Throttled),
        (499, Verdict::Neutral),
        (500, Verdict::Failure),
        (503, Verdict::Failure),
        (599, Verdict::Failure),
        (999, Verdict::Failure),
    ] {
        assert_eq!(
            of(status),
            (Outcome::new(verdict, Reason::HttpStatus(status)), true)
        );
    }
}

#[test]
fn a_good_status_is_a_success_when_its_body_has_ended() {
    for status in [200, 201, 206, 301, 302] {
        assert_eq!(of(status), (Outcome::SUCCESS, false), "{status}");
        let broken = response(status, &[], Script::new([Step::Data("hel"), Step::Error]));
        assert_eq!(
            outcome(&Http::new(), broken),
            (Outcome::failure(Reason::BodyError), false)
        );
    }
}

#[test]
fn a_2xx_and_a_3xx_are_as_good_as_can_be() {
    let found = Http::classify(|_: crate::http::ResponseHead<'_>| Outcome::SUCCESS);
    let a_404 = response(404, &[], Script::new([Step::Data("a")]));
    assert_eq!(watched(&found, a_404)[0], Seen::Head(Head::Promising));
    for (status, head) in [(200, Head::Good), (299, Head::Good), (302, Head::Good)] {
        let seen = watched(
            &Http::new(),
            response(status, &[], Script::new([Step::Data("a")])),
        );
        assert_eq!(
            seen,
            [Seen::Head(head), Seen::Data, Seen::Finished(Outcome::SUCCESS)]
        );
    }
}

#[test]
fn a_response_without_a_body_is_over_at_its_headers() {
    let empty = response(200, &[], Script::new(NO_ANSWER).telling_end());
    assert_eq!(outcome(&Http::new(), empty), (Outcome::SUCCESS, true));
    for status in [101, 204, 304] {
        assert_eq!(of(status), (Outcome::SUCCESS, true), "{status}");
    }
}

#[test]
fn trailers_end_a_plain_body_well() {
    let body = Script::new([Step::Data("a"), trailers("14"), Step::Error]);
    assert_eq!(
        outcome(&Http::new(), response(200, &[], body)),
        (Outcome::SUCCESS, false)
    );
}

#[test]
fn retry_after_goes_into_the_outcome() {
    let after = |status, value| {
        let response = response(status, &[("retry-after", value)], Script::default());
        outcome(&Http::new(), response).0.retry_after()
    };
    assert_eq!(after(503, "7"), Some(Duration::from_secs(7)));
    assert_eq!(after(429, "7"), Some(Duration::from_secs(7)));
    assert_eq!(after(503, "99999999"), Some(Duration::from_secs(86_400)));
    assert_eq!(after(503, "soon"), None);
    assert_eq!(after(200, "7"), None);
}

#[test]
fn the_users_judgement_replaces_the_table_and_not_the_observation() {
    let protocol = Http::classify(|head: ResponseHead<'_>| match head.status.as_u16() {
        404 => Outcome::SUCCESS,
        200 if head.headers.contains_key("x-degraded") => Outcome::from(Verdict::Throttled),
        418 => Outcome::from(Verdict::Failure).with_retry_after(Some(Duration::from_secs(1))),
        _ => StatusVerdict::new().classify(head),
    });
    let body = || Script::new([Step::Data("a")]);
    assert_eq!(
        outcome(&protocol, response(404, &[], body())),
        (Outcome::SUCCESS, false)
    );
    let broken = response(404, &[], Script::new([Step::Error]));
    assert_eq!(outcome(&protocol, broken).0, Outcome::failure(Reason::BodyError));

    let degraded = response(200, &[("x-degraded", "1"), ("retry-after", "9")], body());
    let (degraded, at_headers) = outcome(&protocol, degraded);
    assert_eq!((degraded.verdict(), at_headers), (Verdict::Throttled, true));
    assert_eq!(degraded.retry_after(), Some(Duration::from_secs(9)));

    let teapot = response(418, &[("retry-after", "9")], body());
    assert_eq!(
        outcome(&protocol, teapot).0.retry_after(),
        Some(Duration::from_secs(1))
    );
    assert_eq!(
        outcome(&protocol, response(500, &[], body())).0.verdict(),
        Verdict::Failure
    );
}

#[test]
fn a_judgement_can_have_a_name() {
    #[derive(Clone)]
    struct AllIsWell;
    impl ClassifyHead for AllIsWell {
        fn classify(&self, _: ResponseHead<'_>) -> Outcome {
            Outcome::SUCCESS
        }
    }
    const PROTOCOL: Http<AllIsWell> = Http::with(AllIsWell);
    assert_eq!(
        outcome(&PROTOCOL, response(500, &[], Script::default())).0,
        Outcome::SUCCESS
    );
}

#[test]
fn errors_are_judged_by_the_rejection_in_them() {
    type Failing = Error<&'static str>;
    let see = |error: Failing| {
        let journal = Journal::default();
        let result: Result<Response<Script>, Failing> = Err(error);
        let early = Http::new().verdict(&result);
        assert!(Http::new().observe(result, journal.token()).is_err());
        assert_eq!(
            journal.read(),
            [Seen::Finished(early.expect("an error is the end"))]
        );
        early.map(|o| (o.verdict(), o.reason()))
    };
    assert_eq!(
        see(Error::Inner("reset")),
        Some((Verdict::Failure, Reason::Error))
    );
    for kind in [RejectionKind::CircuitOpen, RejectionKind::TimedOut] {
        let seen = see(Rejected::new(kind, "p").into());
        assert_eq!(seen, Some((kind.verdict(), Reason::Rejected(kind))));
    }
}

#[test]
fn only_what_is_idempotent_is_repeatable() {
    let request = |method: Method| Request::builder().method(method).body(()).expect("a request");
    let repeatable = |r: &Request<()>| Http::new().repeatable(r);
    for method in [
        Method::GET,
        Method::HEAD,
        Method::PUT,
        Method::DELETE,
        Method::OPTIONS,
        Method::TRACE,
    ] {
        assert!(repeatable(&request(method.clone())), "{method}");
    }
    for method in [Method::POST, Method::PATCH, Method::CONNECT] {
        let mut request = request(method);
        assert!(!repeatable(&request));
        let mut set = |key: &str| {
            let key = key.parse().expect("a value");
            request.headers_mut().insert("Idempotency-Key", key);
            repeatable(&request)
        };
        assert!(!set(""), "an empty key is no key");
        assert!(set("8e03978e-40d5-43dd-bc93-6894a57f9324"));
    }
}

#[test]
fn the_context_travels_in_the_extensions() {
    let mut request = Request::new(());
    assert!(Http::new().context(&request).is_none());
    let mut context = CallContext::new();
    context.set_attempt(3);
    assert!(Http::new().set_context(&mut request, context).is_ok());
    assert_eq!(Http::new().context(&request).map(CallContext::attempt), Some(3));
    assert_eq!(Http::new().route(&request), None);
}
