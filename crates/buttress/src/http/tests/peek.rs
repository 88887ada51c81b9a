use std::{
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    task::Wake,
};

use http_body_util::BodyExt;
use proptest::{collection::vec, prelude::*};

use super::*;
use crate::{
    http::{Grpc, Http, Peeked},
    outcome::{Reason, Verdict},
    replay::Peek,
};

fn peek(response: Response<Script>) -> (Response<Peeked<Script>>, Option<Outcome>) {
    let result: Result<_, Refusable> = Ok(response);
    let (result, outcome) = Grpc::new().peek(result, &mut Context::from_waker(Waker::noop()));
    (result.expect("it was `Ok`"), outcome)
}

const UNAVAILABLE: Outcome = Outcome::new(Verdict::Failure, Reason::GrpcStatus(14));

#[test]
fn trailers_that_are_there_decide_and_are_still_to_be_read() {
    let (response, outcome) = peek(response(200, &[], Script::new([trailers("14")])));
    assert_eq!(outcome, Some(UNAVAILABLE));
    let mut body = response.into_body();
    assert!(!body.is_end_stream());
    assert_eq!(
        body.trailers().map(|t| &t["grpc-status"]),
        Some(&"14".parse().expect("a value"))
    );
    let Poll::Ready(Some(Ok(frame))) = poll(&mut body) else {
        panic!("no trailers");
    };
    assert_eq!(
        frame.trailers_ref().map(|t| &t["grpc-status"]),
        Some(&"14".parse().expect("a value"))
    );
}

#[test]
fn what_is_not_there_yet_is_not_waited_for() {
    for first in [Step::Pending, Step::Data("a")] {
        let (response, outcome) = peek(response(200, &[], Script::new([first, trailers("14")])));
        assert_eq!(outcome, None);
        assert_eq!(response.body().get_ref().steps.len(), 1, "one poll, and no other");
    }
}

#[test]
fn a_stream_that_is_over_or_broken_already_has_failed() {
    let (_, outcome) = peek(response(200, &[], Script::new([])));
    assert_eq!(outcome, Some(Outcome::failure(Reason::MissingGrpcStatus)));
    let (mut broken, outcome) = peek(response(200, &[], Script::new([Step::Error])));
    assert_eq!(outcome, Some(Outcome::failure(Reason::BodyError)));
    assert!(matches!(
        poll(broken.body_mut()),
        Poll::Ready(Some(Err("broken")))
    ));
}

#[test]
fn an_end_that_was_seen_is_not_asked_for_again() {
    struct Once(bool);

    impl Body for Once {
        type Data = Bytes;
        type Error = &'static str;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            assert!(!std::mem::replace(&mut self.0, true), "asked after its end");
            Poll::Ready(None)
        }
    }

    let result: Result<_, Refusable> = Ok(Response::new(Once(false)));
    let (result, _) = Grpc::new().peek(result, &mut Context::from_waker(Waker::noop()));
    let mut body = result.expect("it was `Ok`").into_body();
    for _ in 0..2 {
        assert!(body.is_end_stream());
        assert!(matches!(poll(&mut body), Poll::Ready(None)));
    }
}

#[test]
fn a_head_that_decides_is_enough() {
    let head = [("grpc-status", "14")];
    let (response, outcome) = peek(response(200, &head, Script::new([Step::Panic])));
    assert_eq!(outcome, Some(UNAVAILABLE));
    assert_eq!(response.body().get_ref().steps.len(), 1);

    // And in plain HTTP it always is.
    let good: Result<_, Refusable> = Ok(super::response(200, &[], Script::new([Step::Panic])));
    let (good, outcome) = Http::new().peek(good, &mut Context::from_waker(Waker::noop()));
    assert_eq!(outcome, None);
    assert_eq!(good.expect("it was `Ok`").body().steps.len(), 1);
}

#[test]
fn an_error_is_judged_and_handed_on() {
    let result: Result<Response<Script>, Refusable> =
        Err(crate::Rejected::new(crate::RejectionKind::TimedOut, "p").into());
    let (result, outcome) = Grpc::new().peek(result, &mut Context::from_waker(Waker::noop()));
    assert_eq!(outcome.map(|o| o.verdict()), Some(Verdict::Failure));
    assert!(result.is_err());
}

#[test]
fn a_pushback_that_says_stop_is_found_in_head_and_trailers() {
    for (value, stop) in [("-1", true), ("200", false)] {
        let pushback = [("grpc-status", "14"), ("grpc-retry-pushback-ms", value)];
        let at_end = Script::new([Step::Trailers(headers(&pushback))]);
        for response in [
            response(200, &pushback, Script::new([])),
            response(200, &[], at_end),
        ] {
            let outcome = peek(response).1.expect("decided");
            assert_eq!(outcome.retry_forbidden(), stop);
            assert_eq!(outcome.retry_after().is_some(), !stop);
        }
    }
}

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Relaxed);
    }
}

/// The script wakes whoever is pending at once: it has to be the task that looked.
#[test]
fn the_task_that_looks_is_the_one_that_is_woken() {
    let task = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&task));
    let result: Result<_, Refusable> = Ok(response(200, &[], Script::new([Step::Pending])));
    let (_, outcome) = Grpc::new().peek(result, &mut Context::from_waker(&waker));
    assert_eq!(outcome, None);
    assert_eq!(task.0.load(Relaxed), 1);
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => prop_oneof![Just(Step::Data("data")), Just(Step::Data(""))],
        2 => Just(Step::Pending),
        1 => Just(Step::Error),
        2 => Just(trailers("14")),
    ]
}

proptest! {
    #[test]
    fn whoever_reads_a_body_that_was_looked_at_does_not_notice(
        steps in vec(step(), 0..8),
        tells_end: bool,
    ) {
        let script = Script { steps: steps.into(), tells_end };
        let mut bare = script.clone();
        let (response, _) = peek(response(200, &[], script));
        let mut body = response.into_body();
        // What was pending when it was looked at is not pending twice.
        if bare.steps.front().is_some_and(|step| matches!(step, Step::Pending)) {
            let _ = poll(&mut bare);
        }
        while !bare.steps.is_empty() {
            prop_assert!(!body.is_end_stream());
            prop_assert_eq!(format!("{:?}", poll(&mut body)), format!("{:?}", poll(&mut bare)));
            prop_assert_eq!(body.is_end_stream(), bare.is_end_stream());
        }
        for _ in 0..2 {
            prop_assert!(matches!(poll(&mut body), Poll::Ready(None)));
        }
    }

    #[test]
    fn a_size_counts_what_was_read_ahead(first in vec(any::<u8>(), 1..9), exact: bool) {
        let length = first.len() as u64;
        let body = http_body_util::Full::new(Bytes::from(first));
        let body = if exact { body.boxed() } else { http_body_util::StreamBody::new(
            http_body_util::BodyStream::new(body)).boxed() };
        let result: Result<_, Refusable> = Ok(Response::new(body));
        let (result, outcome) = Grpc::new().peek(result, &mut Context::from_waker(Waker::noop()));
        prop_assert_eq!(outcome, None);
        let mut body = result.expect("it was `Ok`").into_body();
        prop_assert_eq!(body.size_hint().lower(), length);
        prop_assert_eq!(body.size_hint().exact(), exact.then_some(length));
        prop_assert!(poll(&mut body).is_ready());
        prop_assert_eq!(body.size_hint().lower(), 0);
    }
}
