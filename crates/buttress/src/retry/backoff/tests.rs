use proptest::prelude::*;

use super::*;
use crate::random::Source;

const DAY: Duration = Duration::from_secs(24 * 3600);

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn waits(backoff: Backoff, jitter: Jitter) -> Waits {
    Waits {
        backoff,
        initial: ms(100),
        multiplier: 2.0,
        cap: Duration::from_secs(10),
        jitter,
    }
}

fn steps(backoff: Backoff) -> Vec<u64> {
    let waits = waits(backoff, Jitter::None);
    (1..=9)
        .map(|retry| waits.wait(retry, None, 0.5).as_millis() as u64)
        .collect()
}

#[test]
fn each_strategy_grows_as_its_name_says() {
    assert_eq!(
        steps(Backoff::Exponential),
        [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]
    );
    assert_eq!(steps(Backoff::Constant), [100; 9]);
    assert_eq!(
        steps(Backoff::Linear),
        [100, 200, 300, 400, 500, 600, 700, 800, 900]
    );
    assert_eq!(
        steps(Backoff::Fibonacci),
        [100, 100, 200, 300, 500, 800, 1300, 2100, 3400]
    );
    let own = Backoff::custom(|retry| Duration::from_secs(u64::from(retry * retry)));
    assert_eq!(
        steps(own),
        [1000, 4000, 9000, 10_000, 10_000, 10_000, 10_000, 10_000, 10_000]
    );
}

#[test]
fn the_thousandth_attempt_overflows_nothing() {
    let own = Backoff::custom(|_| Duration::MAX);
    for backoff in [
        Backoff::Exponential,
        Backoff::Linear,
        Backoff::Fibonacci,
        own,
        Backoff::Constant,
    ] {
        for retry in [1000, u32::MAX] {
            let wait = waits(backoff.clone(), Jitter::None).wait(retry, None, 0.0);
            let end = match backoff {
                Backoff::Constant => ms(100),
                _ => ms(10_000),
            };
            assert_eq!(wait, end, "{backoff:?}");
        }
    }
}

fn any_waits() -> impl Strategy<Value = Waits> {
    let backoff = prop_oneof![
        Just(Backoff::Exponential),
        Just(Backoff::Constant),
        Just(Backoff::Linear),
        Just(Backoff::Fibonacci),
        any::<u64>().prop_map(|nanos| Backoff::custom(move |retry| {
            Duration::from_nanos(nanos.wrapping_mul(retry.into()))
        })),
    ];
    let jitter = prop_oneof![
        Just(Jitter::Full),
        Just(Jitter::Equal),
        Just(Jitter::Decorrelated),
        Just(Jitter::None),
        (0.0..=1.0).prop_map(Jitter::Range),
    ];
    let bounds = (1..=86_400_000_000_000_u64, 1..=86_400_000_000_000_u64);
    let multiplier = prop_oneof![1.0..3.0, 1.0..1e300];
    (backoff, jitter, bounds, multiplier).prop_map(|(backoff, jitter, (a, b), multiplier)| Waits {
        backoff,
        initial: Duration::from_nanos(a.min(b)),
        multiplier,
        cap: Duration::from_nanos(a.max(b)),
        jitter,
    })
}

proptest! {
    #[test]
    fn every_wait_is_within_the_bounds_of_its_formula(waits in any_waits(), seed: u64) {
        let source = Source::new(Some(seed));
        let mut previous = None;
        for retry in (1..=1000).step_by(7) {
            let wait = waits.wait(retry, previous, source.unit());
            let step = waits.step(retry);
            prop_assert!(wait <= waits.cap && step <= waits.cap);
            // A nanosecond for rounding.
            let tick = Duration::from_nanos(1);
            match waits.jitter {
                Jitter::Full => prop_assert!(wait <= step),
                Jitter::Equal => prop_assert!(wait + tick >= step / 2 && wait <= step),
                Jitter::Decorrelated => {
                    let before = previous.unwrap_or(waits.initial);
                    prop_assert!(wait >= waits.initial && wait <= before * 3);
                }
                Jitter::Range(r) => {
                    prop_assert!(wait + tick >= step.mul_f64(1.0 - r));
                    prop_assert!(wait <= step.mul_f64(1.0 + r) + tick);
                }
                Jitter::None => prop_assert_eq!(wait, step),
            }
            previous = Some(wait);
        }
    }

    #[test]
    fn a_seed_foretells_every_wait(waits in any_waits(), seed: u64) {
        let course = || {
            let source = Source::new(Some(seed));
            let mut previous = None;
            (1..50).map(|retry| {
                previous = Some(waits.wait(retry, previous, source.unit()));
                previous
            }).collect::<Vec<_>>()
        };
        prop_assert_eq!(course(), course());
    }
}

