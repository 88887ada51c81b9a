use std::task::Waker;

use super::{Place, Waiter};
use crate::error::RejectionKind;

/// No node at all.
pub(super) const NIL: u32 = u32::MAX;

/// The first chunk has so many nodes, and each further one as many as all before it.
const FIRST: usize = 8;

/// So many chunks are kept when everybody has left: 120 nodes.
const KEPT: usize = 4;

/// The nodes of a line. Those there are keep their place, whatever comes and goes.
pub(super) struct Slab {
    chunks: Vec<Chunk>,
    /// The first of the free nodes, each of which has the next in `behind`.
    free: u32,
    /// Nodes that have ever been used.
    used: u32,
    occupied: u32,
}

pub(super) type Chunk = Vec<Node>;

pub(super) struct Node {
    pub(super) waker: Option<Waker>,
    pub(super) waiter: Waiter,
    pub(super) before: u32,
    pub(super) behind: u32,
    pub(super) stamp: u32,
    pub(super) state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Waiting,
    Granted,
    Dismissed(RejectionKind),
}

/// The chunk that a node is in, and where in it.
fn locate(index: u32) -> (usize, usize) {
    let n = index as usize + FIRST;
    let chunk = (n.ilog2() - FIRST.ilog2()) as usize;
    (chunk, n - (FIRST << chunk))
}

impl Slab {
    pub(super) const fn new() -> Self {
        Self {
            chunks: Vec::new(),
            free: NIL,
            used: 0,
            occupied: 0,
        }
    }

    pub(super) fn insert(&mut self, node: Node) -> u32 {
        self.occupied += 1;
        let index = self.free;
        if let Some(vacant) = self.at_mut(index) {
            let next = std::mem::replace(vacant, node).behind;
            self.free = next;
            return index;
        }
        let index = self.used;
        let (chunk, _) = locate(index);
        if chunk == self.chunks.len() {
            self.chunks.push(Vec::with_capacity(FIRST << chunk));
        }
        self.chunks[chunk].push(node);
        self.used += 1;
        index
    }

    /// The node becomes free. Its waker has been taken.
    pub(super) fn remove(&mut self, index: u32) {
        let free = self.free;
        if let Some(node) = self.at_mut(index) {
            // No waiter has this stamp: what was meant for the one that has left finds nobody.
            node.stamp = 0;
            node.behind = free;
            self.free = index;
            self.occupied -= 1;
        }
    }

    /// If all nodes are free, starts anew, and gives up the chunks that only a crowd needs. They are freed by whoever
    /// gets them, not under the lock.
    pub(super) fn trim(&mut self, garbage: &mut Vec<Chunk>) {
        if self.occupied == 0 && self.chunks.len() > KEPT {
            *garbage = self.chunks.split_off(KEPT);
            self.chunks.iter_mut().for_each(Vec::clear);
            (self.free, self.used) = (NIL, 0);
        }
    }

    pub(super) fn at(&self, index: u32) -> Option<&Node> {
        if index == NIL {
            return None;
        }
        let (chunk, offset) = locate(index);
        self.chunks.get(chunk)?.get(offset)
    }

    pub(super) fn at_mut(&mut self, index: u32) -> Option<&mut Node> {
        if index == NIL {
            return None;
        }
        let (chunk, offset) = locate(index);
        self.chunks.get_mut(chunk)?.get_mut(offset)
    }

    pub(super) fn get(&self, place: Place) -> Option<&Node> {
        self.at(place.index).filter(|node| node.stamp == place.stamp)
    }

    pub(super) fn get_mut(&mut self, place: Place) -> Option<&mut Node> {
        self.at_mut(place.index).filter(|node| node.stamp == place.stamp)
    }
}
