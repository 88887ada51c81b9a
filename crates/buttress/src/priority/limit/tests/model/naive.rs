//! The algorithms as their pages tell them, from lists of samples.

use std::collections::VecDeque;

use super::*;

/// Additive increase, multiplicative decrease.
pub(super) struct Naive {
    pub(super) backoff: f64,
    pub(super) slow_after: Option<Duration>,
    /// Everything that was seen.
    seen: Vec<(Sample, f64)>,
}

impl Naive {
    pub(super) fn new(backoff: f64, slow_after: Option<Duration>) -> Self {
        Self {
            backoff,
            slow_after,
            seen: Vec::new(),
        }
    }

    fn is_too_much(&self, sample: &Sample) -> bool {
        sample.dropped || self.slow_after.is_some_and(|slow| sample.latency > slow)
    }

    /// When the limit was last cut: by the end of the last sample that was too much and had begun after the cut before.
    fn last_cut(&self) -> Option<Duration> {
        let mut cut = None;
        for (sample, _) in &self.seen {
            if self.is_too_much(sample) && cut.is_none_or(|cut| sample.started >= cut) {
                cut = Some(sample.started + sample.latency);
            }
        }
        cut
    }

    pub(super) fn observe(&mut self, sample: &Sample, limit: f64) -> f64 {
        let cut = self.last_cut();
        self.seen.push((*sample, limit));
        match (self.is_too_much(sample), cut) {
            (true, Some(cut)) if sample.started < cut => limit,
            (true, _) => limit * self.backoff,
            (false, _) if sample.limited => limit + 0.2,
            (false, _) => limit,
        }
    }
}

/// What is known once a round is over.
#[derive(Clone, Copy, Debug)]
struct Round {
    latency: f64,
    error: f64,
    in_flight: f64,
    limited: bool,
    settled: bool,
}

/// What is to be done with the limit after a round.
enum Step {
    Stay,
    /// To this, or back to this after a probe.
    More(f64),
    Probe(f64),
    Less(f64),
}

/// Where the latency of calls that wait for nothing comes from.
enum Baseline {
    Vegas {
        rounds: u32,
        calls: u32,
    },
    /// The last sixteen settled rounds, and how many there were.
    Gradient2 {
        last: VecDeque<Round>,
        count: usize,
    },
}

/// The two that look at latency.
pub(super) struct Latency {
    tolerance: f64,
    baseline: Baseline,
    least: Option<f64>,
    samples: Vec<Sample>,
    /// So many calls are to end until the last change can be judged.
    unsettled: Option<u32>,
    /// Until then everything is void.
    is_void: bool,
    /// The end of the sample at which the limit was last cut.
    last_cut: Duration,
    probing: Option<f64>,
    /// The limits at which the last rounds have asked for less, in vain.
    in_vain: Vec<f64>,
}

impl Latency {
    pub(super) fn vegas() -> Self {
        Self::new(0.1, Baseline::Vegas { rounds: 0, calls: 0 })
    }

    pub(super) fn gradient2(tolerance: f64) -> Self {
        let last = VecDeque::new();
        Self::new(tolerance - 1.0, Baseline::Gradient2 { last, count: 0 })
    }

    fn new(tolerance: f64, baseline: Baseline) -> Self {
        Self {
            tolerance,
            baseline,
            least: None,
            samples: Vec::new(),
            unsettled: None,
            is_void: false,
            last_cut: Duration::ZERO,
            probing: None,
            in_vain: Vec::new(),
        }
    }

    pub(super) fn observe(&mut self, sample: &Sample, limit: f64) -> f64 {
        if let Baseline::Vegas { calls, .. } = &mut self.baseline {
            *calls += 1;
        }
        if sample.dropped {
            self.settle(limit);
            return if sample.started < self.last_cut {
                limit
            } else {
                self.cut(sample, limit, limit * 0.9)
            };
        }
        let Some(round) = self.round(sample, limit) else {
            return limit;
        };
        match self.decide(round, limit) {
            Step::Stay => limit,
            // So many are in flight that began before it.
            Step::More(wanted) if wanted > limit => {
                self.restart(limit, false);
                wanted
            }
            Step::More(wanted) => wanted,
            Step::Probe(wanted) => {
                self.probing = Some(limit);
                self.restart(limit, false);
                wanted
            }
            Step::Less(wanted) if wanted > limit / 2.0 => wanted,
            Step::Less(_) => self.cut(sample, limit, limit / 2.0),
        }
    }

    fn cut(&mut self, sample: &Sample, limit: f64, wanted: f64) -> f64 {
        self.last_cut = sample.started + sample.latency;
        self.probing = None;
        self.restart(limit, true);
        wanted
    }

    fn restart(&mut self, limit: f64, is_void: bool) {
        self.unsettled = Some(limit.floor() as u32);
        self.is_void = is_void;
        self.samples.clear();
    }

    /// One call less whose end says nothing yet; is this one to be learnt from?
    fn settle(&mut self, limit: f64) -> bool {
        let unsettled = self.unsettled.get_or_insert(limit.floor() as u32);
        if *unsettled == 0 {
            return true;
        }
        *unsettled -= 1;
        if *unsettled == 0 {
            self.is_void = false;
            self.samples.clear();
            return false;
        }
        !self.is_void
    }

