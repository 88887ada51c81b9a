use std::{cell::Cell, fmt, time::Duration};

use crate::{
    clock::Instant,
    pool::{
        fading::Tick,
        node::{Node, Phase},
        roster::Roster,
        tried::Tried,
    },
    random,
};

/// The endpoints of a pool, as a [`Balance`](super::Balance) sees them for one call: by their index.
///
/// Whether an endpoint is usable is looked up when it is asked, so a strategy that looks at two of three hundred pays
/// for two.
pub struct Candidates<'a> {
    pub(in crate::pool) roster: &'a Roster,
    pub(in crate::pool) now: Instant,
    pub(in crate::pool) tick: Tick,
    /// Endpoints that this call has been to.
    pub(in crate::pool) tried: &'a Tried,
    pub(in crate::pool) refused: &'a Tried,
    pub(in crate::pool) waiting: &'a [u32],
    /// Slots that are passed over: earlier attempts at the call have been there.
    pub(in crate::pool) avoid: u64,
    /// Those that are eased in take part in some calls and not in others.
    pub(in crate::pool) thin: Option<u64>,
    /// Whether an endpoint is well does not matter.
    pub(in crate::pool) all: bool,
}

/// The score of an endpoint is nothing if its answers take so long on average, in microseconds.
const WORST_LATENCY: f32 = 10e6;

impl Candidates<'_> {
    /// How many endpoints there are, usable or not.
    #[must_use]
    pub fn len(&self) -> usize {
        self.roster.nodes.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.roster.nodes.is_empty()
    }

    /// May the call go there? Not if the endpoint is draining, unhealthy or asked to be left alone, if its breaker or its
    /// limit would refuse, or if the call has been there already.
    #[inline]
    #[must_use]
    pub fn is_usable(&self, i: usize) -> bool {
        let node = self.node(i);
        if self.tried.has(node.id) || self.refused.has(node.id) || self.waiting.contains(&node.id) {
            return false;
        }
        if self.all {
            return node.is_offered();
        }
        self.avoid >> node.slot & 1 == 0
            && self.thin.is_none_or(|seed| takes_part(seed, node, self.tick))
            && node.is_usable(self.now, self.tick)
    }

    /// The endpoints that may be used.
    pub fn usable(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.len()).filter(|&i| self.is_usable(i))
    }

    /// Its name.
    #[must_use]
    pub fn name(&self, i: usize) -> &str {
        &self.node(i).name
    }

    /// Its weight, as it was given or as a rebalance made it.
    #[must_use]
    pub fn weight(&self, i: usize) -> f64 {
        self.roster.weight(i) as f64 / 1000.0
    }

    /// How many of its calls have not ended: of a streamed answer, until the stream has.
    #[inline]
    #[must_use]
    pub fn in_flight(&self, i: usize) -> u64 {
        self.node(i).in_flight()
    }

    /// The worst time to an answer of late, which fades (by `1/e` in 10 s); a failure counts as a very slow answer.
    /// `None` if nothing is known of late.
    #[must_use]
    pub fn peak_latency(&self, i: usize) -> Option<Duration> {
        self.node(i).measures.peak(self.tick).map(micros)
    }

    /// The average time to a good answer, of about the last 20, which fades (by `1/e` in 30 s). `None` if there was
    /// none.
    #[must_use]
    pub fn average_latency(&self, i: usize) -> Option<Duration> {
        self.node(i).measures.average(self.tick).map(micros)
    }

    /// Which share of about its last 20 calls succeeded, 0 to 1. Failures are forgotten in time (by `1/e` in 30 s).
    #[must_use]
    pub fn success_rate(&self, i: usize) -> f64 {
        self.node(i).measures.success_rate(self.tick).into()
    }

    /// `success rate × (1 − average latency / 10 s)`.
    #[must_use]
    pub fn score(&self, i: usize) -> f64 {
        score(self.node(i), self.tick)
    }

    /// A number between 0 and 1, 1 excluded.
    #[must_use]
    pub fn random(&self) -> f64 {
        random::unit()
    }

    #[inline]
    fn node(&self, i: usize) -> &Node {
        &self.roster.nodes[i]
    }

    /// Is this the first endpoint that is chosen for the call? Else those before have failed, refused, or are not ready.
    #[inline]
    #[must_use]
    pub fn is_first_choice(&self) -> bool {
        self.tried.len() == 0 && self.refused.len() == 0 && self.waiting.is_empty()
    }

    // ===== for the strategies =====

    /// The worst time to an answer of late, in microseconds.
    #[inline]
    pub(super) fn peak_micros(&self, i: usize) -> Option<f32> {
        self.node(i).measures.peak(self.tick)
    }

    /// Any index.
    #[inline]
    pub(super) fn draw(&self) -> usize {
        // A product that rounds up to the length is one past the last.
        ((random::unit() * self.len() as f64) as usize).min(self.len().saturating_sub(1))
    }

    /// Any usable endpoint but `other`, each as likely as the next.
    #[inline]
    pub(super) fn draw_usable(&self, other: Option<usize>) -> Option<usize> {
        if self.is_empty() {
            return None;
        }
        for _ in 0..TRIES {
            let i = self.draw();
            if Some(i) != other && self.is_usable(i) {
                return Some(i);
            }
        }
        self.draw_among(other)
    }

    /// The same, having looked at all.
    fn draw_among(&self, other: Option<usize>) -> Option<usize> {
        // One by one, each takes the place of the one before with the chance that it has among so many.
        let mut seen = 0.0;
        self.usable()
            .filter(|i| Some(*i) != other)
            .fold(None, |chosen, i| {
                seen += 1.0;
                match chosen {
                    Some(chosen) if random::unit() * seen >= 1.0 => Some(chosen),
                    _ => Some(i),
                }
            })
    }

    /// The endpoint at `share` (0 to 1) of the weights of those that may be used.
    pub(super) fn at_share(&self, share: f64) -> Option<usize> {
        let weight = |i: usize| self.roster.weight(i) as f64;
        let last = Cell::new(None);
        let chosen = || self.usable().inspect(|i| last.set(Some(*i)));
        let total: f64 = chosen().map(weight).sum();
        let mut left = share * total;
        let found = chosen().find(|&i| {
            left -= weight(i);
            left < 0.0
        });
        // Rounding, or one that is no longer usable, may lead past the end.
        found.or(last.get())
    }
}

/// How often a random endpoint that turns out not to be usable is drawn anew before all are looked at.
const TRIES: usize = 4;

fn takes_part(seed: u64, node: &Node, tick: Tick) -> bool {
    let ramp = node.ramp(tick);
    ramp >= 1.0 || random::mixed(seed ^ u64::from(node.id)) < ramp
}

pub(in crate::pool) fn score(node: &Node, tick: Tick) -> f64 {
    let latency = node.measures.average(tick).unwrap_or_default();
    let quickness = (1.0 - latency / WORST_LATENCY).max(0.0);
    (node.measures.success_rate(tick) * quickness).into()
}

fn micros(micros: f32) -> Duration {
    Duration::from_secs_f64(f64::from(micros) / 1e6)
}

impl Candidates<'_> {
    /// Which of those that are out, and not for their checks, would be let through for a trial.
    pub(in crate::pool) fn due_for_trial(&self) -> Option<usize> {
        (0..self.len()).find(|&i| self.node(i).phase() != Phase::Up && self.is_usable(i))
    }
}

impl fmt::Debug for Candidates<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |i: usize| (self.name(i).to_owned(), self.is_usable(i));
        f.debug_map().entries((0..self.len()).map(name)).finish()
    }
}
