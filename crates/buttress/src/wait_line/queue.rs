//! Who stands in the line, in which order.

use super::{
    Place,
    slab::{NIL, Slab},
};

pub(super) struct Queue {
    pub(super) slab: Slab,
    pub(super) lists: Box<[List]>,
    /// Bit `c`: somebody waits in class `c`.
    pub(super) occupied: u128,
    pub(super) waiting: usize,
    pub(super) weight: u64,
    pub(super) stamp: u32,
    /// The first that has been told so.
    pub(super) told: Option<Place>,
}

/// A class: those in it, by index, from the oldest to the youngest.
#[derive(Clone, Copy)]
pub(super) struct List {
    pub(super) oldest: u32,
    pub(super) youngest: u32,
    pub(super) len: u32,
}

// ===== impl Queue =====

impl Queue {
    pub(super) fn new(classes: u8) -> Self {
        let empty = List {
            oldest: NIL,
            youngest: NIL,
            len: 0,
        };
        Self {
            slab: Slab::new(),
            lists: vec![empty; usize::from(classes)].into_boxed_slice(),
            occupied: 0,
            waiting: 0,
            weight: 0,
            stamp: 0,
            told: None,
        }
    }

    pub(super) fn link(&mut self, index: u32, class: u8) {
        let list = &mut self.lists[usize::from(class)];
        let before = list.youngest;
        list.youngest = index;
        list.len += 1;
        if before == NIL {
            list.oldest = index;
            self.occupied |= 1 << class;
        }
        if let Some(node) = self.slab.at_mut(before) {
            node.behind = index;
        }
        if let Some(node) = self.slab.at_mut(index) {
            node.waiter.class = class;
            (node.before, node.behind) = (before, NIL);
        }
    }

    pub(super) fn unlink(&mut self, index: u32) {
        let Some(node) = self.slab.at(index) else { return };
        let (before, behind, class) = (node.before, node.behind, node.waiter.class);
        let list = &mut self.lists[usize::from(class)];
        list.len -= 1;
        match self.slab.at_mut(before) {
            Some(node) => node.behind = behind,
            None => list.oldest = behind,
        }
        match self.slab.at_mut(behind) {
            Some(node) => node.before = before,
            None => list.youngest = before,
        }
        if list.len == 0 {
            self.occupied &= !(1 << class);
        }
    }
}

/// The bits that are set, from the highest on.
pub(super) struct Classes(pub(super) u128);

impl Iterator for Classes {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let class = self.0.checked_ilog2()?;
        self.0 &= !(1 << class);
        u8::try_from(class).ok()
    }
}

impl DoubleEndedIterator for Classes {
    fn next_back(&mut self) -> Option<u8> {
        let class = self.0.trailing_zeros();
        self.0 &= self.0.checked_sub(1)?;
        u8::try_from(class).ok()
    }
}
