//! Medians, and how sure one can be of them.

const RESAMPLES: usize = 10_000;

/// The median; of an even number, the mean of the two in the middle.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}

/// The lower end of the 95 % interval of the median, by the percentile bootstrap (Efron 1979).
pub(crate) fn lower_bound_of_median(values: &[f64]) -> f64 {
    // Seeded: the same figures give the same answer.
    let mut random = fastrand::Rng::with_seed(42);
    let mut medians: Vec<_> = (0..RESAMPLES)
        .map(|_| {
            let resample: Vec<_> = values
                .iter()
                .map(|_| values[random.usize(..values.len())])
                .collect();
            median(&resample)
        })
        .collect();
    medians.sort_by(f64::total_cmp);
    medians[RESAMPLES / 40]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn the_bound_is_below_and_nearer_the_more_is_known() {
        let noisy = |n: u32| (0..n).map(|i| 1.0 + f64::from(i % 7) / 100.0).collect::<Vec<_>>();
        let (few, many) = (noisy(14), noisy(700));
        assert!(lower_bound_of_median(&few) < median(&few));
        assert!(lower_bound_of_median(&many) >= lower_bound_of_median(&few));
        assert_eq!(lower_bound_of_median(&[1.0; 20]), 1.0);
    }
}
