//! Random calls through a retry, many at a time, against [`naive::Naive`]: when each attempt is made, what becomes of the
//! call and when, and what stands in the books.
//!
//! `PROPTEST_CASES=10000 cargo test -p buttress --all-features --lib retry::tests::model` looks further.

use proptest::prelude::*;

use self::naive::{Config, Naive, Shape};
use super::*;
use crate::{
    CallContext, Verdict,
    budget::Budget,
    test_services::{Cue, End, Fault, Line, Play, judge, paused, perform},
};

mod naive;

/// Every time is so many milliseconds times a number, and each call has two of the remainders to itself, so no two calls
/// do anything at the same moment.
const GRAIN: u64 = 16;

/// A call, and what it comes upon.
#[derive(Clone, Debug)]
struct Call {
    at: u64,
    gives_up: Option<u64>,
    /// After so long.
    deadline: Option<u64>,
    script: Vec<Line>,
}

fn grains(most: u64) -> impl Strategy<Value = u64> + Clone {
    (0..most).prop_map(|n| n * GRAIN)
}

fn ends() -> impl Strategy<Value = End> {
    let verdict = prop_oneof![
        6 => Just(Verdict::Failure),
        2 => Just(Verdict::Throttled),
        1 => Just(Verdict::Neutral),
    ];
    let fault = (
        verdict,
        prop::option::weighted(0.3, grains(30)),
        prop::bool::weighted(0.05),
    );
    let fault = fault.prop_map(|(verdict, asked, forbids)| Fault {
        verdict,
        asked,
        forbids,
    });
    prop_oneof![
        2 => Just(End::Answer),
        4 => fault.clone().prop_map(End::Poor),
        8 => fault.prop_map(End::Fault),
        1 => Just(End::Panic),
    ]
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let line = (prop_oneof![Just(0), grains(20)], ends()).prop_map(|(takes, end)| Line { takes, end });
    let call = (
        grains(60),
        prop::option::weighted(0.2, grains(60)),
        prop::option::weighted(0.3, grains(60)),
        prop::collection::vec(line, 1..6),
    );
    let call = call.prop_map(|(at, gives_up, deadline, script)| Call {
        at,
        gives_up,
        deadline,
        script,
    });
    prop::collection::vec(call, 1..=GRAIN as usize / 2).prop_map(|mut calls| {
        for (number, call) in calls.iter_mut().enumerate() {
            let number = number as u64;
            call.at += 2 * number;
            call.gives_up = call.gives_up.map(|after| call.at + after + 1);
        }
        calls
    })
}

fn configs() -> impl Strategy<Value = Config> {
    let shape = prop_oneof![
        (1..4_u64).prop_map(Shape::Exponential),
        Just(Shape::Constant),
        Just(Shape::Linear),
        Just(Shape::Fibonacci),
    ];
    let waits = (shape, 1..10_u64, 0..20_u64);
    let limits = (
        prop::option::weighted(0.5, grains(60).prop_map(|time| time + GRAIN)),
        grains(30).prop_map(|time| time + GRAIN),
    );
    let budget = prop::option::weighted(0.5, 1..6_u32);
    (1..6_u32, waits, limits, budget).prop_map(
        |(max_attempts, (shape, initial, more), (elapsed, asked), budget)| Config {
            max_attempts,
            shape,
            initial: initial * GRAIN,
            cap: (initial + more) * GRAIN,
            max_elapsed: elapsed,
            max_retry_after: asked,
            budget,
        },
    )
}

fn options(config: &Config) -> RetryBuilder {
    let (backoff, multiplier) = match config.shape {
        Shape::Exponential(multiplier) => (Backoff::Exponential, multiplier as f64),
        Shape::Constant => (Backoff::Constant, 1.0),
        Shape::Linear => (Backoff::Linear, 1.0),
        Shape::Fibonacci => (Backoff::Fibonacci, 1.0),
    };
    plain()
        .max_attempts(config.max_attempts)
        .backoff(backoff)
        .multiplier(multiplier)
        .initial_backoff(ms(config.initial))
        .max_backoff(ms(config.cap))
        .max_elapsed(config.max_elapsed.map(ms))
        .max_retry_after(ms(config.max_retry_after))
        .budget(config.budget.map(|a_second| Budget::new(0.0, a_second)))
}

