//! Where on the drawing a value is.

/// From values to places.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    low: f64,
    high: f64,
    ends: (f64, f64),
    is_log: bool,
}

impl Scale {
    /// `range` goes to `ends`.
    pub(super) fn new(range: (f64, f64), ends: (f64, f64), is_log: bool) -> Self {
        let (low, high) = range;
        // One value alone still has a place.
        let high = match high > low {
            true => high,
            false if is_log => low * 10.0,
            false => low + 1.0,
        };
        Self {
            low,
            high,
            ends,
            is_log,
        }
    }

    /// The place of a value.
    pub(super) fn at(&self, value: f64) -> f64 {
        let share = if self.is_log {
            (value / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        self.ends.0 + share * (self.ends.1 - self.ends.0)
    }

    /// Whether it has a place at all.
    pub(super) fn has(&self, value: f64) -> bool {
        value.is_finite() && (!self.is_log || value > 0.0)
    }

    /// The nearest value that is on the drawing.
    pub(super) fn clamp(&self, value: f64) -> f64 {
        value.clamp(self.low, self.high)
    }

    /// Where bars stand.
    pub(super) fn foot(&self) -> f64 {
        if self.is_log { self.low } else { self.clamp(0.0) }
    }

    /// Round values, about five of them.
    pub(super) fn ticks(&self) -> Vec<f64> {
        if self.is_log {
            return self.powers();
        }
        let rough = (self.high - self.low) / 5.0;
        let power = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0]
            .into_iter()
            .map(|times| times * power)
            .find(|step| *step >= rough)
            .unwrap_or(rough);
        let first = (self.low / step).ceil() as i64;
        let last = (self.high / step + 1e-9).floor() as i64;
        (first..=last).map(|n| n as f64 * step).collect()
    }

    /// 1, 10, 100; where these are few, 2 and 5 between them.
    fn powers(&self) -> Vec<f64> {
        let decades = (self.high / self.low).log10();
        let between: &[f64] = if decades > 3.0 { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let (first, last) = (self.low.log10().floor() as i32, self.high.log10().ceil() as i32);
        let all =
            (first..=last).flat_map(|power| between.iter().map(move |times| times * 10_f64.powi(power)));
        all.filter(|tick| (self.low..=self.high).contains(tick)).collect()
    }
}

/// The smallest and the largest of them.
pub(super) fn range(values: impl Iterator<Item = f64>, is_log: bool) -> Option<(f64, f64)> {
    let drawn = values.filter(|value| value.is_finite() && (!is_log || *value > 0.0));
    drawn.fold(None, |range, value| match range {
        None => Some((value, value)),
        Some((low, high)) => Some((value.min(low), value.max(high))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_within_the_range() {
        let ticks = |low, high, is_log| Scale::new((low, high), (0.0, 1.0), is_log).ticks();
        assert_eq!(ticks(0.0, 42.0, false), [0.0, 10.0, 20.0, 30.0, 40.0]);
        assert_eq!(ticks(-3.0, 3.0, false), [-2.0, 0.0, 2.0]);
        assert_eq!(ticks(9.0, 120.0, true), [10.0, 20.0, 50.0, 100.0]);
        assert_eq!(ticks(0.5, 20_000.0, true), [1.0, 10.0, 100.0, 1_000.0, 10_000.0]);
    }

    #[test]
    fn a_logarithm_gives_equal_room_to_equal_ratios() {
        let scale = Scale::new((1.0, 100.0), (0.0, 200.0), true);
        assert!((scale.at(10.0) - 100.0).abs() < 1e-9);
        assert!(!scale.has(0.0));
    }
}
