use std::time::Duration;

use http::Request;

use super::*;
use crate::{
    context::CallContext,
    http::{ClassifyCode, CodeVerdict, Grpc},
    outcome::{Reason, RequestProtocol, Verdict},
};

const MISSING: Outcome = Outcome::failure(Reason::MissingGrpcStatus);

fn of(head: &[(&'static str, &str)], steps: impl IntoIterator<Item = Step>) -> (Outcome, bool) {
    outcome(&Grpc::new(), response(200, head, Script::new(steps)))
}

fn code(verdict: Verdict, code: u8) -> Outcome {
    Outcome::new(verdict, Reason::GrpcStatus(code))
}

/// PITFALLS: "gRPC failures in trailers counted as successes; a missing `grpc-status` too".
#[test]
fn failures_in_trailers_are_failures_and_so_is_a_missing_status() {
    let message = || Step::Data("message");
    assert_eq!(
        of(&[], [message(), trailers("14")]),
        (code(Verdict::Failure, 14), false)
    );
    assert_eq!(of(&[], [message(), trailers("0")]), (Outcome::SUCCESS, false));

    assert_eq!(of(&[], [message()]), (MISSING, false));
    assert_eq!(of(&[], []), (MISSING, false));
    let without = Step::Trailers(headers(&[("x-checksum", "5")]));
    assert_eq!(of(&[], [message(), without]), (MISSING, false));
    // Where hyper stops polling, nothing will tell the status any more.
    let cut = response(200, &[], Script::new([message()]).telling_end());
    assert_eq!(outcome(&Grpc::new(), cut), (MISSING, false));
    let empty = response(200, &[], Script::default().telling_end());
    assert_eq!(outcome(&Grpc::new(), empty), (MISSING, true));
}

#[test]
fn every_code_is_judged_alike_in_headers_and_trailers() {
    for status in 0..=16_u8 {
        let expected = CodeVerdict::new().classify(status);
        let text = status.to_string();
        assert_eq!(
            of(&[("grpc-status", &text)], []),
            (expected, true),
            "{status}, trailers only"
        );
        assert_eq!(of(&[], [trailers(&text)]), (expected, false), "{status}");
    }
    assert_eq!(of(&[], [trailers("no code")]).0, code(Verdict::Failure, 2));
}

#[test]
fn an_answer_that_is_not_grpc_is_mapped_from_its_http_status() {
    for (status, verdict, mapped) in [
        (400, Verdict::Failure, 13),
        (401, Verdict::Neutral, 16),
        (403, Verdict::Neutral, 7),
        (404, Verdict::Neutral, 12),
        (429, Verdict::Failure, 14),
        (502, Verdict::Failure, 14),
        (503, Verdict::Failure, 14),
        (504, Verdict::Failure, 14),
        (500, Verdict::Failure, 2),
        (204, Verdict::Failure, 2),
        (302, Verdict::Failure, 2),
    ] {
        let page = response(status, &[], Script::new([Step::Data("<html>")]));
        assert_eq!(
            outcome(&Grpc::new(), page),
            (code(verdict, mapped), true),
            "{status}"
        );
    }
    let own_word = response(503, &[("grpc-status", "5")], Script::default());
    assert_eq!(outcome(&Grpc::new(), own_word).0, code(Verdict::Neutral, 5));
}

#[test]
fn a_broken_stream_is_a_failure() {
    let steps = [Step::Data("message"), Step::Error, trailers("0")];
    assert_eq!(of(&[], steps), (Outcome::failure(Reason::BodyError), false));
}

#[test]
fn good_headers_are_a_promise_and_no_more() {
    let body = Script::new([Step::Data("a"), Step::Data("b"), trailers("0")]);
    assert_eq!(
        watched(&Grpc::new(), response(200, &[], body)),
        [
            Seen::Head(Head::Promising),
            Seen::Data,
            Seen::Finished(Outcome::SUCCESS)
        ]
    );
}

#[test]
fn pushback_goes_into_the_outcome() {
    let after = |outcome: (Outcome, bool)| outcome.0.retry_after();
    let pushed = |status, ms| headers(&[("grpc-status", status), ("grpc-retry-pushback-ms", ms)]);
    let in_trailers = |status, ms| after(of(&[], [Step::Trailers(pushed(status, ms))]));
    let half = Some(Duration::from_millis(500));
    assert_eq!(in_trailers("14", "500"), half);
    assert_eq!(in_trailers("8", "500"), half);
    assert_eq!(in_trailers("14", "-1"), None);
    let forbidden = |ms| of(&[], [Step::Trailers(pushed("14", ms))]).0.retry_forbidden();
    assert!(forbidden("-1") && forbidden("soon") && !forbidden("0"));
    assert_eq!(in_trailers("0", "500"), None);
    assert_eq!(
        after(of(
            &[("grpc-status", "14"), ("grpc-retry-pushback-ms", "500")],
            []
        )),
        half
    );

    let proxy = response(503, &[("retry-after", "3")], Script::default());
    assert_eq!(after(outcome(&Grpc::new(), proxy)), Some(Duration::from_secs(3)));
}

#[test]
fn a_time_of_the_users_own_does_not_hide_that_the_server_forbids_a_retry() {
    let minute = Some(Duration::from_secs(60));
    let own =
        Grpc::classify(move |code: u8| Outcome::failure(Reason::GrpcStatus(code)).with_retry_after(minute));
    let pushed = |ms| {
        let answer = [("grpc-status", "14"), ("grpc-retry-pushback-ms", ms)];
        outcome(&own, response(200, &answer, Script::default())).0
    };
    assert!(pushed("-1").retry_forbidden());
    let later = pushed("500");
    assert_eq!((later.retry_forbidden(), later.retry_after()), (false, minute));
}

#[test]
fn the_users_judgement_replaces_the_table_and_not_the_observation() {
    let protocol = Grpc::classify(|code: u8| match code {
        9 => Outcome::failure(Reason::Custom("lost its database")),
        14 => Outcome::SUCCESS,
        _ => CodeVerdict::new().classify(code),
    });
    let of = |steps: Vec<Step>| outcome(&protocol, response(200, &[], Script::new(steps))).0;
    assert_eq!(of(vec![trailers("14")]), Outcome::SUCCESS);
    assert_eq!(
        of(vec![trailers("9")]).reason(),
        Reason::Custom("lost its database")
    );
    assert_eq!(of(vec![trailers("13")]), code(Verdict::Failure, 13));
    assert_eq!(of(vec![]), MISSING);
    let proxy = response(502, &[], Script::default());
    assert_eq!(outcome(&protocol, proxy), (Outcome::SUCCESS, true));
}

#[test]
fn the_route_is_the_method_and_never_a_raw_path() {
    let route = |path: &str| {
        let request = Request::builder().uri(path).body(()).expect("a request");
        Grpc::new().route(&request).map(str::to_owned)
    };
    for path in ["/grpc.health.v1.Health/Check", "/Echo/Say_It2"] {
        assert_eq!(route(path).as_deref(), Some(path));
    }
    assert_eq!(
        route("http://host:50051/pkg.S/M?x=1").as_deref(),
        Some("/pkg.S/M")
    );
    for path in [
        "/", "/a", "/a/", "//b", "/a/b/c", "/a/b/", "/a%20b/c", "/a/b@c", "*",
    ] {
        assert_eq!(route(path), None, "{path}");
    }
}

#[test]
fn every_request_is_repeatable_and_carries_its_context() {
    let mut request = Request::new(());
    *request.method_mut() = http::Method::POST;
    assert!(Grpc::new().repeatable(&request));
    assert!(!Grpc::new().idempotent(&request), "its method does not say so");
    assert!(Grpc::new().set_context(&mut request, CallContext::new()).is_ok());
    assert!(Grpc::new().context(&request).is_some());
}
