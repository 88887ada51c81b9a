use proptest::prelude::*;

use super::*;

const RANGE: std::ops::Range<u64> = 1 << MIN_EXP..1 << MAX_EXP;

fn of(nanos: &[u64]) -> Snapshot {
    let histogram = Histogram::new();
    for &n in nanos {
        histogram.record(Duration::from_nanos(n));
    }
    histogram.snapshot()
}

/// Durations spread over the magnitudes rather than over the numbers, or nearly all would be hours.
fn any_magnitude() -> impl Strategy<Value = u64> {
    (any::<u64>(), 0_u32..64).prop_map(|(n, shift)| n >> shift)
}

#[test]
fn each_bucket_begins_where_the_one_before_ends() {
    let snapshot = Snapshot::default();
    let buckets: Vec<_> = snapshot.buckets().collect();
    assert_eq!(buckets.len(), BUCKETS);
    assert_eq!(buckets[0].lower, Duration::ZERO);
    for pair in buckets.windows(2) {
        assert_eq!(pair[0].upper, Some(pair[1].lower));
        assert!(pair[0].lower < pair[1].lower);
    }
    assert_eq!(buckets[1].lower, Duration::from_nanos(RANGE.start));
    assert_eq!(buckets[BUCKETS - 1].lower, Duration::from_nanos(RANGE.end));
    assert_eq!(buckets[BUCKETS - 1].upper, None);
}

#[test]
fn the_bounds_of_a_bucket_belong_where_they_say() {
    for i in 1..BUCKETS {
        assert_eq!(index(lower(i)), i);
        assert_eq!(index(lower(i) - 1), i - 1);
    }
    assert_eq!(index(0), 0);
    assert_eq!(index(u64::MAX), BUCKETS - 1);
}

#[test]
fn nothing_recorded_has_no_quantile() {
    let empty = Snapshot::default();
    assert_eq!((empty.count(), empty.sum()), (0, Duration::ZERO));
    assert_eq!(empty.mean(), None);
    assert_eq!(empty.quantile(0.5), None);
}

#[test]
fn a_quantile_outside_its_range_is_the_nearer_end() {
    let snapshot = of(&[2_000, 2_000_000]);
    assert_eq!(snapshot.quantile(-1.0), snapshot.quantile(0.0));
    assert_eq!(snapshot.quantile(7.0), snapshot.quantile(1.0));
    assert!(snapshot.quantile(f64::NAN).is_some());
    assert_ne!(snapshot.quantile(0.0), snapshot.quantile(1.0));
}

#[test]
fn a_histogram_stays_within_its_memory() {
    assert!(size_of::<Histogram>() <= 2432, "{}", size_of::<Histogram>());
}

#[test]
fn threads_lose_nothing() {
    let histogram = Histogram::new();
    std::thread::scope(|s| {
        for thread in 1..=4_u64 {
            let histogram = &histogram;
            s.spawn(move || (0..5_000).for_each(|_| histogram.record(Duration::from_micros(thread))));
        }
    });
    let snapshot = histogram.snapshot();
    assert_eq!(snapshot.count(), 20_000);
    assert_eq!(snapshot.sum(), Duration::from_micros(5_000 * 10));
}

proptest! {
    #[test]
    fn every_duration_lies_in_its_bucket(nanos in any_magnitude()) {
        let i = index(nanos);
        prop_assert!(lower(i) <= nanos);
        prop_assert!(i + 1 == BUCKETS || nanos < lower(i + 1));
    }

    #[test]
    fn quantiles_keep_the_promised_precision(
        mut nanos in prop::collection::vec((RANGE, 0_u32..32).prop_map(|(n, shift)| (n >> shift).max(RANGE.start)), 1..300),
        q in 0.0..=1.0_f64,
    ) {
        let snapshot = of(&nanos);
        nanos.sort_unstable();
        let rank = ((q * nanos.len() as f64).ceil() as usize).max(1);
        let exact = nanos[rank - 1] as f64;
        let read = snapshot.quantile(q).expect("not empty").as_nanos() as f64;
        prop_assert!((read - exact).abs() <= exact * 0.0625, "{read} for {exact}");
    }

    #[test]
    fn count_and_sum_are_exact(nanos in prop::collection::vec(0_u64..1 << 50, 0..100)) {
        let snapshot = of(&nanos);
        prop_assert_eq!(snapshot.count(), nanos.len() as u64);
        prop_assert_eq!(snapshot.buckets().map(|b| b.count).sum::<u64>(), nanos.len() as u64);
        prop_assert_eq!(snapshot.sum(), Duration::from_nanos(nanos.iter().sum()));
    }

    #[test]
    fn a_merge_is_as_if_one_had_counted_both(
        a in prop::collection::vec(any_magnitude(), 0..50),
        b in prop::collection::vec(any_magnitude(), 0..50),
    ) {
        let mut merged = of(&a);
        merged.merge(&of(&b));
        prop_assert_eq!(merged, of(&[a, b].concat()));
    }
}
