//! Which endpoint is to have a call.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use super::{
    balance::{Candidates, Strategy},
    hub::book,
    node::Node,
    roster::Set,
    shared::Shared,
    tried::Tried,
};
use crate::{
    clock::Instant,
    error::{Rejected, RejectionKind},
    random,
};

/// Who asks for an endpoint, and where it has been.
pub(super) struct Search<'a> {
    pub(super) strategy: Option<&'a Strategy>,
    pub(super) tried: &'a Tried,
    pub(super) refused: &'a Tried,
    pub(super) waiting: &'a [u32],
    pub(super) avoid: u64,
    pub(super) now: Instant,
}

/// The index of an endpoint, and whether its breaker has no say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Choice {
    pub(super) index: usize,
    pub(super) overrule: bool,
}

impl<T> Shared<T> {
    /// Which endpoint is to have the call.
    pub(super) fn choose(&self, set: &Set<T>, search: &Search<'_>) -> Option<Choice> {
        let hub = &*self.hub;
        let tick = hub.tick(search.now);
        let mut candidates = Candidates {
            roster: &set.roster,
            now: search.now,
            tick,
            tried: search.tried,
            refused: search.refused,
            waiting: search.waiting,
            avoid: search.avoid,
            thin: None,
            all: false,
        };
        if set.options.panic_mode && is_panic(&candidates) {
            candidates.all = true;
        } else if let down @ 1.. = hub.down.load(Relaxed) {
            // Those that are due for a trial get their fair share of the calls for it, whatever the strategy thinks of
            // them.
            if random::unit() * (candidates.len() as f64) < down as f64 {
                if let Some(index) = candidates.due_for_trial() {
                    return Some(Choice {
                        index,
                        overrule: false,
                    });
                }
            }
        }
        if hub.ramp_until.load(Relaxed) > tick {
            candidates.thin = Some(random::unit().to_bits());
        }
        let strategy = search.strategy.unwrap_or(&set.options.strategy);
        let choice = self.choose_from(strategy, &candidates).or_else(|| {
            // Better an endpoint that is being eased in, or has had the call before, than none.
            let is_strict = candidates.avoid != 0 || candidates.thin.is_some();
            (candidates.avoid, candidates.thin) = (0, None);
            is_strict
                .then(|| self.choose_from(strategy, &candidates))
                .flatten()
        });
        choice.map(|index| Choice {
            index,
            overrule: candidates.all,
        })
    }

    /// Is there an endpoint that a call which has been to those may go to?
    pub(super) fn has_another(&self, set: &Set<T>, tried: &Tried, now: Instant) -> bool {
        let mut candidates = Candidates {
            roster: &set.roster,
            now,
            tick: self.hub.tick(now),
            tried,
            refused: &Tried::default(),
            waiting: &[],
            avoid: 0,
            thin: None,
            all: false,
        };
        candidates.all = set.options.panic_mode && is_panic(&candidates);
        candidates.usable().next().is_some()
    }

    #[inline]
    fn choose_from(&self, strategy: &Strategy, candidates: &Candidates<'_>) -> Option<usize> {
        let chosen = strategy.choose(&self.turn, candidates);
        match (chosen, strategy) {
            (Some(i), Strategy::Custom(_)) if i >= candidates.len() || !candidates.is_usable(i) => {
                candidates.usable().next()
            }
            (None, _) => candidates.usable().next(),
            (chosen, _) => chosen,
        }
    }

    /// Of the endpoints that would have the call if they were not at their limit, the one at which its turn comes first.
    pub(super) fn first_turn(&self, tried: &Tried, not_ready: &[u32], now: Instant) -> Option<Arc<Node>> {
        let tick = self.hub.tick(now);
        let set = self.set.load();
        let turns = set.roster.nodes.iter().filter_map(|node| {
            let may_take = !tried.has(node.id) && !not_ready.contains(&node.id);
            Some((may_take.then(|| node.turn_in(now, tick))??, node))
        });
        turns.min_by_key(|(turn, _)| *turn).map(|(_, node)| node.clone())
    }

    /// The refusal of a call that no endpoint can take.
    pub(super) fn no_endpoint(&self, now: Instant) -> Rejected {
        self.hub.books.add(book::NO_ENDPOINT, 1);
        let rejected = Rejected::new(RejectionKind::NoEndpoint, self.hub.name().clone());
        let set = self.set.load();
        let soonest = set
            .roster
            .nodes
            .iter()
            .filter_map(|node| node.next_chance(now))
            .min();
        match soonest {
            Some(soonest) => rejected.with_retry_after(soonest.saturating_duration_since(now)),
            None => rejected,
        }
    }
}

/// Are over half of the endpoints that nobody took out by hand out nevertheless?
fn is_panic(candidates: &Candidates<'_>) -> bool {
    let roster = candidates.roster;
    let offered = roster.nodes.iter().filter(|node| node.is_offered());
    let (all, out) = offered.fold((0, 0), |(all, out), node| {
        (
            all + 1,
            out + usize::from(node.is_out(candidates.now, candidates.tick)),
        )
    });
    out * 2 > all
}
