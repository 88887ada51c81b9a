use std::{
    future::pending,
    panic::{AssertUnwindSafe, catch_unwind},
};

use http_body_util::{BodyExt, Full};

use super::*;
use crate::{
    error::RejectionKind,
    http::{Grpc, Http},
    outcome::Reason,
};

fn observe(body: Script, journal: &Journal) -> Observed<Script, Journaled> {
    let result: Result<_, Refusable> = Ok(Response::new(body));
    let response = Http::new().observe(result, journal.token()).expect("it was `Ok`");
    response.into_body()
}

const GOOD: Seen = Seen::Head(Head::Good);
const SUCCESS: Seen = Seen::Finished(Outcome::SUCCESS);

#[test]
fn a_body_dropped_before_its_end_was_cancelled() {
    for polls in 0..3 {
        let journal = Journal::default();
        let mut body = observe(
            Script::new([Step::Data("a"), Step::Pending, Step::Data("b")]),
            &journal,
        );
        for _ in 0..polls {
            let _ = poll(&mut body);
        }
        assert!(!journal.read().contains(&Seen::Cancelled));
        drop(body);
        let expected: &[_] = match polls {
            0 => &[GOOD, Seen::Cancelled],
            _ => &[GOOD, Seen::Data, Seen::Cancelled],
        };
        assert_eq!(journal.read(), expected);
    }
}

/// PITFALLS: "a request cancelled before the headers produced no class at all".
#[tokio::test]
async fn a_call_cancelled_before_its_headers_was_cancelled() {
    let journal = Journal::default();
    let token = journal.token();
    let call = async move {
        let result: Result<Response<Script>, Refusable> = pending().await;
        Grpc::new().observe(result, token)
    };
    let mut call = tokio_test::task::spawn(call);
    tokio_test::assert_pending!(call.poll());
    assert_eq!(journal.read(), []);
    drop(call);
    assert_eq!(journal.read(), [Seen::Cancelled]);
}

/// hyper asks `is_end_stream` after each frame and does not poll again once it is true.
#[test]
fn a_reader_that_stops_at_the_end_of_the_stream_has_read_it_all() {
    let journal = Journal::default();
    let mut body = observe(
        Script::new([Step::Data("a"), Step::Data("b")]).telling_end(),
        &journal,
    );
    let _ = poll(&mut body);
    assert_eq!(journal.read(), [GOOD, Seen::Data]);
    let _ = poll(&mut body);
    assert!(body.is_end_stream());
    assert_eq!(journal.read(), [GOOD, Seen::Data, SUCCESS]);
    drop(body);
    assert_eq!(journal.read(), [GOOD, Seen::Data, SUCCESS]);
}

/// hyper sends as much as `content-length` says, does not ask for more, and drops the body.
#[test]
fn a_body_whose_length_is_known_is_over_with_its_last_byte() {
    for (length, frames, end) in [
        ("5", 2, SUCCESS),
        ("4", 2, SUCCESS),
        ("5", 1, Seen::Cancelled),
        ("6", 2, Seen::Cancelled),
        ("no number", 2, Seen::Cancelled),
    ] {
        let journal = Journal::default();
        let mut response = Response::new(Script::new([Step::Data("hel"), Step::Data("lo")]));
        let value = length.parse().expect("a value");
        response.headers_mut().insert("content-length", value);
        let result: Result<_, Refusable> = Ok(response);
        let mut body = Http::new()
            .observe(result, journal.token())
            .expect("it was `Ok`")
            .into_body();
        for _ in 0..frames {
            let _ = poll(&mut body);
        }
        drop(body);
        assert_eq!(journal.read(), [GOOD, Seen::Data, end], "{length} {frames}");
    }
}

#[test]
fn a_body_that_is_promised_to_be_empty_is_over_with_its_headers() {
    let journal = Journal::default();
    let mut response = Response::new(Script::new([]));
    response.headers_mut().insert("content-length", 0.into());
    let result: Result<_, Refusable> = Ok(response);
    drop(Http::new().observe(result, journal.token()));
    assert_eq!(journal.read(), [GOOD, SUCCESS]);
}

#[test]
fn the_answer_to_a_head_request_is_over_with_its_headers() {
    for (method, expected) in [("HEAD", vec![SUCCESS]), ("GET", vec![GOOD, Seen::Cancelled])] {
        let request = Request::builder().method(method).body(()).expect("a request");
        let journal = Journal::default();
        let result: Result<_, Refusable> = Ok(Response::new(Script::new([Step::Data("a")])));
        let protocol = Http::new().for_request(&request);
        drop(protocol.observe(result, journal.token()));
        assert_eq!(journal.read(), expected, "{method}");
    }
}

