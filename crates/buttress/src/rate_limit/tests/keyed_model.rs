//! Keys that come and go, under a limit each: nobody can tell that the limits of those who were away have been given up
//! meanwhile, and that the map of them is small.
//!
//! `PROPTEST_CASES=10000 cargo test -p buttress --all-features --lib rate_limit::tests::keyed_model` looks further.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Copy, Debug)]
enum Step {
    Take(u8, u32),
    Peek(u8),
    /// A permit of those that were taken is given back unused.
    GiveBack(usize),
    Pass(u64),
}

fn steps() -> impl Strategy<Value = Step> {
    let key = || 0..8_u8;
    prop_oneof![
        10 => (key(), 1..4_u32).prop_map(|(key, permits)| Step::Take(key, permits)),
        2 => key().prop_map(Step::Peek),
        1 => any::<usize>().prop_map(Step::GiveBack),
        4 => prop_oneof![0..300_u64, 0..3000_u64, Just(1000), Just(2000)].prop_map(Step::Pass),
    ]
}

fn limit(algorithm: super::super::Algorithm, max_keys: usize) -> RateLimiter {
    let options = RateLimiter::per_second(4).algorithm(algorithm).max_keys(max_keys);
    // Some algorithms let a single one through at a time.
    options.idle(millis(1000)).build().expect("valid")
}

async fn run(algorithm: super::super::Algorithm, steps: Vec<Step>) {
    // One that forgets nobody, and one that has hardly room for all.
    let (limiter, reference) = (limit(algorithm, 8), [(); 8].map(|()| limit(algorithm, 1)));
    let mut permits = Vec::new();
    for step in steps {
        match step {
            Step::Take(key, n) => {
                let got = limiter.try_acquire_for(u64::from(key), n);
                let expected = reference[usize::from(key)].try_acquire(n);
                match (got, expected) {
                    (Ok(got), Ok(expected)) => {
                        // Whoever holds one holds the limit of its key.
                        permits.push((got, expected));
                        permits.drain(..permits.len().saturating_sub(2));
                    }
                    (Err(got), Err(expected)) => {
                        assert_eq!(
                            (got.kind(), got.retry_after()),
                            (expected.kind(), expected.retry_after())
                        );
                    }
                    (got, expected) => panic!("{got:?}, not {expected:?}, after {step:?}"),
                }
            }
            Step::Peek(key) => {
                let (got, expected) = (
                    limiter.peek_for(u64::from(key)),
                    reference[usize::from(key)].peek(),
                );
                assert_eq!(got.remaining, expected.remaining, "after {step:?}");
            }
            Step::GiveBack(i) if !permits.is_empty() => {
                let (got, expected) = permits.swap_remove(i % permits.len());
                got.give_back();
                expected.give_back();
            }
            Step::Pass(time) => advance(millis(time)).await,
            Step::GiveBack(_) => {}
        }
        let keys = limiter.snapshot().keys.expect("keys");
        assert_eq!(keys.overflowed, 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn nobody_notices_that_a_key_was_forgotten(
        algorithm in 0..super::super::Algorithm::ALL.len(), steps in prop::collection::vec(steps(), 0..150)
    ) {
        let algorithm = super::super::Algorithm::ALL[algorithm];
        crate::test_services::paused().block_on(run(algorithm, steps));
    }
}
