//! The endpoints at one moment: what a call chooses from. It never changes; a change makes another.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use super::{node::Node, options::PoolOptions};

/// The endpoints, what stands behind each, and how to choose among them.
pub(super) struct Set<T> {
    pub(super) roster: Roster,
    pub(super) targets: Box<[Arc<T>]>,
    pub(super) options: Arc<PoolOptions>,
}

/// The endpoints and their weights.
pub(super) struct Roster {
    pub(super) nodes: Box<[Arc<Node>]>,
    /// The weights, each added to those before it, in thousandths.
    pub(super) sums: Box<[u64]>,
    /// All weights are the same.
    pub(super) is_even: bool,
}

/// An endpoint and what stands behind it.
pub(super) struct Member<T> {
    pub(super) node: Arc<Node>,
    pub(super) target: Arc<T>,
    /// Its weight, in thousandths.
    pub(super) weight: u64,
}

impl<T> Clone for Member<T> {
    fn clone(&self) -> Self {
        Self {
            node: self.node.clone(),
            target: self.target.clone(),
            weight: self.weight,
        }
    }
}

impl<T> Set<T> {
    pub(super) fn new(members: Vec<Member<T>>, options: Arc<PoolOptions>) -> Self {
        let roster = Roster::new(members.iter().map(|m| (m.node.clone(), m.weight)));
        Self {
            roster,
            targets: members.into_iter().map(|m| m.target).collect(),
            options,
        }
    }

    pub(super) fn members(&self) -> Vec<Member<T>> {
        let each = |(i, (node, target)): (usize, (&Arc<Node>, &Arc<T>))| Member {
            node: node.clone(),
            target: target.clone(),
            weight: self.roster.weight(i),
        };
        self.roster
            .nodes
            .iter()
            .zip(&self.targets)
            .enumerate()
            .map(each)
            .collect()
    }
}

impl Roster {
    pub(super) fn new(members: impl Iterator<Item = (Arc<Node>, u64)>) -> Self {
        let (nodes, weights): (Vec<_>, Vec<_>) = members.unzip();
        let sums = weights.iter().scan(0_u64, |sum, weight| {
            *sum += weight;
            Some(*sum)
        });
        Self {
            sums: sums.collect(),
            is_even: weights.windows(2).all(|two| two[0] == two[1]),
            nodes: nodes.into(),
        }
    }

    /// In thousandths.
    #[inline]
    pub(super) fn weight(&self, i: usize) -> u64 {
        let before = if i == 0 { 0 } else { self.sums[i - 1] };
        self.sums[i] - before
    }

    pub(super) fn total(&self) -> u64 {
        self.sums.last().copied().unwrap_or_default()
    }

    pub(super) fn find(&self, name: &str) -> Option<usize> {
        self.nodes.iter().position(|node| *node.name == *name)
    }
}

/// A slot that the fewest have.
pub(super) fn free_slot(taken: impl Iterator<Item = u8>) -> u8 {
    let mut times = [0_usize; 64];
    taken.for_each(|slot| times[usize::from(slot)] += 1);
    let fewest = times.iter().enumerate().min_by_key(|(_, times)| **times);
    fewest.map_or(0, |(slot, _)| slot as u8)
}

impl std::fmt::Debug for Roster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let entry = |node: &Arc<Node>| (node.name.clone(), node.weight.load(Relaxed));
        f.debug_map().entries(self.nodes.iter().map(entry)).finish()
    }
}
