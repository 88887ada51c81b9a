//! What a fallback is for.

use super::*;

#[tokio::test]
async fn every_rejection_and_every_failure_is_answered_unless_something_is_named() {
    for kind in KINDS {
        let (answer, books) = after(Fallback::value("instead"), Err(rejected(kind))).await;
        assert_eq!(answer, Ok("instead"), "{kind}");
        assert_eq!(causes(&books), [(kind.as_str(), 1)]);
    }
    assert_eq!(after(Fallback::value("instead"), BROKEN).await.0, Ok("instead"));
}

/// What became of a call of that outcome.
async fn judged<C: Into<Condition>>(on: Option<Vec<C>>, outcome: Outcome) -> (bool, Snapshot) {
    let mut options = Fallback::value("instead");
    if let Some(on) = on {
        options = options.on(on);
    }
    let fallback = options.build().expect("valid");
    let protocol = Plain::classify(move |_: &Said| outcome);
    let answer = fallback
        .layer_for(protocol)
        .layer(saying(BROKEN))
        .oneshot(())
        .await;
    (answer == Ok("instead"), fallback.snapshot())
}

#[tokio::test]
async fn what_is_the_callers_fault_stays_an_answer() {
    for outcome in [
        Outcome::neutral(Reason::HttpStatus(404)),
        Outcome::neutral(Reason::GrpcStatus(5)),
        Outcome::neutral(Reason::Error),
        Outcome::neutral(Reason::Custom("theirs")),
        Outcome::SUCCESS,
    ] {
        assert!(!judged::<Condition>(None, outcome).await.0, "{outcome:?}");
    }
}

#[tokio::test]
async fn exactly_what_is_named_is_answered() {
    let timed_out = Outcome::new(Verdict::Failure, Reason::Rejected(RejectionKind::TimedOut));
    let open = Outcome::neutral(Reason::Rejected(RejectionKind::CircuitOpen));
    let shed = Outcome::neutral(Reason::Rejected(RejectionKind::Shed));
    let error = Outcome::failure(Reason::Error);
    let not_there = Outcome::neutral(Reason::Error);
    let unavailable = Outcome::failure(Reason::HttpStatus(503));
    let internal = Outcome::failure(Reason::GrpcStatus(13));
    let too_many = Outcome::new(Verdict::Throttled, Reason::HttpStatus(429));
    let gone = Outcome::neutral(Reason::HttpStatus(410));
    let all = [
        timed_out,
        open,
        shed,
        error,
        not_there,
        unavailable,
        internal,
        too_many,
        gone,
    ];
    for (condition, meant) in [
        (RejectionKind::TimedOut.into(), vec![timed_out]),
        (RejectionKind::CircuitOpen.into(), vec![open]),
        (Condition::AnyRejection, vec![timed_out, open, shed]),
        (Condition::Error, vec![error]),
        (
            Verdict::Failure.into(),
            vec![timed_out, error, unavailable, internal],
        ),
        (Verdict::Throttled.into(), vec![too_many]),
        (Verdict::Neutral.into(), vec![open, shed, not_there, gone]),
        (Condition::HttpStatus(410), vec![gone]),
        (Condition::HttpStatus(503), vec![unavailable]),
        (Condition::GrpcCode(13), vec![internal]),
        (Condition::GrpcCode(14), vec![]),
    ] {
        for outcome in all {
            let (answered, _) = judged(Some(vec![condition]), outcome).await;
            assert_eq!(
                answered,
                meant.contains(&outcome),
                "{condition:?} and {outcome:?}"
            );
        }
    }
    let by_choice = Outcome::new(Verdict::Success, Reason::HttpStatus(410));
    let (answered, _) = judged(Some(vec![Condition::HttpStatus(410)]), by_choice).await;
    assert!(!answered, "what the protocol calls a success is one");
    let both = vec![Condition::HttpStatus(410), RejectionKind::Shed.into()];
    for outcome in all {
        let (answered, _) = judged(Some(both.clone()), outcome).await;
        assert_eq!(answered, [gone, shed].contains(&outcome), "{outcome:?}");
    }
}

#[tokio::test]
async fn the_books_say_what_calls_were_answered_for() {
    for (outcome, cause) in [
        (Outcome::failure(Reason::Error), "error"),
        (Outcome::failure(Reason::HttpStatus(500)), "failure"),
        (Outcome::failure(Reason::MissingGrpcStatus), "failure"),
        (
            Outcome::new(Verdict::Throttled, Reason::GrpcStatus(8)),
            "throttled",
        ),
    ] {
        let (_, books) = judged::<Condition>(None, outcome).await;
        assert_eq!(causes(&books), [(cause, 1)]);
        assert_eq!(books.answered_for.len(), 14, "all that there are");
    }
    let gone = Outcome::neutral(Reason::HttpStatus(410));
    let (_, books) = judged(Some(vec![Condition::HttpStatus(410)]), gone).await;
    assert_eq!(causes(&books), [("neutral", 1)]);
}

#[test]
fn a_condition_that_makes_no_sense_is_an_error_and_all_are_named() {
    let problems = |options: FallbackBuilder<Value<u8>>| {
        let error = options.build().expect_err("no sense").to_string();
        error.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let none: [Condition; 0] = [];
    assert_eq!(
        problems(Fallback::value(1).on(none)),
        [
            "on: found an empty list, expected at least one thing that the fallback is for; leave it out for all \
             failures and rejections"
        ]
    );
    let nonsense = [
        Verdict::Success.into(),
        Condition::HttpStatus(200),
        Condition::HttpStatus(600),
        Condition::GrpcCode(0),
        Condition::GrpcCode(17),
        Condition::HttpStatus(503),
    ];
    assert_eq!(
        problems(Fallback::value(1).on(nonsense)),
        [
            "on: found success, expected a failure: what succeeds is answered",
            "on: found 200, expected an HTTP status that is an error, 400 to 599",
            "on: found 600, expected an HTTP status that is an error, 400 to 599",
            "on: found the gRPC status code 0, expected one that is an error, 1 to 16",
            "on: found the gRPC status code 17, expected one that is an error, 1 to 16",
        ]
    );
    let other = service_fn(|()| ready(Ok::<u8, Failure>(1)));
    let error = Fallback::service(other)
        .max_body(2 << 30)
        .build()
        .expect_err("too much");
    assert_eq!(error.to_string(), "max_body: found 2GiB, expected at most 1GiB");
}