// ===== each jitter against its formula =====

const DRAWS: usize = 100_000;

/// Many waits of the given retry, in seconds.
fn draws(jitter: Jitter, retry: u32) -> Vec<f64> {
    let (waits, source) = (waits(Backoff::Exponential, jitter), Source::new(Some(42)));
    (0..DRAWS)
        .map(|_| waits.wait(retry, None, source.unit()).as_secs_f64())
        .collect()
}

/// Evenly spread over `low` to `high`: bounds that are reached, mean, variance, and each tenth of the way holds a
/// tenth of the draws.
fn assert_uniform(draws: &[f64], low: f64, high: f64) {
    let (span, n) = (high - low, draws.len() as f64);
    let mean = draws.iter().sum::<f64>() / n;
    let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
    assert!((mean - (low + high) / 2.0).abs() < 0.01 * span, "mean {mean}");
    assert!(
        (variance - span * span / 12.0).abs() < 0.02 * span * span / 12.0,
        "variance {variance}"
    );
    let mut tenths = [0_usize; 10];
    for x in draws {
        assert!((low - 1e-9..=high + 1e-9).contains(x), "{x}");
        tenths[(((x - low) / span * 10.0) as usize).min(9)] += 1;
    }
    for count in tenths {
        assert!(count.abs_diff(DRAWS / 10) < DRAWS / 200, "{tenths:?}");
    }
}

/// The second is where exponential backoff is at 400 ms, the other where it is at its cap of 10 s.
const RETRIES: [(u32, f64); 2] = [(3, 0.4), (20, 10.0)];

#[test]
fn full_jitter_is_anything_up_to_the_step() {
    for (retry, step) in RETRIES {
        assert_uniform(&draws(Jitter::Full, retry), 0.0, step);
    }
}

#[test]
fn equal_jitter_is_anything_in_the_upper_half() {
    for (retry, step) in RETRIES {
        assert_uniform(&draws(Jitter::Equal, retry), step / 2.0, step);
    }
}

#[test]
fn a_range_is_around_the_step_and_below_it_at_the_cap() {
    assert_uniform(&draws(Jitter::Range(0.1), 3), 0.36, 0.44);
    assert_uniform(&draws(Jitter::Range(0.1), 20), 9.0, 10.0);
    // The step is 6.4 s, and there is no room for all of it above.
    assert_uniform(&draws(Jitter::Range(1.0), 7), 0.0, 10.0);
}

#[test]
fn decorrelated_jitter_is_anything_up_to_three_times_the_last() {
    let (waits, source) = (
        waits(Backoff::Exponential, Jitter::Decorrelated),
        Source::new(Some(42)),
    );
    for (previous, high) in [
        (None, 0.3),
        (Some(ms(500)), 1.5),
        (Some(ms(10_000)), 10.0),
        (Some(Duration::MAX), 10.0),
    ] {
        let draws: Vec<_> = (0..DRAWS)
            .map(|i| waits.wait(i as u32, previous, source.unit()).as_secs_f64())
            .collect();
        assert_uniform(&draws, 0.1, high);
    }
}

#[test]
fn at_the_cap_the_waits_are_still_spread() {
    for jitter in [
        Jitter::Full,
        Jitter::Equal,
        Jitter::Decorrelated,
        Jitter::Range(0.1),
    ] {
        let (waits, source) = (waits(Backoff::Exponential, jitter), Source::new(Some(1)));
        let mut previous = None;
        let mut course = || {
            for retry in 1..=1000 {
                previous = Some(waits.wait(retry, previous, source.unit()));
            }
            previous.expect("a wait")
        };
        let last: Vec<_> = (0..1000).map(|_| course()).collect();
        let at_the_cap = last.iter().filter(|wait| **wait == waits.cap).count();
        assert!(at_the_cap <= 1, "{jitter:?}: {at_the_cap} of 1000 at the cap");
        assert!(last.iter().all(|wait| *wait <= waits.cap));
    }
}

#[test]
fn a_cap_of_a_day_is_no_trouble() {
    let mut waits = waits(Backoff::Fibonacci, Jitter::Equal);
    (waits.initial, waits.cap) = (Duration::from_nanos(1), DAY);
    assert!(waits.wait(1000, None, 0.999) <= DAY);
    assert_eq!(waits.step(1000), DAY);
}
