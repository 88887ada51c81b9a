use std::{fmt, sync::Arc};

use crate::{
    admission::{Admission, MakeAdmission},
    config::Problems,
};

/// An endpoint to be put into a [`Pool`](super::Pool): its name, and what stands behind it.
#[derive(Clone)]
#[must_use = "an endpoint does nothing until it is in a pool"]
pub struct Endpoint<T> {
    pub(super) name: Arc<str>,
    pub(super) target: T,
    pub(super) weight: u32,
    pub(super) guard: Option<Arc<dyn Admission>>,
}

pub(super) const MAX_WEIGHT: u32 = 10_000;

impl<T> Endpoint<T> {
    /// An endpoint of weight 1. `target` is a service or any other client; every call gets a clone of it.
    pub fn new(name: impl Into<Arc<str>>, target: T) -> Self {
        Self {
            name: name.into(),
            target,
            weight: 1,
            guard: None,
        }
    }

    /// How much of the traffic it gets beside the others (1; 1 to 10 000).
    pub fn weight(mut self, weight: u32) -> Self {
        self.weight = weight;
        self
    }

    /// Its own breaker, limit, or [both](crate::admission::Both), instead of what the pool makes
    /// ([`PoolBuilder::breaker`](super::PoolBuilder::breaker)).
    /// The pool drives it: it must not stand in the endpoint's own stack as well.
    pub fn breaker(mut self, breaker: impl Admission + 'static) -> Self {
        self.guard = Some(Arc::new(breaker));
        self
    }

    /// With the breaker that `make` makes, if it makes one.
    #[allow(dead_code)]
    pub(crate) fn guarded_by(mut self, make: &Arc<dyn MakeAdmission>) -> Self {
        self.guard = make.make(&self.name).ok();
        self
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// What stands behind it.
    #[must_use]
    pub fn target(&self) -> &T {
        &self.target
    }

    pub(super) fn check(&self, problems: &mut Problems) {
        problems.check(!self.name.is_empty(), "name", "nothing", "a name");
        check_weight(self.weight, problems);
    }
}

pub(super) fn check_weight(weight: u32, problems: &mut Problems) {
    problems.check(
        (1..=MAX_WEIGHT).contains(&weight),
        "weight",
        weight,
        "1 to 10000; to take an endpoint out, drain it",
    );
}

impl<T> fmt::Debug for Endpoint<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("name", &self.name)
            .field("weight", &self.weight)
            .finish_non_exhaustive()
    }
}