    /// The round, if the sample completes one.
    fn round(&mut self, sample: &Sample, limit: f64) -> Option<Round> {
        if !self.settle(limit) {
            return None;
        }
        self.samples.push(*sample);
        let n = self.samples.len() as f64;
        if n < 12.0 {
            return None;
        }
        let seconds = || self.samples.iter().map(|sample| sample.latency.as_secs_f64());
        let mean = seconds().sum::<f64>() / n;
        let variance = seconds().map(|s| (s - mean) * (s - mean)).sum::<f64>() / (n - 1.0);
        let error = (variance / n).sqrt();
        let is_known = error <= 0.03 * mean || n >= 1000.0;
        let is_too_much = self
            .least
            .is_some_and(|least| mean - 3.0 * error > least * (1.05 + self.tolerance));
        if !is_known && !is_too_much {
            return None;
        }
        let limited = self.samples.iter().any(|sample| sample.limited);
        let in_flight: u32 = self.samples.iter().map(|sample| sample.in_flight).sum();
        self.samples.clear();
        Some(Round {
            latency: mean.max(f64::MIN_POSITIVE),
            error,
            in_flight: if limited { f64::from(in_flight) / n } else { limit },
            limited,
            settled: self.unsettled == Some(0),
        })
    }

    /// What the limit should be, if it should be another.
    fn decide(&mut self, round: Round, limit: f64) -> Step {
        self.least.get_or_insert(round.latency);
        if let Some(before) = self.probing {
            if !round.settled {
                return Step::Stay;
            }
            self.probing = None;
            self.probed(round);
            return Step::More(before);
        }
        let wants_probe = self.learn(round);
        if !round.limited {
            return Step::Stay;
        }
        let ratio = round.latency / self.least.expect("a round has been");
        if wants_probe && round.settled {
            return Step::Probe(limit.min(0.8 * round.in_flight / ratio.max(1.0)));
        }
        if ratio > 1.05 + self.tolerance {
            let wanted = round.in_flight * (0.98 + self.tolerance) / ratio;
            if wanted >= limit {
                self.in_vain.clear();
                return Step::Stay;
            }
            self.in_vain.retain(|before| *before == limit);
            self.in_vain.push(limit);
            if self.in_vain.len() > 3 {
                self.least = Some(round.latency);
            }
            return Step::Less(wanted);
        }
        self.in_vain.clear();
        let headroom = 0.98 + self.tolerance - ratio;
        let share = (headroom / (self.tolerance - 0.02).max(0.01)).min(1.0);
        let step = (limit * 0.45 * share).max(limit.log10()).max(1.0);
        match round.settled && headroom > 0.0 {
            true => Step::More(limit + step),
            false => Step::Stay,
        }
    }

    fn learn(&mut self, round: Round) -> bool {
        let least = self.least.as_mut().expect("a round has been");
        match &mut self.baseline {
            Baseline::Vegas { rounds, calls } => {
                *rounds += 1;
                if round.latency + 2.0 * round.error < *least {
                    *least = round.latency;
                } else if round.latency < *least {
                    *least = *least * 0.95 + round.latency * 0.05;
                }
                *rounds >= 30 && f64::from(*calls) >= 25.0 * round.in_flight
            }
            Baseline::Gradient2 { last, count } => {
                let above = round.latency - *least;
                *least += if above < 0.0 {
                    above / 20.0
                } else {
                    (above / 200.0).min(*least * 0.002)
                };
                if !round.settled {
                    return false;
                }
                *count += 1;
                last.push_back(round);
                if last.len() > 16 {
                    last.pop_front();
                }
                let is_past = round.limited && *count >= 16 && is_past_the_knee(last, *count);
                if is_past {
                    *count = 0;
                }
                is_past
            }
        }
    }

    fn probed(&mut self, round: Round) {
        let least = self.least.as_mut().expect("a round has been");
        match &mut self.baseline {
            Baseline::Vegas { rounds, calls } => {
                *least = round.latency.min(*least * 1.1);
                (*rounds, *calls) = (0, 0);
            }
            Baseline::Gradient2 { .. } => *least = least.min(round.latency),
        }
    }
}

fn is_past_the_knee(last: &VecDeque<Round>, count: usize) -> bool {
    let of = |of: fn(&Round) -> f64| last.iter().map(of).collect::<Vec<_>>();
    let in_flight = of(|round| round.in_flight);
    let throughput = of(|round| round.in_flight / round.latency);
    correlation(&in_flight, &throughput) < 0.3
        && (count >= 32 || correlation(&in_flight, &of(|round| round.latency)) > 0.5)
}

/// Pearson's; nothing where one of the two changes by less than a hundredth.
fn correlation(x: &[f64], y: &[f64]) -> f64 {
    let n = x.len() as f64;
    let (mean_x, mean_y) = (x.iter().sum::<f64>() / n, y.iter().sum::<f64>() / n);
    let product = |a: &[f64], mean_a: f64, b: &[f64], mean_b: f64| -> f64 {
        a.iter()
            .zip(b)
            .map(|(a, b)| (a - mean_a) * (b - mean_b))
            .sum::<f64>()
            / n
    };
    let deviation_x = product(x, mean_x, x, mean_x).sqrt();
    let deviation_y = product(y, mean_y, y, mean_y).sqrt();
    if deviation_x < mean_x.abs() / 100.0 || deviation_y < mean_y.abs() / 100.0 {
        return 0.0;
    }
    product(x, mean_x, y, mean_y) / (deviation_x * deviation_y)
}
