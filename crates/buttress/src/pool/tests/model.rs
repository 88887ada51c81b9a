//! Long random histories, driven through a pool and through [`naive::Naive`], which says where each call may go, what
//! becomes of it, and what the pool knows and tells after each step.
//!
//! `PROPTEST_CASES=10000 cargo test -p buttress --all-features --lib pool::tests::model` looks further.

use proptest::prelude::{Strategy as Any, *};

use self::{
    naive::{Config, Millis, Rules},
    place::{Ending, Readiness},
    stage::Stage,
};
use super::*;
use crate::{Verdict, pool::Strategy};

mod found;
mod naive;
mod place;
mod stage;
#[cfg(feature = "rate-limit")]
mod turns;

/// Something that happens. Where a call or an endpoint is meant, the number chooses among those that there are.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A call, which is looked at at once or later.
    Call(bool),
    Look(usize),
    End(usize, Ending),
    Drop(usize),
    Lease,
    /// Dropped, if nothing is said.
    GiveBack(usize, Option<Ending>),
    Ready(usize, Readiness),
    Check(usize, bool),
    Add(u32),
    Replace(usize, u32),
    Remove(usize),
    Drain(usize),
    Resume(usize),
    Weigh(usize, u32),
    Rebalance,
    Drill(usize, Hand),
    ResetAll,
    Wait(Wait),
    Reconfigure(usize, Config),
}

/// What is done to a breaker by hand.
#[derive(Clone, Copy, Debug)]
enum Hand {
    Open,
    ForceOpen,
    Close,
    Reset,
}

/// For how long. The moments at which something ends are met exactly, or missed by a millisecond to either side.
#[derive(Clone, Copy, Debug)]
enum Wait {
    For(Millis),
    End(usize, i64),
}

fn which() -> impl Any<Value = usize> {
    any::<usize>()
}

fn endings() -> impl Any<Value = Ending> {
    prop_oneof![
        6 => Just(Ending::Success),
        6 => Just(Ending::Failure),
        1 => Just(Ending::Neutral),
        4 => prop::option::of(1..300_u64).prop_map(Ending::Throttled),
        1 => Just(Ending::Panic),
    ]
}

/// What a lease may be told.
fn told() -> impl Any<Value = Option<Ending>> {
    prop::option::weighted(0.8, endings()).prop_map(|ending| ending.filter(|ending| *ending != Ending::Panic))
}

fn readiness() -> impl Any<Value = Readiness> {
    prop_oneof![
        5 => Just(Readiness::Ready),
        5 => Just(Readiness::NotReady),
        2 => Just(Readiness::Broken),
        1 => Just(Readiness::Panics),
    ]
}

fn hands() -> impl Any<Value = Hand> {
    prop_oneof![
        Just(Hand::Open),
        Just(Hand::ForceOpen),
        Just(Hand::Close),
        Just(Hand::Reset)
    ]
}

fn waits() -> impl Any<Value = Wait> {
    prop_oneof![
        2 => (1..200_u64).prop_map(Wait::For),
        3 => (which(), -1..=1_i64).prop_map(|(i, off)| Wait::End(i, off)),
    ]
}

fn configs() -> impl Any<Value = Config> {
    let rules =
        (1..4_u32, 1..200_u64, 1..3_usize, 1..3_u32).prop_map(|(failures, open_for, probes, successes)| {
            Rules {
                failures,
                open_for,
                probes,
                successes,
            }
        });
    let checks = (1..4_u32, 1..4_u32);
    let times = (prop_oneof![Just(0), 1..300_u64], 0..200_u64);
    let breaker = prop::option::weighted(0.8, rules);
    (breaker, 0..4_u32, any::<bool>(), times, checks).prop_map(
        |(breaker, failover, panic_mode, (slow_start, max_retry_after), checks)| Config {
            breaker,
            failover,
            panic_mode,
            slow_start,
            max_retry_after,
            checks,
        },
    )
}

fn steps() -> impl Any<Value = Step> {
    let weight = || 1..5_u32;
    let calls = prop_oneof![
        10 => prop::bool::weighted(0.8).prop_map(Step::Call),
        2 => which().prop_map(Step::Look),
        16 => (which(), endings()).prop_map(|(i, ending)| Step::End(i, ending)),
        3 => which().prop_map(Step::Drop),
        4 => Just(Step::Lease),
        4 => (which(), told()).prop_map(|(i, told)| Step::GiveBack(i, told)),
    ];
    let endpoints = prop_oneof![
        12 => (which(), readiness()).prop_map(|(e, readiness)| Step::Ready(e, readiness)),
        10 => (which(), any::<bool>()).prop_map(|(e, is_well)| Step::Check(e, is_well)),
        3 => weight().prop_map(Step::Add),
        1 => (which(), weight()).prop_map(|(e, weight)| Step::Replace(e, weight)),
        2 => which().prop_map(Step::Remove),
        3 => which().prop_map(Step::Drain),
        4 => which().prop_map(Step::Resume),
        1 => (which(), weight()).prop_map(|(e, weight)| Step::Weigh(e, weight)),
        1 => Just(Step::Rebalance),
        4 => (which(), hands()).prop_map(|(e, hand)| Step::Drill(e, hand)),
        1 => Just(Step::ResetAll),
    ];
    let options = (0..8_usize, configs());
    prop_oneof![
        20 => calls,
        12 => endpoints,
        6 => waits().prop_map(Step::Wait),
        1 => options.prop_map(|(strategy, config)| Step::Reconfigure(strategy, config)),
    ]
}

/// The first that may be used, or one that may not, or none: the pool is to cope.
#[derive(Debug)]
struct Careless(Option<usize>);

impl Balance for Careless {
    fn name(&self) -> &'static str {
        "careless"
    }

    fn choose(&self, _: &Candidates<'_>) -> Option<usize> {
        self.0
    }
}

fn strategy(number: usize) -> Strategy {
    match STRATEGIES.get(number) {
        Some(strategy) => strategy.clone(),
        None => Strategy::custom(Careless((number % 2 == 0).then_some(1))),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(150) })]

    #[test]
    fn a_pool_agrees_with_a_naive_one(
        seed in any::<u64>(),
        config in configs(),
        balance in 0..8_usize,
        weights in prop::collection::vec(1..5_u32, 0..5),
        steps in prop::collection::vec(steps(), 0..150),
    ) {
        crate::random::foretell(seed);
        let runtime = crate::test_services::paused();
        runtime.block_on(async {
            let mut stage = Stage::new(config, strategy(balance), &weights);
            for step in steps {
                stage.perform(step).await;
            }
            stage.end().await;
        });
    }
}
