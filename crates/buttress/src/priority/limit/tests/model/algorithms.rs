//! What each algorithm makes of samples.

use super::{
    naive::{Latency, Naive},
    *,
};

/// A stretch of a service's life: so many calls, in milliseconds each, give or take a part.
#[derive(Clone, Debug)]
struct Stretch {
    calls: usize,
    micros: u64,
    /// Percent.
    spread: u64,
    in_flight: u32,
    /// So many of a hundred calls found the limit reached, or were dropped.
    limited: u32,
    dropped: u32,
    seed: u64,
}

fn stretches() -> impl Strategy<Value = Vec<Stretch>> {
    let often = || prop_oneof![Just(0), Just(100), 0..100_u32];
    let dropped = prop_oneof![4 => Just(0), 1 => 0..30_u32];
    let micros = prop_oneof![10_000..20_000_u64, 100..200_000_u64];
    let spread = prop_oneof![Just(0), 0..10_u64, 0..100_u64];
    let stretch = (
        1..400_usize,
        micros,
        spread,
        1..60_u32,
        often(),
        dropped,
        any::<u64>(),
    );
    let stretch = stretch.prop_map(
        |(calls, micros, spread, in_flight, limited, dropped, seed)| Stretch {
            calls,
            micros,
            spread,
            in_flight,
            limited,
            dropped,
            seed,
        },
    );
    prop::collection::vec(stretch, 1..12)
}

fn samples(stretches: Vec<Stretch>) -> impl Iterator<Item = Sample> {
    let mut now = Duration::ZERO;
    stretches.into_iter().flat_map(move |stretch| {
        let mut random = fastrand::Rng::with_seed(stretch.seed);
        let calls = 0..stretch.calls;
        let sample = |_| {
            let off = stretch.micros * stretch.spread / 100;
            let latency = Duration::from_micros(random.u64(stretch.micros - off..=stretch.micros + off));
            // Calls end in order, so many at a time.
            now += latency / stretch.in_flight;
            let in_flight = random.u32(1..=stretch.in_flight);
            let limited = random.u32(0..100) < stretch.limited;
            let sample = Sample::new(now.saturating_sub(latency), latency, in_flight, limited);
            if random.u32(0..100) < stretch.dropped {
                sample.dropped()
            } else {
                sample
            }
        };
        calls.map(sample).collect::<Vec<_>>()
    })
}

/// The limit after each sample is what `naive` makes of the one before, and what every limit promises.
fn compare(
    adaptive: Adaptive,
    bounds: (u32, u32, u32),
    samples: impl Iterator<Item = Sample>,
    mut naive: impl FnMut(&Sample, f64) -> f64,
) -> Result<(), TestCaseError> {
    let (min, initial, max) = bounds;
    let mut controller = Concurrency::from(within(adaptive, bounds))
        .controller()
        .expect("it adapts");
    let mut limit = f64::from(initial);
    for (number, sample) in samples.enumerate() {
        let before = limit;
        limit = naive(&sample, limit).clamp(min.into(), max.into());
        let got = controller.observe(&sample);
        // Sums in another order differ in their last bits: near a whole number either is right.
        let is_near = (limit.round() - limit).abs() < 1e-6 && f64::from(got).round() == limit.round() - 1.0;
        prop_assert!(
            got == limit as u32 || is_near,
            "{got}, not {limit}, after {before} by sample {number}: {sample:?}"
        );
        prop_assert!((min..=max).contains(&got));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(60) })]

    #[test]
    fn additive_increase_and_multiplicative_decrease(
        bounds in bounds(), backoff in 0.5..0.99, slow in prop::option::of(100..50_000_u64), stretches in stretches()
    ) {
        let slow = slow.map(Duration::from_micros);
        let stretches = stretches.into_iter().take(4).collect();
        let mut naive = Naive::new(backoff, slow);
        let aimd = Aimd::new().backoff(backoff).slow_after(slow);
        compare(aimd.into(), bounds, samples(stretches), |sample, limit| naive.observe(sample, limit))?;
    }

    #[test]
    fn vegas_from_lists_of_samples(bounds in bounds(), stretches in stretches()) {
        let mut naive = Latency::vegas();
        compare(Vegas::new().into(), bounds, samples(stretches), |sample, limit| naive.observe(sample, limit))?;
    }

    #[test]
    fn gradient2_from_lists_of_samples(
        bounds in bounds(), tolerance in 1.05..3.0, stretches in stretches()
    ) {
        let mut naive = Latency::gradient2(tolerance);
        let gradient2 = Gradient2::new().tolerance(tolerance);
        compare(gradient2.into(), bounds, samples(stretches), |sample, limit| naive.observe(sample, limit))?;
    }
}
