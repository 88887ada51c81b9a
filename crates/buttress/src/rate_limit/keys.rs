//! One limit a key.

use std::{collections::HashMap, sync::Arc, time::Duration};

use arc_swap::ArcSwap;

use super::{Algorithm, Key, KeyBy, Limit, key::OwnedKey, spot::Spot, tariff::Tariff};
use crate::{config::Problems, duration::Human, keyed::Keyed};

#[derive(Clone, Debug, PartialEq)]
pub(super) struct KeyOptions {
    pub(super) by: Option<KeyBy>,
    pub(super) max_keys: usize,
    pub(super) idle: Duration,
    pub(super) limits: Vec<(OwnedKey, Limit)>,
}

impl Default for KeyOptions {
    fn default() -> Self {
        Self {
            by: None,
            max_keys: 100_000,
            idle: Duration::from_secs(600),
            limits: Vec::new(),
        }
    }
}

impl KeyOptions {
    pub(super) fn check(&self, algorithm: Algorithm, problems: &mut Problems) {
        problems.check(self.max_keys >= 1, "max_keys", self.max_keys, "1 or more");
        problems.check(
            !self.idle.is_zero(),
            "idle",
            Human(self.idle),
            "a duration above zero",
        );
        for (_, limit) in &self.limits {
            let mut of_key = Problems::new();
            limit.check(algorithm, &mut of_key);
            problems.accept("limit_for", of_key.into_result());
        }
    }
}

/// The limits by key.
pub(super) struct Keys {
    map: Keyed<OwnedKey, Arc<Spot>>,
    pub(super) by: Option<KeyBy>,
    default: Arc<Tariff>,
    others: ArcSwap<HashMap<OwnedKey, Arc<Tariff>>>,
}

impl Keys {
    pub(super) fn new(options: &KeyOptions, overflow: Arc<Spot>, tariff: &dyn Fn(Limit) -> Tariff) -> Self {
        let others = options.limits.iter();
        let others = others.map(|(key, limit)| (key.clone(), Arc::new(tariff(*limit))));
        Self {
            default: overflow.tariff.clone(),
            map: Keyed::new(options.max_keys, options.idle, overflow),
            by: options.by.clone(),
            others: ArcSwap::from_pointee(others.collect()),
        }
    }

    /// The limit of `key`, made if this is its first use; that of all others if there is no room for it.
    #[inline]
    pub(super) fn find(&self, key: &Key<'_>) -> Arc<Spot> {
        if !key.is_kept() {
            return self.map.overflow().clone();
        }
        let make = |key: &OwnedKey| Arc::new(Spot::new(self.tariff_of(key)));
        self.map.get_or_insert_with(key, Key::to_owned, make).into_value()
    }

    fn tariff_of(&self, key: &OwnedKey) -> Arc<Tariff> {
        self.others.load().get(key).unwrap_or(&self.default).clone()
    }

    /// The limit of `key`, or one that is as it would be.
    pub(super) fn look(&self, key: &Key<'_>) -> Arc<Spot> {
        let known = key.is_kept().then(|| self.map.get(key));
        match known {
            Some(Some(spot)) => spot,
            Some(None) => Arc::new(Spot::new(self.tariff_of(&key.to_owned()))),
            None => self.map.overflow().clone(),
        }
    }

    /// Puts `key` under a limit of its own, or under another one; `None`: under that of all. Whether that changed a rule,
    /// so that states have to be refreshed.
    pub(super) fn set(&self, key: &Key<'_>, tariff: Option<Tariff>) -> bool {
        let key = key.to_owned();
        let old = self.others.load().get(&key).cloned();
        if let (Some(old), Some(tariff)) = (&old, &tariff) {
            old.change(tariff.limit());
            return true;
        }
        let tariff = tariff.map(Arc::new);
        self.others.rcu(|others| {
            let mut next = HashMap::clone(others);
            match &tariff {
                Some(tariff) => next.insert(key.clone(), tariff.clone()),
                None => next.remove(&key),
            };
            next
        });
        // It begins anew, under the limit that it has now.
        self.map.remove(&key);
        false
    }

    #[cfg(feature = "http")]
    pub(super) fn has_others(&self) -> bool {
        !self.others.load().is_empty()
    }

    pub(super) fn limits(&self) -> Vec<(OwnedKey, Limit)> {
        let others = self.others.load();
        others
            .iter()
            .map(|(key, tariff)| (key.clone(), tariff.limit()))
            .collect()
    }

    pub(super) fn for_each(&self, mut f: impl FnMut(&Spot)) {
        self.map.for_each(|_, spot| f(spot));
    }

    pub(super) fn len(&self) -> usize {
        self.map.len()
    }

    pub(super) fn capacity(&self) -> usize {
        self.map.capacity()
    }

    pub(super) fn overflowed(&self) -> u64 {
        self.map.overflowed()
    }
}
