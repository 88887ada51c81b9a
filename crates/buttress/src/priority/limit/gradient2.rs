use super::{
    LimitAlgorithm, Sample,
    round::{Round, Rounds},
};

/// By the gradient between the long-term average of the latency and that of now: Netflix's `Gradient2Limit`, with guards.
///
/// Each round the limit becomes `limit × gradient + slack`, where the gradient is `tolerance × average ÷ now`, at least one
/// half and at most 1; the tolerance (1.1) is the variance that is no sign of load, and the slack the decimal logarithm of
/// the limit, at least 1, or a quarter of the limit where latency is no more than usual. So it grows fast while nothing
/// waits, and comes to rest where a tenth more than the service can do at a time is in flight.
///
/// # Guards
///
/// An average learns whatever lasts. Under overload it learns that calls are slow, the gradient goes back to 1, the limit
/// grows, calls are slower still: in Netflix's version it creeps upward as long as the overload lasts. Against that, as
/// in failsafe-go, stands the *correlation* of the last 16 rounds: where more calls in flight have not meant more
/// throughput, but more latency, the limit is past what the service can do. Then it shrinks by the slack instead of
/// growing, and the average is taken down by a twentieth rather than learn from the round.
///
/// # When it fails
///
/// Correlations need change: with the limit and the load at rest there is nothing to correlate, and the average may creep
/// a little before the guard sees it. And a service that has become slower for good is held for overloaded until the
/// average has followed, some hundreds of rounds.
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

    /// How much longer than on average calls may take before it is a sign of load: 1 up to 3. What is above 1 is also how
    /// much more is in flight than the service can work on.
    #[must_use]
    pub const fn tolerance(mut self, factor: f64) -> Self {
        self.tolerance = factor;
        self
    }
}

/// Rounds over which the average is taken.
const AVERAGE: f64 = 300.0;

/// Rounds that are correlated.
const REMEMBERED: usize = 16;

/// Rounds until correlations mean anything.
const WARM: usize = 8;

#[derive(Debug)]
pub(super) struct State {
    options: Gradient2,
    rounds: Rounds,
    average: Option<f64>,
    learnt: f64,
    history: History,
}

impl State {
    pub(super) const fn new(options: Gradient2) -> Self {
        Self {
            options,
            rounds: Rounds::new(),
            average: None,
            learnt: 0.0,
            history: History::new(),
        }
    }

    fn decide(&mut self, round: Round, limit: f64) -> f64 {
        self.history.add(round);
        let average = *self.average.get_or_insert(round.latency);
        let slack = limit.log10().max(1.0);
        if round.limited && self.history.is_past_the_knee() {
            self.average = Some(average * 0.95);
            return limit - slack;
        }
        // Quick to learn that calls are faster, slow that they are slower; and quick in the beginning.
        self.learnt = (self.learnt + 1.0).min(AVERAGE);
        let weight = if round.latency < average {
            0.2
        } else {
            1.0 / self.learnt.max(10.0)
        };
        let average = average + (round.latency - average) * weight;
        self.average = Some(average);

        let gradient = (self.options.tolerance * average / round.latency).clamp(0.5, 1.0);
        if gradient < 1.0 {
            return limit * gradient + slack;
        }
        if !round.limited {
            return limit;
        }
        let is_usual = round.latency <= average * (1.0 + (self.options.tolerance - 1.0) / 4.0);
        limit + if is_usual { limit / 4.0 } else { slack }
    }
}

impl LimitAlgorithm for State {
    fn observe(&mut self, sample: &Sample, limit: f64) -> f64 {
        let wanted = if sample.dropped {
            if !self.rounds.is_current(sample) {
                return limit;
            }
            limit * 0.9
        } else {
            match self.rounds.add(sample, limit) {
                None => return limit,
                Some(round) => self.decide(round, limit),
            }
        };
        if wanted != limit {
            self.rounds.restart(sample);
        }
        wanted
    }
}

/// In flight, latency and throughput of the last rounds.
#[derive(Debug)]
struct History {
    rounds: [[f64; 3]; REMEMBERED],
    count: usize,
}

impl History {
    const fn new() -> Self {
        Self {
            rounds: [[0.0; 3]; REMEMBERED],
            count: 0,
        }
    }

    fn add(&mut self, round: Round) {
        self.rounds[self.count % REMEMBERED] =
            [round.in_flight, round.latency, round.in_flight / round.latency];
        self.count += 1;
    }

    /// Does latency go with the number in flight, and throughput not?
    fn is_past_the_knee(&self) -> bool {
        if self.count < WARM {
            return false;
        }
        let rounds = &self.rounds[..self.count.min(REMEMBERED)];
        correlation(rounds, 0, 1) > 0.5 && correlation(rounds, 0, 2) < 0.3
    }
}

/// Pearson's; 0 where one of the two does not change.
fn correlation(rounds: &[[f64; 3]], x: usize, y: usize) -> f64 {
    let n = rounds.len() as f64;
    let mean = |i: usize| rounds.iter().map(|r| r[i]).sum::<f64>() / n;
    let (mean_x, mean_y) = (mean(x), mean(y));
    let (mut xy, mut xx, mut yy) = (0.0, 0.0, 0.0);
    for round in rounds {
        let (dx, dy) = (round[x] - mean_x, round[y] - mean_y);
        xy += dx * dy;
        xx += dx * dx;
        yy += dy * dy;
    }
    // What changes by less than a hundredth does not change.
    let still = |sum: f64, mean: f64| (sum / n).sqrt() < mean.abs() / 100.0;
    if still(xx, mean_x) || still(yy, mean_y) {
        return 0.0;
    }
    xy / (xx * yy).sqrt()
}
