//! What [`Vegas`](super::Vegas) and [`Gradient2`](super::Gradient2) have in common: they compare the latency of now with
//! a baseline, and move the limit to where a little more is in flight than can be worked on.

use std::time::Duration;

use super::{
    Sample,
    round::{Round, Rounds},
};

/// Beyond the tolerance by this, the limit shrinks, to this much within it. In between it is left alone.
const BEYOND: f64 = 0.05;
const WITHIN: f64 = 0.02;

/// The most that the limit grows by in a round: this part of itself.
const GROWTH: f64 = 0.45;

/// What a probe leaves of the calls that can be worked on.
const PROBE: f64 = 0.8;

/// What a drop leaves of the limit.
const BACKOFF: f64 = 0.9;

/// Rounds at the bottom until it is believed.
const ENOUGH: u32 = 3;

/// Where the latency of calls that wait for nothing comes from.
pub(super) trait Baseline {
    /// Learns from a round; says whether it wants a look at less load.
    fn learn(&mut self, baseline: &mut f64, round: &Round) -> bool;

    /// Learns from a round at less load.
    fn probed(&mut self, baseline: &mut f64, round: &Round);

    /// Another call is over.
    fn count(&mut self) {}
}

#[derive(Debug)]
pub(super) struct Knee<B> {
    rounds: Rounds,
    baseline: Option<f64>,
    source: B,
    tolerance: f64,
    /// The limit to go back to after the probe.
    probing: Option<f64>,
    /// When the limit was last cut: a drop that began before says nothing more.
    cut: Duration,
    bottom: Bottom,
}

/// What is to be done after a round.
enum Step {
    Stay,
    /// By a step, or for a probe and back.
    To(f64),
    /// By half: there is an outage.
    Cut(f64),
}

impl<B: Baseline> Knee<B> {
    pub(super) const fn new(source: B, tolerance: f64) -> Self {
        Self {
            rounds: Rounds::new(),
            baseline: None,
            source,
            tolerance,
            probing: None,
            cut: Duration::ZERO,
            bottom: Bottom::new(),
        }
    }

    pub(super) fn observe(&mut self, sample: &Sample, limit: f64) -> f64 {
        self.source.count();
        let step = if sample.dropped {
            self.rounds.settle(limit);
            // One cut for all that were in flight together.
            match sample.started < self.cut {
                true => Step::Stay,
                false => Step::Cut(limit * BACKOFF),
            }
        } else {
            let too_much = self
                .baseline
                .map(|baseline| baseline * (1.0 + self.tolerance + BEYOND));
            match self.rounds.add(sample, limit, too_much) {
                None => Step::Stay,
                Some(round) => self.decide(&round, limit),
            }
        };
        match step {
            Step::Stay => limit,
            Step::To(wanted) => {
                if wanted > limit || self.probing.is_some() {
                    self.rounds.restart(limit, false);
                }
                wanted
            }
            Step::Cut(wanted) => {
                self.cut = sample.started + sample.latency;
                self.probing = None;
                self.rounds.restart(limit, true);
                wanted
            }
        }
    }

    fn decide(&mut self, round: &Round, limit: f64) -> Step {
        let baseline = self.baseline.get_or_insert(round.latency);
        if let Some(before) = self.probing {
            if !round.settled {
                return Step::Stay;
            }
            self.probing = None;
            self.source.probed(baseline, round);
            return Step::To(before);
        }
        let wants_probe = self.source.learn(baseline, round);
        let ratio = round.latency / *baseline;
        if !round.limited {
            // What is not reached is not what calls wait for, and what was never needed is not known to be possible.
            return Step::Stay;
        }
        if wants_probe && round.settled {
            self.probing = Some(limit);
            return Step::To(limit.min(PROBE * round.in_flight / ratio.max(1.0)));
        }
        if ratio > 1.0 + self.tolerance + BEYOND {
            let wanted = round.in_flight * (1.0 + self.tolerance - WITHIN) / ratio;
            return self.shrink(round, limit, wanted);
        }
        self.bottom.leave();
        let headroom = 1.0 + self.tolerance - WITHIN - ratio;
        if round.settled && headroom > 0.0 {
            let share = (headroom / (self.tolerance - WITHIN).max(0.01)).min(1.0);
            return Step::To(limit + slack(limit).max(limit * GROWTH * share));
        }
        Step::Stay
    }

    fn shrink(&mut self, round: &Round, limit: f64, wanted: f64) -> Step {
        if wanted >= limit {
            // Calls of an earlier time, when more were in flight: that has been dealt with.
            self.bottom.leave();
            return Step::Stay;
        }
        if self.bottom.is_reached(limit) {
            self.baseline = Some(round.latency);
        }
        match wanted > limit / 2.0 {
            true => Step::To(wanted),
            false => Step::Cut(limit / 2.0),
        }
    }
}

/// The least step: so that a large limit does not creep.
fn slack(limit: f64) -> f64 {
    limit.log10().max(1.0)
}

/// Notices that the limit is to shrink and does not: it is at its minimum. Then what looked like waiting is none, since
/// nobody is left who could wait.
#[derive(Debug)]
struct Bottom {
    at: Option<f64>,
    rounds: u32,
}

impl Bottom {
    const fn new() -> Self {
        Self { at: None, rounds: 0 }
    }

    /// The limit is to shrink. Says whether that has been in vain for long enough.
    fn is_reached(&mut self, limit: f64) -> bool {
        if self.at != Some(limit) {
            (self.at, self.rounds) = (Some(limit), 0);
        }
        self.rounds += 1;
        self.rounds > ENOUGH
    }

    fn leave(&mut self) {
        self.at = None;
    }
}
