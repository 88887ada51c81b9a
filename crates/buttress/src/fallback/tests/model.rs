//! Random calls through a fallback, many at a time, against what [`naive::tell`] says of each: what its caller gets and
//! when, that the service's own attempt is gone before the fallback begins, and what stands in the books.
//!
//! `PROPTEST_CASES=10000 cargo test -p buttress --all-features --lib fallback::tests::model` looks further.

use proptest::prelude::*;

use self::naive::{Books, tell};
use super::*;
use crate::test_services::{self, Cue, End, Fault, Line, Play, Played, judge, ms, paused, perform};

mod naive;

/// A call, what it comes upon, and what the fallback does about it.
#[derive(Clone, Copy, Debug)]
struct Call {
    at: u64,
    gives_up: Option<u64>,
    line: Line,
    /// A rejection in place of its fault.
    refused: Option<RejectionKind>,
    takes: u64,
    does: Does,
}

/// What a fallback does.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Does {
    Answer,
    Decline,
    Fail,
    Panic,
    Never,
}

impl Reply<Error<Fault>> for Does {
    type Response = test_services::Reply;

    fn into_reply(self) -> Option<Played> {
        match self {
            Self::Answer => Some(Ok(test_services::Reply {
                attempt: BY_FALLBACK,
                but: None,
            })),
            Self::Fail => Some(Err(Error::Inner(FAILED))),
            Self::Decline | Self::Panic | Self::Never => None,
        }
    }
}

/// What the caller gets.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Heard {
    /// From the service, or from the fallback.
    Service,
    Fallback,
    /// What the service said.
    Fault(Fault),
    Poor(Fault),
    Rejected(RejectionKind),
    /// What the fallback said.
    Failed,
}

const BY_FALLBACK: u32 = 1000;
const FAILED: Fault = Fault {
    verdict: Verdict::Failure,
    asked: Some(1000),
    forbids: true,
};

fn even(most: u64) -> impl Strategy<Value = u64> + Clone {
    (0..most).prop_map(|n| n * 2)
}

fn conditions() -> impl Strategy<Value = Vec<Condition>> {
    let condition = prop_oneof![
        Just(Condition::AnyRejection),
        (0..KINDS.len()).prop_map(|kind| Condition::Rejection(KINDS[kind])),
        Just(Condition::Error),
        Just(Condition::Verdict(Verdict::Failure)),
        Just(Condition::Verdict(Verdict::Throttled)),
        Just(Condition::Verdict(Verdict::Neutral)),
        Just(Condition::HttpStatus(503)),
    ];
    prop::collection::vec(condition, 1..4)
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let verdict = prop_oneof![
        4 => Just(Verdict::Failure),
        1 => Just(Verdict::Throttled),
        1 => Just(Verdict::Neutral),
    ];
    let fault = verdict.prop_map(Fault::of);
    let end = prop_oneof![
        2 => Just(End::Answer),
        2 => fault.clone().prop_map(End::Poor),
        5 => fault.prop_map(End::Fault),
        1 => Just(End::Panic),
        1 => Just(End::Never),
    ];
    let does = prop_oneof![
        4 => Just(Does::Answer),
        2 => Just(Does::Decline),
        2 => Just(Does::Fail),
        1 => Just(Does::Panic),
        1 => Just(Does::Never),
    ];
    let refused = prop::option::weighted(0.4, (0..KINDS.len()).prop_map(|kind| KINDS[kind]));
    let times = (
        even(20),
        prop::option::weighted(0.3, even(40)),
        even(15),
        even(15),
    );
    let call = (times, end, refused, does).prop_map(|((at, gives_up, takes, then), end, refused, does)| {
        let waits_for_ever = end == End::Never || does == Does::Never;
        let gives_up = gives_up.or(waits_for_ever.then_some(100));
        Call {
            at,
            gives_up: gives_up.map(|after| at + after + 1),
            line: Line { takes, end },
            refused: refused.filter(|_| matches!(end, End::Fault(_))),
            takes: then,
            does,
        }
    });
    prop::collection::vec(call, 1..10)
}

async fn run(on: Option<Vec<Condition>>, calls: Vec<Call>) {
    let play = Play::new(calls.iter().map(|call| vec![call.line]).collect());
    let script: Arc<[Call]> = calls.clone().into();
    let inside = {
        let (play, script) = (play.clone(), script.clone());
        service_fn(move |number: usize| {
            let (played, refused) = (play.clone().call(number), script[number].refused);
            async move {
                match (played.await, refused) {
                    (Err(_), Some(kind)) => Err(Rejected::new(kind, "inside").into()),
                    (played, _) => played,
                }
            }
        })
    };
    let answers = {
        let play = play.clone();
        move |cause: Cause<'_, Error<Fault>, usize>| {
            let call = script[cause.kept];
            assert!(
                play.made()[cause.kept][0].until.is_some(),
                "the service's future is gone"
            );
            async move {
                if call.takes > 0 {
                    tokio::time::sleep(ms(call.takes)).await;
                }
                match call.does {
                    Does::Panic => test_services::panics(),
                    Does::Never => std::future::pending().await,
                    does => does,
                }
            }
        }
    };
    let mut options = Fallback::keep(|number: &usize| *number).with_async(answers);
    if let Some(on) = &on {
        options = options.on(on.iter().copied());
    }
    let fallback = options.build().expect("valid");
    let service = fallback.layer_for(Plain::classify(judge)).layer(inside);
    let cue = |call: &Call| Cue {
        at: call.at,
        gives_up: call.gives_up,
    };
    let cues: Vec<_> = calls.iter().map(cue).collect();
    let fates = perform(&cues, |number| {
        let service = service.clone();
        async move { heard(service.oneshot(number).await) }
    });
    let fates = fates.await;
    let mut books = Books::default();
    let expected: Vec<_> = calls
        .iter()
        .map(|call| tell(on.as_deref(), call, &mut books))
        .collect();
    assert_eq!(fates, expected);
    let state = fallback.snapshot();
    assert_eq!(state.answered, books.answered_for.values().sum::<u64>());
    assert_eq!(
        causes(&state)
            .into_iter()
            .collect::<std::collections::BTreeMap<_, _>>(),
        books.answered_for
    );
    assert_eq!(
        (state.declined, state.failed, state.not_repeatable),
        (books.declined, books.failed, 0)
    );
}

fn heard(played: Played) -> Heard {
    match played {
        Ok(reply) if reply.attempt == BY_FALLBACK => Heard::Fallback,
        Ok(reply) => reply.but.map_or(Heard::Service, Heard::Poor),
        Err(Error::Inner(FAILED)) => Heard::Failed,
        Err(Error::Inner(fault)) => Heard::Fault(fault),
        Err(Error::Rejected(rejected)) => Heard::Rejected(rejected.kind()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn a_fallback_agrees_with_a_naive_one(on in prop::option::weighted(0.7, conditions()), calls in calls()) {
        paused().block_on(run(on, calls));
    }
}
