use super::{
    LimitAlgorithm, Sample,
    knee::{Baseline, Knee},
    round::Round,
};

/// By the gradient between the long-term average of the latency and that of now: Netflix's `Gradient2Limit`, with guards.
///
/// The gradient is the latency of now over the average. Up to the tolerance (1.1, the variance that is no sign of load) the
/// limit grows, the faster the less of the tolerance is used; a little beyond it is left alone; further on it shrinks to
/// what is in flight, divided by the gradient. Netflix moves the limit a fifth of the way each time and adds a fixed slack;
/// here a round is as long as it takes to know the latency, so that there is no need to go slowly.
///
/// # Guards
///
/// An average learns whatever lasts. Under overload it learns that calls are slow, the gradient goes back to 1, the limit
/// grows, calls are slower still: in Netflix's version it creeps upward as long as the overload lasts. Against that, as
/// in failsafe-go, stands the *correlation* of the last 16 rounds: where more calls in flight have not meant more
/// throughput, but more latency, the limit is past what the service can do. Then it steps back, for a round, to 80 % of
/// what the service is seen to work on, and the average is lowered to what is seen there. Where throughput has not grown in
/// 32 rounds that is done even if latency says nothing. And where the limit stands at its minimum, calls take as long as
/// they take: that is the average then.
///
/// The average is quick to learn that calls have become faster, and slow to learn that they have become slower, which they
/// are under load.
///
/// # When it fails
///
/// A service that has become slower for good is held for overloaded until the average has followed, for some hundreds of
/// rounds, or until the limit is at its minimum. And it is no better than its samples: what varies widely takes many calls
/// to be measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Gradient2 {
    pub(super) tolerance: f64,
}

impl Default for Gradient2 {
    fn default() -> Self {
        Self::new()
    }
}

impl Gradient2 {
    /// With a tolerance of 1.1.
    #[must_use]
    pub const fn new() -> Self {
        Self { tolerance: 1.1 }
    }

    /// How much longer than on average calls may take before it is a sign of load: 1.05 up to 3. It is also how much more is
    /// in flight than the service can work on.
    #[must_use]
    pub const fn tolerance(mut self, factor: f64) -> Self {
        self.tolerance = factor;
        self
    }
}

/// Rounds over which the average is taken, downward and upward, and the most that one round adds to it.
const FASTER: f64 = 20.0;
const SLOWER: f64 = 200.0;
const AT_MOST: f64 = 0.002;

/// Rounds that are correlated.
const REMEMBERED: usize = 16;

#[derive(Debug)]
pub(super) struct State(Knee<Average>);

impl State {
    pub(super) fn new(options: &Gradient2) -> Self {
        Self(Knee::new(Average::new(), options.tolerance - 1.0))
    }
}

impl LimitAlgorithm for State {
    fn observe(&mut self, sample: &Sample, limit: f64) -> f64 {
        self.0.observe(sample, limit)
    }
}

/// The average of the latency, with the rounds by which it is guarded: in flight, latency and throughput.
#[derive(Debug)]
struct Average {
    rounds: [[f64; 3]; REMEMBERED],
    count: usize,
}

impl Baseline for Average {
    fn learn(&mut self, average: &mut f64, round: &Round) -> bool {
        let above = round.latency - *average;
        *average += match above < 0.0 {
            true => above / FASTER,
            false => (above / SLOWER).min(*average * AT_MOST),
        };
        if !round.settled {
            return false;
        }
        let throughput = round.in_flight / round.latency;
        self.rounds[self.count % REMEMBERED] = [round.in_flight, round.latency, throughput];
        self.count += 1;
        let is_past = round.limited && self.is_past_the_knee();
        if is_past {
            self.count = 0;
        }
        is_past
    }

    fn probed(&mut self, average: &mut f64, round: &Round) {
        *average = average.min(round.latency);
    }
}

impl Average {
    const fn new() -> Self {
        Self {
            rounds: [[0.0; 3]; REMEMBERED],
            count: 0,
        }
    }

    /// Have more calls in flight meant no more throughput? Where they have meant more latency, too, half the rounds are
    /// enough to say so.
    fn is_past_the_knee(&self) -> bool {
        if self.count < REMEMBERED || self.correlation(0, 2) >= 0.3 {
            return false;
        }
        self.count >= 2 * REMEMBERED || self.correlation(0, 1) > 0.5
    }

    /// Pearson's; 0 where one of the two does not change.
    fn correlation(&self, x: usize, y: usize) -> f64 {
        let n = REMEMBERED as f64;
        let mean = |i: usize| self.rounds.iter().map(|round| round[i]).sum::<f64>() / n;
        let (mean_x, mean_y) = (mean(x), mean(y));
        let (mut xy, mut xx, mut yy) = (0.0, 0.0, 0.0);
        for round in &self.rounds {
            let (dx, dy) = (round[x] - mean_x, round[y] - mean_y);
            xy += dx * dy;
            xx += dx * dx;
            yy += dy * dy;
        }
        // What changes by less than a hundredth does not change.
        let is_still = |sum: f64, mean: f64| (sum / n).sqrt() < mean.abs() / 100.0;
        if is_still(xx, mean_x) || is_still(yy, mean_y) {
            return 0.0;
        }
        xy / (xx * yy).sqrt()
    }
}
