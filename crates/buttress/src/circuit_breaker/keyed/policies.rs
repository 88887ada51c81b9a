//! The policies of breakers by key, and how they are changed.

use std::{collections::HashMap, sync::Arc};

use super::{CircuitBreaker, CircuitBreakerBuilder, KeyedCircuitBreaker, OVERFLOW, Shared, named};
use crate::config::ConfigError;

/// Replaced as a whole, so that whoever makes a breaker knows which ones it was made under.
#[derive(Clone, Debug, Default)]
pub(super) struct Policies {
    pub(super) default: CircuitBreakerBuilder,
    pub(super) of_keys: HashMap<String, CircuitBreakerBuilder>,
}

impl Policies {
    pub(super) fn of(&self, key: &str) -> &CircuitBreakerBuilder {
        self.of_keys.get(key).unwrap_or(&self.default)
    }
}

impl Shared {
    pub(super) fn is_in_force(&self, policies: &Arc<Policies>) -> bool {
        Arc::ptr_eq(&self.policies.load(), policies)
    }

    /// Puts the breaker of a key, or of those without one, under its policy, as that is when this returns: who puts it
    /// under an older one at the same time looks again after that, as this does.
    pub(super) fn renew(&self, key: Option<&str>, breaker: &CircuitBreaker) {
        loop {
            let policies = self.policies.load_full();
            let policy = key.map_or(&policies.default, |key| policies.of(key));
            breaker
                .core
                .reconfigure(named(&self.prefix, key.unwrap_or(OVERFLOW), policy));
            if self.is_in_force(&policies) {
                return;
            }
        }
    }

    fn change(&self, change: impl Fn(&mut Policies)) {
        self.policies.rcu(|policies| {
            let mut next = Policies::clone(policies);
            change(&mut next);
            next
        });
    }
}

impl KeyedCircuitBreaker {
    /// The policy of every key that has none of its own, to be changed and given to [`reconfigure`](Self::reconfigure).
    pub fn options(&self) -> CircuitBreakerBuilder {
        self.shared.policies.load().default.clone()
    }

    /// The policy that `key` is under: its own, or that of all.
    pub fn options_for(&self, key: &str) -> CircuitBreakerBuilder {
        self.shared.policies.load().of(key).clone()
    }

    /// Changes the policy of every key that has none of its own, of the breakers that there are and of those to come. They
    /// keep state and counts, as [`CircuitBreaker::reconfigure`] says; what that was told for a single one of them is
    /// replaced. The name in the options is not used.
    ///
    /// # Errors
    ///
    /// Every option that makes no sense, all at once; then nothing is changed.
    pub fn reconfigure(&self, policy: CircuitBreakerBuilder) -> Result<(), ConfigError> {
        policy.check()?;
        let shared = &self.shared;
        shared.change(|policies| policies.default = policy.clone());
        shared.renew(None, shared.map.overflow());
        for (key, breaker) in shared.map.snapshot() {
            if !shared.policies.load().of_keys.contains_key(&*key) {
                shared.renew(Some(&key), &breaker);
            }
        }
        Ok(())
    }

    /// Puts `key` under a policy of its own, from now on, or `None`: under that of all again. If it has a breaker, that
    /// keeps state and counts; when it has left and the key comes again, the policy is still there. The name in the options
    /// is not used.
    ///
    /// # Errors
    ///
    /// Every option that makes no sense, all at once; then nothing is changed.
    pub fn reconfigure_for(
        &self,
        key: &str,
        policy: impl Into<Option<CircuitBreakerBuilder>>,
    ) -> Result<(), ConfigError> {
        let policy = policy.into();
        if let Some(policy) = &policy {
            policy.check()?;
        }
        let shared = &self.shared;
        shared.change(|policies| {
            match &policy {
                Some(policy) => policies.of_keys.insert(key.to_owned(), policy.clone()),
                None => policies.of_keys.remove(key),
            };
        });
        if let Some(breaker) = shared.map.get(key) {
            shared.renew(Some(key), &breaker);
        }
        Ok(())
    }
}
