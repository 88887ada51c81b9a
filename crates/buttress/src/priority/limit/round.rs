use super::Sample;

/// The fewest samples of a round, and the most.
const FEWEST: u32 = 12;
const MOST: u32 = 1000;

/// A round is over when its mean is known to this part of itself, by one standard error.
const PRECISION: f64 = 0.03;

/// So many standard errors above what is allowed are beyond doubt.
const CERTAIN: f64 = 3.0;

/// Gathers samples until they say something.
///
/// Where calls take much the same time a dozen of them will do; where they vary as widely as an exponential distribution
/// does, it takes a thousand. A limit that believed a dozen of those would follow the noise.
///
/// # After a change
///
/// So many calls as are in flight when the limit changes have begun before it. While they end, nobody knows whether it was
/// right to grow, and growing on would go on for a round trip after it was enough. To shrink, on the other hand, is right at
/// any time: how many calls are too many is told by how many were in flight when a call began, and the older ones say the
/// same of that as the younger. All but those that were in an outage: they all say the same, and one cut is enough. The
/// calls that are dropped are none to learn from, but they do end.
#[derive(Clone, Debug)]
pub(super) struct Rounds {
    count: u32,
    sum: f64,
    squares: f64,
    in_flight: f64,
    limited: bool,
    /// So many calls are to end until the last change can be judged. `None` before the first call.
    unsettled: Option<u32>,
    /// Until then nothing is learnt at all.
    blind: bool,
}

/// What a round says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Round {
    /// The mean latency, in seconds.
    pub(super) latency: f64,
    /// Its standard error.
    pub(super) error: f64,
    /// How many calls were in flight when they began, on average; the limit, where that was not reached.
    pub(super) in_flight: f64,
    /// Whether the limit was reached.
    pub(super) limited: bool,
    /// Whether all of them began after the last change.
    pub(super) settled: bool,
}

impl Rounds {
    pub(super) const fn new() -> Self {
        Self {
            count: 0,
            sum: 0.0,
            squares: 0.0,
            in_flight: 0.0,
            limited: false,
            unsettled: None,
            blind: false,
        }
    }

    /// Adds a sample, and returns the round if that completes it. A latency of `too_much`, where there is one, is seen
    /// before the mean is known precisely.
    pub(super) fn add(&mut self, sample: &Sample, limit: f64, too_much: Option<f64>) -> Option<Round> {
        if !self.settle(limit) {
            return None;
        }
        let latency = sample.latency.as_secs_f64();
        self.count += 1;
        self.sum += latency;
        self.squares += latency * latency;
        self.in_flight += f64::from(sample.in_flight);
        self.limited |= sample.limited;
        if self.count < FEWEST {
            return None;
        }
        let n = f64::from(self.count);
        let mean = self.sum / n;
        let variance = ((self.squares - self.sum * mean) / (n - 1.0)).max(0.0);
        let error = (variance / n).sqrt();
        let is_known = error <= PRECISION * mean || self.count >= MOST;
        if !is_known && too_much.is_none_or(|too_much| mean - CERTAIN * error <= too_much) {
            return None;
        }
        let round = Round {
            latency: mean.max(f64::MIN_POSITIVE),
            error,
            in_flight: if self.limited { self.in_flight / n } else { limit },
            limited: self.limited,
            settled: self.unsettled == Some(0),
        };
        self.clear();
        Some(round)
    }

    /// Another call is over; is it one to learn from?
    pub(super) fn settle(&mut self, limit: f64) -> bool {
        let unsettled = self.unsettled.get_or_insert(limit as u32);
        if *unsettled == 0 {
            return true;
        }
        *unsettled -= 1;
        if *unsettled == 0 {
            // From here on they all began after the change.
            self.blind = false;
            self.clear();
            return false;
        }
        !self.blind
    }

    /// The limit changes now from what it was, by a step, or by a cut that makes everything before it void.
    pub(super) fn restart(&mut self, limit: f64, cut: bool) {
        self.unsettled = Some(limit as u32);
        self.blind = cut;
        self.clear();
    }

    fn clear(&mut self) {
        (self.count, self.sum, self.squares) = (0, 0.0, 0.0);
        (self.in_flight, self.limited) = (0.0, false);
    }
}
