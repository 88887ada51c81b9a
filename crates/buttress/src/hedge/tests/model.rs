//! Random calls through a hedge, many at a time, against [`naive::Naive`]: when each attempt is made and dropped, which of
//! them the caller hears of, and what stands in the books.
//!
//! `PROPTEST_CASES=10000 cargo test -p buttress --all-features --lib hedge::tests::model` looks further.

use proptest::prelude::*;

use self::naive::{Config, Naive};
use super::*;
use crate::{
    CallContext, Plain, Verdict, clock,
    test_services::{Cue, End, Fault, Line, Play, judge, ms, paused, perform},
};

mod naive;

/// Every time is so many milliseconds times a number, and each call has two of the remainders to itself, so no two calls
/// do anything at the same moment.
const GRAIN: u64 = 16;

/// A call, and what its two attempts come upon.
#[derive(Clone, Debug)]
struct Call {
    at: u64,
    gives_up: Option<u64>,
    /// After so long.
    deadline: Option<u64>,
    script: [Line; 2],
}

fn grains(most: u64) -> impl Strategy<Value = u64> + Clone {
    (0..most).prop_map(|n| n * GRAIN)
}

fn lines() -> impl Strategy<Value = Line> {
    let verdict = prop_oneof![
        6 => Just(Verdict::Failure),
        1 => Just(Verdict::Throttled),
        1 => Just(Verdict::Neutral),
    ];
    let fault = (
        verdict,
        prop::option::weighted(0.2, grains(2)),
        prop::bool::weighted(0.3),
    );
    let fault = fault.prop_map(|(verdict, asked, forbids)| Fault {
        verdict,
        asked,
        forbids,
    });
    let end = prop_oneof![
        6 => Just(End::Answer),
        4 => fault.clone().prop_map(End::Poor),
        4 => fault.prop_map(End::Fault),
        1 => Just(End::Panic),
        1 => Just(End::Never),
    ];
    let takes = prop_oneof![1 => Just(0), 6 => grains(12)];
    (takes, end).prop_map(|(takes, end)| Line { takes, end })
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let call = (
        grains(60),
        prop::option::weighted(0.3, grains(20)),
        prop::option::weighted(0.3, grains(16)),
        [lines(), lines()],
    );
    let call = call.prop_map(|(at, gives_up, deadline, script)| Call {
        at,
        gives_up,
        deadline,
        script,
    });
    prop::collection::vec(call, 1..=GRAIN as usize / 2).prop_map(|mut calls| {
        for (number, call) in calls.iter_mut().enumerate() {
            call.at += 2 * number as u64;
            if call.script.iter().any(|line| line.end == End::Never) {
                // Somebody must come to an end.
                call.gives_up.get_or_insert(40 * GRAIN);
            }
            call.gives_up = call.gives_up.map(|after| call.at + after + 1);
        }
        calls
    })
}

fn configs() -> impl Strategy<Value = Config> {
    let budget = prop::option::weighted(0.5, 1..4_u32);
    (1..10_u64, budget).prop_map(|(after, budget)| Config {
        after: after * GRAIN,
        budget,
    })
}

async fn run(config: Config, calls: &[Call]) {
    let play = Play::new(calls.iter().map(|call| call.script.to_vec()).collect());
    let budget = config.budget.map(|a_second| Budget::new(0.0, a_second));
    let hedge = Hedge::builder()
        .after(ms(config.after))
        .budget(budget)
        .build()
        .expect("valid");
    let service = hedge.layer_for(Plain::classify(judge)).layer(play.clone());
    let cue = |call: &Call| Cue {
        at: call.at,
        gives_up: call.gives_up,
    };
    let cues: Vec<_> = calls.iter().map(cue).collect();
    let fates = perform(&cues, |number| {
        let (service, deadline) = (service.clone(), calls[number].deadline);
        async move {
            let mut context = CallContext::new();
            if let Some(after) = deadline {
                context.limit_deadline(clock::now() + ms(after));
            }
            let mut call = Box::pin(context.scope(service.oneshot(number)));
            let answer = call.as_mut().await;
            // What has lost is gone though somebody keeps the call.
            std::mem::forget(call);
            answer.map_err(|error| match error {
                Error::Inner(fault) => fault,
                Error::Rejected(rejected) => panic!("nobody refuses anything: {rejected}"),
            })
        }
    });
    let fates = fates.await;
    let mut naive = Naive::new(config);
    let expected = naive.perform(calls);
    for (number, told) in expected.iter().enumerate() {
        assert_eq!(fates[number], told.fate, "of call {number}");
        let made = &play.made()[number];
        let times: Vec<_> = made.iter().map(|made| (made.at, made.until)).collect();
        let expected: Vec<_> = told
            .attempts
            .iter()
            .map(|(at, until)| (*at, Some(*until)))
            .collect();
        assert_eq!(times, expected, "the attempts at call {number}");
        assert!(
            made.iter().map(|made| made.attempt).eq(1..=made.len() as u32),
            "of call {number}"
        );
    }
    let books = hedge.snapshot();
    let books = naive::Books {
        calls: books.calls,
        hedges: books.hedges,
        after_failure: books.after_failure,
        won: books.won,
        out_of_time: books.out_of_time,
        out_of_budget: books.out_of_budget,
    };
    assert_eq!(books, naive.books);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn a_hedge_agrees_with_a_naive_one(config in configs(), calls in calls()) {
        paused().block_on(run(config, &calls));
    }
}
