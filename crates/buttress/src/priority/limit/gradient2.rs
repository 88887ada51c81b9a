use super::{
    LimitAlgorithm, Sample,
    round::{Bottom, Round, Rounds},
};

/// By the gradient between the long-term average of the latency and that of now: Netflix's `Gradient2Limit`, with guards.
///
/// Each round the limit becomes `limit × gradient + slack`, where the gradient is `tolerance × average ÷ now`, at least one
/// half and at most 1; the tolerance (1.05) is the variance that is no sign of load, and the slack the decimal logarithm of
/// the limit, at least 1. Where latency is no more than the average the limit grows by a third instead, and by less the
/// further it is above. So it grows fast while nothing waits, and comes to rest where a little more than the service can do at a time is in flight.
///
/// # Guards
///
/// An average learns whatever lasts. Under overload it learns that calls are slow, the gradient goes back to 1, the limit
/// grows, calls are slower still: in Netflix's version it creeps upward as long as the overload lasts. Against that, as
/// in failsafe-go, stands the *correlation* of the last 16 rounds: where more calls in flight have not meant more
/// throughput, but more latency, the limit is past what the service can do. Then it steps back to 85 % for a round, and
/// what is seen there, where hardly anything waits, is the average if it is less. Where throughput has not grown in 32
/// rounds that is done even if latency says nothing. And where the limit stands at its minimum, calls take as long as they
/// take: that is the average then.
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
    /// With a tolerance of 1.05.
    #[must_use]
    pub const fn new() -> Self {
        Self { tolerance: 1.05 }
    }

    /// How much longer than on average calls may take before it is a sign of load: 1 up to 3. What is above 1 is also how
    /// much more is in flight than the service can work on.
    #[must_use]
    pub const fn tolerance(mut self, factor: f64) -> Self {
        self.tolerance = factor;
        self
    }
}

/// Rounds over which the average is taken: it is quick to learn that calls have become faster, and slow to learn that they
/// have become slower, which they are under load.
const FASTER: f64 = 10.0;
const SLOWER: f64 = 300.0;

/// Rounds that are correlated.
const REMEMBERED: usize = 16;

/// What the guard leaves of the limit.
const STEP_BACK: f64 = 0.85;

#[derive(Debug)]
pub(super) struct State {
    options: Gradient2,
    rounds: Rounds,
    average: Option<f64>,
    history: History,
    /// The guard has lowered the limit for the round that comes.
    steps_back: bool,
    bottom: Bottom,
}

impl State {
    pub(super) const fn new(options: Gradient2) -> Self {
        Self {
            options,
            rounds: Rounds::new(),
            average: None,
            history: History::new(),
            steps_back: false,
            bottom: Bottom::new(),
        }
    }

    fn decide(&mut self, round: Round, limit: f64) -> f64 {
        let slack = limit.log10().max(1.0);
        let average = self.learn(round);
        self.history.add(round);
        if round.limited && self.history.is_past_the_knee() {
            self.history.forget();
            self.steps_back = true;
            return limit * STEP_BACK;
        }
        let ratio = self.options.tolerance * average / round.latency;
        let gradient = ratio.clamp(0.5, 1.0);
        if gradient < 1.0 {
            if self.bottom.is_reached(limit) {
                self.average = Some(round.latency);
            }
            return (round.in_flight * gradient + slack).clamp(limit / 2.0, limit + slack);
        }
        self.bottom.leave();
        if !round.limited {
            return limit;
        }
        // All of it where latency is the average or less, nothing at the end of the tolerance.
        let headroom = ((ratio - 1.0) / (self.options.tolerance - 1.0).max(0.01)).clamp(0.0, 1.0);
        limit + slack.max(limit / 3.0 * headroom)
    }

    fn learn(&mut self, round: Round) -> f64 {
        let average = *self.average.get_or_insert(round.latency);
        let average = if std::mem::take(&mut self.steps_back) {
            average.min(round.latency)
        } else {
            let rounds = if round.latency < average { FASTER } else { SLOWER };
            average + (round.latency - average) / rounds
        };
        self.average = Some(average);
        average
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
        // What halves it was an outage: all those who were in it say the same.
        if wanted > limit || wanted <= limit / 2.0 || self.steps_back || sample.dropped {
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

    fn forget(&mut self) {
        self.count = 0;
    }

    /// Have more calls in flight meant no more throughput? Where they have meant more latency, too, half the rounds are
    /// enough to say so.
    fn is_past_the_knee(&self) -> bool {
        if self.count < REMEMBERED || correlation(&self.rounds, 0, 2) >= 0.3 {
            return false;
        }
        self.count >= 2 * REMEMBERED || correlation(&self.rounds, 0, 1) > 0.5
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
