//! Which request was seen where, by its trace-id.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// So many of the newest are remembered.
const KEPT: usize = 1000;

/// A request that an upstream has answered.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sighting {
    pub(crate) trace: String,
    /// The upstream's name.
    pub(crate) by: &'static str,
    pub(crate) status: u16,
}

/// What several upstreams have seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sightings(Arc<Mutex<VecDeque<Sighting>>>);

impl Sightings {
    pub(crate) fn add(&self, sighting: Sighting) {
        let mut all = self.lock();
        if all.len() == KEPT {
            all.pop_front();
        }
        all.push_back(sighting);
    }

    /// Those of one trace, the first first.
    pub(crate) fn of(&self, trace: &str) -> Vec<Sighting> {
        let all = self.lock();
        all.iter().filter(|seen| seen.trace == trace).cloned().collect()
    }

    // Upstreams take turns at it, a few hundred times a second.
    fn lock(&self) -> MutexGuard<'_, VecDeque<Sighting>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