async fn run(options: RetryBuilder, naive: &mut Naive, calls: &[Call]) {
    let play = Play::new(calls.iter().map(|call| call.script.clone()).collect());
    let retry = options.build().expect("valid");
    let service = retry.layer_for(Plain::classify(judge)).layer(play.clone());
    let cues: Vec<_> = calls
        .iter()
        .map(|call| Cue {
            at: call.at,
            gives_up: call.gives_up,
        })
        .collect();
    let fates = perform(&cues, |number| {
        let (service, deadline) = (service.clone(), calls[number].deadline);
        async move {
            let mut context = CallContext::new();
            if let Some(after) = deadline {
                context.limit_deadline(clock::now() + ms(after));
            }
            let tally = context.tally().clone();
            let answer = context.scope(service.oneshot(number)).await;
            (answer.map_err(fault), tally.attempts())
        }
    });
    let fates = fates.await;
    let expected = naive.perform(calls);
    let made = play.made();
    for (number, (fate, call)) in fates.iter().zip(&expected).enumerate() {
        assert_eq!(*fate, call.fate, "of call {number}");
        let at: Vec<_> = made[number].iter().map(|made| (made.at, made.until)).collect();
        let expected: Vec<_> = call
            .attempts
            .iter()
            .map(|(at, until)| (*at, Some(*until)))
            .collect();
        assert_eq!(at, expected, "the attempts at call {number}");
        let numbers = made[number].iter().map(|made| made.attempt);
        assert!(numbers.eq(1..=made[number].len() as u32), "of call {number}");
    }
    let books = retry.snapshot();
    let books = naive::Books {
        calls: books.calls,
        retries: books.retries,
        recovered: books.recovered,
        out_of_attempts: books.out_of_attempts,
        out_of_time: books.out_of_time,
        out_of_budget: books.out_of_budget,
        forbidden: books.forbidden,
        not_repeatable: books.not_repeatable,
    };
    assert_eq!(books, naive.books);
}

fn fault(error: Error<Fault>) -> Fault {
    match error {
        Error::Inner(fault) => fault,
        Error::Rejected(rejected) => panic!("nobody refuses anything: {rejected}"),
    }
}

/// The same jitters as the options', whose waits must be foretold one call after the other.
fn jitters() -> impl Strategy<Value = Jitter> {
    prop_oneof![
        Just(Jitter::Full),
        Just(Jitter::Equal),
        Just(Jitter::Decorrelated),
        (0.0..=1.0).prop_map(Jitter::Range),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn a_retry_agrees_with_a_naive_one(config in configs(), calls in calls()) {
        paused().block_on(async {
            let mut naive = Naive::new(config.clone(), None);
            run(options(&config), &mut naive, &calls).await;
        });
    }

    /// One call at a time, so that it is known who draws.
    #[test]
    fn waits_are_as_long_as_a_seed_says(
        config in configs(), jitter in jitters(), seed in any::<u64>(), calls in calls()
    ) {
        paused().block_on(async {
            let calls: Vec<_> = calls.into_iter().enumerate().map(|(number, call)| {
                // Nobody is at it for that long.
                let later = number as u64 * 1_000_000;
                let gives_up = call.gives_up.map(|at| at + later);
                Call { at: call.at + later, gives_up, ..call }
            }).collect();
            let config = match jitter {
                // It is a backoff by itself, and needs some room.
                Jitter::Decorrelated => Config {
                    shape: Shape::Exponential(2),
                    cap: config.cap + GRAIN,
                    ..config
                },
                _ => config,
            };
            let mut naive = Naive::new(config.clone(), Some((jitter, seed)));
            run(options(&config).jitter(jitter).seed(seed), &mut naive, &calls).await;
        });
    }
}
