use super::{
    LimitAlgorithm, Sample,
    round::{Bottom, Round, Rounds},
};

/// By the queue that calls must stand in somewhere inside: TCP Vegas (Brakmo and Peterson, 1995), as in Netflix's
/// `VegasLimit`.
///
/// With a latency `r` now and `m` when nothing waits, of `n` calls in flight `n × (1 − m/r)` wait. The limit grows while
/// fewer than α wait, shrinks to where α would if more than β do, and is left alone in between. α is the decimal logarithm
/// of the limit, at least 1, and β twice that: a short queue, so that the service never runs dry. Where nothing waits at
/// all it grows by a third each round.
///
/// # The least latency
///
/// Everything depends on `m`, and this is what others got wrong: a single answer that was very fast pinned the limit to
/// its minimum for ever, and one that is measured anew under load, as Netflix's is, takes the queue that is there for none,
/// and lets it grow a little each time. Here it is the least *median of a round*; every 50 rounds the limit is lowered to
/// 80 % for one round, in which nothing waits, and what is seen then is taken as it is, be it more or less. And where the
/// limit stands at its minimum and calls still take longer, for three rounds, that is how long they take.
///
/// # When it fails
///
/// Where latency has more to do with what is asked than with load: if cheap and dear calls come in turns, the cheap ones
/// set `m` and the dear ones look like a queue. A queue of their own for each helps, or [`Gradient2`](super::Gradient2). A
/// probe costs a fifth of one round in fifty: less than half a percent of throughput.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Vegas {
    _private: (),
}

impl Vegas {
    /// The algorithm.
    #[must_use]
    pub const fn new() -> Self {
        Self { _private: () }
    }
}

/// What is above the least by no more than this is not a queue: the least of many medians is a little less than any.
const NOISE: f64 = 1.05;

/// Rounds from one probe to the next.
const PROBE_AFTER: u32 = 50;

/// The part of the limit that is left for the round of a probe.
const PROBE: f64 = 0.8;

#[derive(Debug)]
pub(super) struct State {
    rounds: Rounds,
    least: Option<f64>,
    since_probe: u32,
    /// The limit to go back to after the probe.
    probing: Option<f64>,
    bottom: Bottom,
}

impl State {
    pub(super) const fn new() -> Self {
        Self {
            rounds: Rounds::new(),
            least: None,
            since_probe: 0,
            probing: None,
            bottom: Bottom::new(),
        }
    }

    fn decide(&mut self, round: Round, limit: f64) -> f64 {
        if let Some(before) = self.probing.take() {
            self.least = Some(round.latency);
            return before;
        }
        let least = self.least.map_or(round.latency, |least| least.min(round.latency));
        self.least = Some(least);

        let alpha = limit.log10().max(1.0);
        let queue = round.in_flight * (1.0 - least * NOISE / round.latency);
        if queue > 2.0 * alpha {
            if self.bottom.is_reached(limit) {
                self.least = Some(round.latency);
            }
            return (round.in_flight - queue + alpha).clamp(limit / 2.0, limit);
        }
        self.bottom.leave();
        self.since_probe += 1;
        if self.since_probe >= PROBE_AFTER {
            self.since_probe = 0;
            // Where the limit is not reached, calls find no queue: what is seen is the least there is.
            if round.limited {
                self.probing = Some(limit);
                return limit * PROBE;
            }
            self.least = Some(round.latency);
        }
        match round.limited {
            true if queue < alpha / 2.0 => limit * (4.0 / 3.0),
            true if queue < alpha => limit + alpha,
            _ => limit,
        }
    }
}

impl LimitAlgorithm for State {
    fn observe(&mut self, sample: &Sample, limit: f64) -> f64 {
        let wanted = if sample.dropped {
            if !self.rounds.is_current(sample) {
                return limit;
            }
            self.probing = None;
            limit * 0.9
        } else {
            match self.rounds.add(sample, limit) {
                None => return limit,
                Some(round) => self.decide(round, limit),
            }
        };
        // What halves it was an outage: all those who were in it say the same.
        if wanted > limit || wanted <= limit / 2.0 || self.probing.is_some() || sample.dropped {
            self.rounds.restart(sample);
        }
        wanted
    }
}
