use std::{sync::Arc, time::Duration};

use super::{Snapshot, account::Account};
use crate::{
    clock::Instant,
    keyed::{Evictable, Keyed},
};

/// Longer names are no routes: they come from whoever asks.
const LONGEST: usize = 128;

/// Calls of which the protocol knows no route.
const UNMATCHED: &str = "unmatched";
/// Those for which there was no room, and those that nobody may have.
const OTHER: &str = "other";

/// Books for each route, up to a number of them.
pub(super) struct Routes {
    most: usize,
    map: Keyed<Arc<str>, Arc<Account>>,
    unmatched: Arc<Account>,
    stack: Arc<Account>,
}

/// What has been counted is not forgotten: a counter that went away and came back would have lost calls.
impl Evictable for Arc<Account> {
    fn evictable(&self, _: Instant) -> bool {
        false
    }
}

impl Routes {
    pub(super) fn new(most: usize, stack: &Arc<Account>) -> Self {
        let account = || Arc::new(Account::of_route(stack));
        Self {
            most,
            map: Keyed::new(most, Duration::MAX, account()),
            unmatched: account(),
            stack: stack.clone(),
        }
    }

    /// For how many there is room.
    pub(super) fn most(&self) -> usize {
        self.most
    }

    #[inline]
    pub(super) fn account(&self, route: Option<&str>) -> Arc<Account> {
        match route {
            None => self.unmatched.clone(),
            Some(route) if route.len() > LONGEST => self.other().clone(),
            Some(route) => self.open(route),
        }
    }

    /// The same for a route that whoever calls may have made up. An error is one that there is room for, and no sign yet
    /// that it exists.
    #[inline]
    pub(super) fn claimed<'a>(&self, route: Option<&'a str>) -> Result<Arc<Account>, &'a str> {
        match route {
            Some(route) if route.len() <= LONGEST => match self.map.get(route) {
                Some(known) => Ok(known),
                None if self.map.len() < self.most => Err(route),
                None => Ok(self.other().clone()),
            },
            unnamed => Ok(self.account(unnamed)),
        }
    }

    /// The books of that route, opened if there are none yet; those of the others if there is no room.
    #[inline]
    pub(super) fn open(&self, route: &str) -> Arc<Account> {
        let make = |_: &Arc<str>| Arc::new(Account::of_route(&self.stack));
        self.map.get_or_insert_with(route, Arc::from, make).into_value()
    }

    pub(super) fn other(&self) -> &Arc<Account> {
        self.map.overflow()
    }

    pub(super) fn keep_exemplars(&self) {
        for (_, account) in self.map.snapshot() {
            account.keep_exemplars();
        }
        self.other().keep_exemplars();
        self.unmatched.keep_exemplars();
    }

    pub(super) fn snapshots(&self) -> Vec<Snapshot> {
        let mut all: Vec<_> = self.map.snapshot();
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        all.push((OTHER.into(), self.other().clone()));
        all.push((UNMATCHED.into(), self.unmatched.clone()));
        all.into_iter()
            .map(|(route, account)| account.books.snapshot(route))
            .collect()
    }
}