#[test]
fn reading_on_after_the_end_changes_nothing() {
    let journal = Journal::default();
    let mut body = observe(Script::new([Step::Data("a"), Step::Error]), &journal);
    for _ in 0..5 {
        let _ = poll(&mut body);
    }
    drop(body);
    let failure = Seen::Finished(Outcome::failure(Reason::BodyError));
    assert_eq!(journal.read(), [GOOD, Seen::Data, failure]);
}

#[test]
fn an_empty_frame_is_no_data() {
    let journal = Journal::default();
    let body = observe(Script::new([Step::Data(""), Step::Data("")]), &journal);
    drain(body);
    assert_eq!(journal.read(), [GOOD, SUCCESS]);

    let journal = Journal::default();
    let body = observe(Script::new([Step::Data(""), Step::Data("a")]), &journal);
    drain(body);
    assert_eq!(journal.read(), [GOOD, Seen::Data, SUCCESS]);
}

#[test]
fn a_panic_in_the_body_is_a_failure_at_once_and_for_all_who_watch() {
    let (inner, outer) = (Journal::default(), Journal::default());
    let body = observe(Script::new([Step::Data("a"), Step::Panic]), &inner);
    let mut body = Observed::new(body, outer.token(), Http::new());
    let _ = poll(&mut body);
    assert!(catch_unwind(AssertUnwindSafe(|| poll(&mut body).is_ready())).is_err());

    // The body is still alive: whoever caught the panic need not let go of it.
    let panicked = Outcome::failure(Reason::Rejected(RejectionKind::Panicked));
    assert_eq!(inner.read(), [GOOD, Seen::Data, Seen::Finished(panicked)]);
    assert_eq!(outer.read(), [Seen::Data, Seen::Finished(panicked)]);
    drop(body);
    assert_eq!((inner.read().len(), outer.read().len()), (3, 2));
}

#[test]
fn without_a_token_nothing_is_watched_or_judged() {
    let judged = Journal::default();
    let protocol = {
        let judged = judged.clone();
        Grpc::classify(move |_| {
            judged.write(Seen::Data);
            Outcome::SUCCESS
        })
    };
    for head in [&[][..], &[("grpc-status", "14")]] {
        let response = response(200, head, Script::new([trailers("14")]));
        let result: Result<_, Refusable> = Ok(response);
        let response = protocol.observe(result, None::<Journaled>).expect("it was `Ok`");
        drain(response.into_body());
    }
    assert_eq!(judged.read(), []);
}

#[tokio::test]
async fn frames_size_and_end_go_through() {
    let journal = Journal::default();
    let body = observe(
        Script::new([Step::Data("a"), Step::Pending, Step::Data("b"), trailers("0")]),
        &journal,
    );
    assert_eq!((body.size_hint().lower(), body.size_hint().upper()), (4, None));
    assert!(!body.is_end_stream());
    assert_eq!(body.get_ref().steps.len(), 4);
    let collected = body.collect().await.expect("no error");
    assert_eq!(
        collected.trailers().map(|t| t["grpc-status"].clone()),
        Some("0".parse().expect("a value"))
    );
    assert_eq!(collected.to_bytes(), "ab");
    assert_eq!(journal.read(), [GOOD, Seen::Data, SUCCESS]);
}

#[test]
fn every_layer_that_watches_sees_the_same_end() {
    let (inner, outer) = (Journal::default(), Journal::default());
    let result: Result<_, Refusable> = Ok(Response::new(Full::new(Bytes::from("whole"))));
    let result = Http::new().observe(result, inner.token());
    let response = Http::new().observe(result, outer.token()).expect("it was `Ok`");
    drain(response.into_body());
    assert_eq!(inner.read(), [GOOD, Seen::Data, SUCCESS]);
    assert_eq!(outer.read(), inner.read());
}

#[test]
fn watching_costs_a_body_its_token_a_length_and_a_flag() {
    struct Slim(#[allow(dead_code)] Box<()>);
    impl Token for Slim {
        fn finish(self, _: Outcome) {}
    }
    let word = size_of::<usize>();
    assert_eq!(size_of::<Observed<[usize; 4], Slim, Http>>(), 7 * word);
    assert_eq!(size_of::<Observed<[usize; 4], Slim, Grpc>>(), 7 * word);
}
