//! Endpoints that come and go, and drills.

use std::sync::Arc;

use super::{
    endpoint::{Endpoint, check_weight},
    events::PoolEvent,
    policy::Pool,
};
use crate::{
    config::{ConfigError, Problems},
    registry::{Drill, DrillError},
};

impl<T> Pool<T> {
    // ===== the endpoints =====

    /// Adds an endpoint. Calls that choose from now on may choose it.
    ///
    /// # Errors
    ///
    /// What is wrong with it, a name that another has included; then nothing is changed.
    pub fn add(&self, endpoint: Endpoint<T>) -> Result<(), ConfigError> {
        self.shared.add(endpoint, false).map(|_| ())
    }

    /// Adds an endpoint, or puts it in the place of the one of its name, which is [removed](Self::remove). What has been
    /// counted under the name goes on. How well it does is found out anew, by a breaker of its own or a new one from the
    /// pool, whose counts begin at zero.
    ///
    /// # Errors
    ///
    /// What is wrong with it; then nothing is changed.
    pub fn insert(&self, endpoint: Endpoint<T>) -> Result<(), ConfigError> {
        self.shared.add(endpoint, true).map(|_| ())
    }

    /// Removes an endpoint. Once this has returned, no call chooses it; those that are on their way to it go on in
    /// peace. `false` if there is none of that name.
    pub fn remove(&self, name: &str) -> bool {
        self.shared.remove(name).is_some()
    }

    /// Has an endpoint take no new calls, until it is [resumed](Self::resume) or removed. Once this has returned, no
    /// call chooses it. `false` if there is none of that name, or it is draining already.
    pub fn drain(&self, name: &str) -> bool {
        let drained = self.shared.find(name).filter(|node| node.drain());
        if let Some(node) = &drained {
            self.shared.hub.emit(PoolEvent::Draining {
                node: node.name.clone(),
            });
        }
        drained.is_some()
    }

    /// Has an endpoint that was draining take calls again. `false` if there is none of that name, or it was not.
    pub fn resume(&self, name: &str) -> bool {
        let resumed = self.shared.find(name).is_some_and(|node| node.resume());
        if resumed {
            self.shared.hub.changed.notify_waiters();
        }
        resumed
    }

    /// Waits until an endpoint has no calls in flight, be it for a moment: drain it first, or by the time that this returns
    /// there may be others. At once if there is none of that name.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn emptied(&self, name: &str) {
        if let Some(node) = self.shared.find(name) {
            node.emptied().await;
        }
    }

    /// Gives an endpoint another weight.
    ///
    /// # Errors
    ///
    /// A weight that makes no sense, or a name that no endpoint has.
    pub fn set_weight(&self, name: &str, weight: u32) -> Result<(), ConfigError> {
        let mut problems = Problems::new();
        check_weight(weight, &mut problems);
        problems.into_result()?;
        match self.shared.set_weight(name, weight) {
            true => Ok(()),
            false => Err(ConfigError::one("name", name, "the name of an endpoint")),
        }
    }

    /// Weighs each endpoint by how it has done since this was last done: by its weight times the share of its calls
    /// that succeeded, but at least a tenth of its weight. An endpoint that has had no calls gets its whole weight
    /// back, and so does one that has recovered.
    ///
    /// With health checks it happens by itself, every
    /// [`rebalance_interval`](super::HealthCheck::rebalance_interval) and whenever an endpoint recovers.
    pub fn rebalance(&self) {
        self.shared.rebalance();
    }

    /// The names of the endpoints, in the order in which they were added.
    #[must_use]
    pub fn endpoints(&self) -> Vec<Arc<str>> {
        self.shared.nodes().iter().map(|node| node.name.clone()).collect()
    }

    // ===== drills =====

    /// Carries out a drill on one endpoint: on its breaker, and for a reset on everything that is known of it.
    ///
    /// # Errors
    ///
    /// [`DrillError::UnknownName`] if there is no endpoint of that name, [`DrillError::Unsupported`] if it has no
    /// breaker that understands the drill.
    pub fn drill(&self, endpoint: &str, drill: &Drill) -> Result<(), DrillError> {
        let Some(node) = self.shared.find(endpoint) else {
            return Err(DrillError::UnknownName {
                name: endpoint.chars().take(64).collect(),
                known: self.endpoints(),
            });
        };
        match (drill, node.guard()) {
            (Drill::Reset, _) => {
                node.reset();
                Ok(())
            }
            (_, Some(guard)) => guard.drill(drill),
            (_, None) => Err(DrillError::Unsupported),
        }
    }

    /// Resets every endpoint: its breaker, and what is known of its health and its answers.
    pub fn reset_all(&self) {
        self.shared.nodes().iter().for_each(|node| node.reset());
    }
}
