//! One breaker a key.

mod layer;
mod policies;
mod service;

use std::{
    cell::Cell,
    fmt,
    marker::PhantomData,
    sync::{Arc, Weak},
    time::Duration,
};

use arc_swap::ArcSwap;

use self::policies::Policies;
pub use self::{layer::KeyedCircuitBreakerLayer, service::KeyedCircuitBreakerService};
use super::{CircuitBreaker, CircuitBreakerBuilder, Snapshot, State, call::CircuitBreakerCall, families};
use crate::{
    clock::Instant,
    config::{ConfigError, Problems},
    duration::Human,
    export::Samples,
    keyed::{Evictable, Found, Keyed},
    registry::{Created, Drill, DrillError, Emitter, Listener, Policy},
    value::Table,
};

/// Longer keys share the overflow breaker: a key comes from outside, and the map holds many.
const LONGEST_KEY: usize = 256;

/// What stands in the name of the overflow breaker for a key.
const OVERFLOW: &str = "*";

/// A circuit breaker for each key: for each host, gRPC method, tenant or account.
///
/// A breaker is made when its key is first used, from the policy of that key or the default one, and is called
/// `prefix:key`. The number of keys is capped; keys that are idle leave, unless their breaker is open before its
/// time or was put into a state by hand. When the map is full, new keys share one overflow breaker
/// (`prefix:*`), and none is refused for being new. Keys of over 256 bytes, and calls without a key, share it too.
///
/// The policies can be changed at run time by [`reconfigure`](Self::reconfigure) and
/// [`reconfigure_for`](Self::reconfigure_for). What [`CircuitBreaker::reconfigure`] does to a single breaker is gone when
/// its key leaves.
///
/// # Clone
///
/// Clones share the breakers.
///
/// ```
/// # tokio_test::block_on(async {
/// use buttress::circuit_breaker::{CircuitBreaker, KeyedCircuitBreaker, State};
///
/// let breakers = KeyedCircuitBreaker::builder("grpc")
///     .policy(CircuitBreaker::builder().consecutive_failures(5))
///     .policy_for("user-service", CircuitBreaker::builder().consecutive_failures(1))
///     .build()?;
///
/// let failed = breakers.call("user-service", async { Err::<(), _>("down") }).await;
/// assert!(failed.is_err());
/// assert_eq!(breakers.state("user-service"), Some(State::Open));
/// assert_eq!(breakers.state("payment-service"), None);
/// assert_eq!(&*breakers.get("payment-service").name(), "grpc:payment-service");
/// # Ok::<(), buttress::ConfigError>(())
/// # });
/// ```
#[derive(Clone)]
pub struct KeyedCircuitBreaker {
    shared: Arc<Shared>,
}

struct Shared {
    map: Keyed<Arc<str>, CircuitBreaker>,
    prefix: Arc<str>,
    policies: ArcSwap<Policies>,
    events: Arc<Emitter>,
}

/// The options of a [`KeyedCircuitBreaker`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it is built"]
pub struct KeyedCircuitBreakerBuilder {
    prefix: Arc<str>,
    policies: Policies,
    max_keys: usize,
    idle: Duration,
}

impl KeyedCircuitBreakerBuilder {
    /// The policy of every key that has none of its own. Its name is not used.
    pub fn policy(mut self, policy: CircuitBreakerBuilder) -> Self {
        self.policies.default = policy;
        self
    }

    /// The policy of one key. Its name is not used.
    pub fn policy_for(mut self, key: impl Into<String>, policy: CircuitBreakerBuilder) -> Self {
        self.policies.of_keys.insert(key.into(), policy);
        self
    }

    /// The most keys at a time (10 000).
    pub fn max_keys(mut self, keys: usize) -> Self {
        self.max_keys = keys;
        self
    }

    /// How long a key must be unused before it may leave (10 minutes). It leaves within twice that, when other keys
    /// arrive.
    pub fn idle(mut self, idle: Duration) -> Self {
        self.idle = idle;
        self
    }

    /// Checks the options, of every policy too.
    ///
    /// # Errors
    ///
    /// Every option that makes no sense, all at once.
    pub fn build(self) -> Result<KeyedCircuitBreaker, ConfigError> {
        let mut problems = Problems::new();
        problems.check(self.max_keys >= 1, "max_keys", self.max_keys, "1 or more");
        problems.check(
            !self.idle.is_zero(),
            "idle",
            Human(self.idle),
            "a duration above zero",
        );
        problems.accept("policy", self.policies.default.check());
        for (key, policy) in &self.policies.of_keys {
            problems.accept(key, policy.check());
        }
        problems.into_result()?;
        Ok(KeyedCircuitBreaker {
            shared: Arc::new(Shared::new(self)),
        })
    }
}

impl Shared {
    fn new(options: KeyedCircuitBreakerBuilder) -> Self {
        let overflow =
            CircuitBreaker::from_checked(named(&options.prefix, OVERFLOW, &options.policies.default));
        let shared = Self {
            map: Keyed::new(options.max_keys, options.idle, overflow),
            prefix: options.prefix,
            policies: ArcSwap::from_pointee(options.policies),
            events: Arc::default(),
        };
        shared.forward_events_of(shared.map.overflow(), OVERFLOW.into());
        shared
    }

    fn forward_events_of(&self, breaker: &CircuitBreaker, key: Arc<str>) {
        let events: Weak<Emitter> = Arc::downgrade(&self.events);
        breaker.listen(move |event| {
            if let Some(events) = events.upgrade() {
                events.forward_of_member(event, &key);
            }
        });
    }
}

/// A policy under the name of its key.
fn named(prefix: &str, key: &str, policy: &CircuitBreakerBuilder) -> CircuitBreakerBuilder {
    let name = match prefix {
        "" => key.to_owned(),
        prefix => format!("{prefix}:{key}"),
    };
    policy.clone().name(name)
}

impl KeyedCircuitBreaker {
    /// The options, for breakers called `prefix:key`, or just by their key if the prefix is empty.
    pub fn builder(prefix: impl Into<Arc<str>>) -> KeyedCircuitBreakerBuilder {
        KeyedCircuitBreakerBuilder {
            prefix: prefix.into(),
            policies: Policies::default(),
            max_keys: 10_000,
            idle: Duration::from_secs(600),
        }
    }

    /// The breaker of `key`, made if this is its first use.
    #[must_use]
    pub fn get(&self, key: &str) -> CircuitBreaker {
        if key.len() > LONGEST_KEY {
            return self.shared.map.overflow().clone();
        }
        let shared = &self.shared;
        let under = Cell::new(None);
        let found = shared.map.get_or_insert_with(key, Arc::from, |key: &Arc<str>| {
            let policies = shared.policies.load_full();
            let breaker = CircuitBreaker::from_checked(named(&shared.prefix, key, policies.of(key)));
            under.set(Some(policies));
            breaker
        });
        if let Found::Made(breaker) = &found {
            let key: Arc<str> = key.into();
            shared.forward_events_of(breaker, key.clone());
            if !under.take().is_some_and(|under| shared.is_in_force(&under)) {
                // They were changed while it was on its way into the map, where the change has not found it.
                shared.renew(Some(&key), breaker);
            }
            shared
                .events
                .emit_of_member(super::CONCERN, &breaker.name(), &key, || Created);
        }
        found.into_value()
    }

    /// Runs `future` through the breaker of `key`; see [`CircuitBreaker::call`].
    ///
    /// # Errors
    ///
    /// As [`CircuitBreaker::call`].
    pub fn call<F, T, E>(&self, key: &str, future: F) -> CircuitBreakerCall<F>
    where
        F: Future<Output = Result<T, E>>,
    {
        self.get(key).call(future)
    }

    /// The state of the breaker of `key`, if it has one.
    #[must_use]
    pub fn state(&self, key: &str) -> Option<State> {
        self.shared.map.get(key).map(|breaker| breaker.state())
    }

    /// The state and the books of every breaker there is, the overflow one at the end.
    #[must_use]
    pub fn snapshot_all(&self) -> Vec<Snapshot> {
        self.breakers().iter().map(CircuitBreaker::snapshot).collect()
    }

    /// Resets the breaker of `key`; `false` if it has none.
    pub fn reset(&self, key: &str) -> bool {
        let breaker = self.shared.map.get(key);
        if let Some(breaker) = &breaker {
            breaker.reset();
        }
        breaker.is_some()
    }

    /// Forgets the breaker of `key`, whatever its state; the next use of the key makes a new one. Returns the old
    /// one, with which calls in flight go on.
    pub fn remove(&self, key: &str) -> Option<CircuitBreaker> {
        self.shared.map.remove(key)
    }

    /// Resets every breaker.
    pub fn reset_all(&self) {
        self.breakers().iter().for_each(CircuitBreaker::reset);
    }

    /// How many keys have a breaker of their own.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.map.len()
    }

    /// Whether no key has one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How often a new key found no room and was sent to the overflow breaker.
    #[must_use]
    pub fn overflowed(&self) -> u64 {
        self.shared.map.overflowed()
    }

    /// The layer that sends each request through the breaker of its key. Requests without one share the overflow
    /// breaker.
    ///
    /// ```
    /// use buttress::{circuit_breaker::KeyedCircuitBreaker, outcome::Plain};
    ///
    /// struct Query { tenant: String }
    ///
    /// let breakers = KeyedCircuitBreaker::builder("tenant").build()?;
    /// let layer = breakers.layer_by(Plain::new(), |query: &Query| Some(&query.tenant));
    /// # let _ = layer;
    /// # Ok::<(), buttress::ConfigError>(())
    /// ```
    pub fn layer_by<P, K, Request>(&self, protocol: P, key: K) -> KeyedCircuitBreakerLayer<P, K, Request>
    where
        K: Fn(&Request) -> Option<&str> + Clone,
    {
        KeyedCircuitBreakerLayer {
            breakers: self.clone(),
            protocol,
            key,
            request: PhantomData,
        }
    }

    fn breakers(&self) -> Vec<CircuitBreaker> {
        let keyed = self.shared.map.snapshot().into_iter().map(|(_, breaker)| breaker);
        keyed.chain([self.shared.map.overflow().clone()]).collect()
    }
}

/// Nothing is lost with a closed breaker that nobody holds, nor with one whose open time is over. What an operator
/// decided by hand stays.
impl Evictable for CircuitBreaker {
    fn evictable(&self, now: Instant) -> bool {
        let held = Arc::strong_count(&self.core) > 1;
        !held
            && match self.state() {
                State::Closed | State::HalfOpen => true,
                State::Open => self.would_admit(now),
                State::ForcedOpen | State::Disabled | State::MetricsOnly => false,
            }
    }
}

impl fmt::Debug for KeyedCircuitBreaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedCircuitBreaker")
            .field("prefix", &self.shared.prefix)
            .field("keys", &self.len())
            .finish_non_exhaustive()
    }
}

/// Its breakers are members of it, so each can be read and drilled as `{name}:{key}`, by the name that the registry has
/// for it.
impl Policy for KeyedCircuitBreaker {
    fn concern(&self) -> &'static str {
        "keyed_circuit_breaker"
    }

    fn identity(&self) -> usize {
        Arc::as_ptr(&self.shared) as usize
    }

    fn describe(&self, state: &mut Table) {
        state.insert(
            "keyedCircuitBreaker",
            Table::new()
                .with("keys", self.len())
                .with("maxKeys", self.shared.map.capacity())
                .with("overflowed", self.overflowed()),
        );
    }

    fn samples(&self, name: &str, samples: &mut Samples) {
        let states = self
            .shared
            .map
            .snapshot()
            .into_iter()
            .map(|(_, b)| b.snapshot().state);
        families::write_keyed(states, self.overflowed(), name, samples);
        // Keys with a policy of their own are the operator's choice, and not without end.
        for key in self.shared.policies.load().of_keys.keys() {
            if let Some(breaker) = self.shared.map.get(key.as_str()) {
                breaker.samples(&format!("{name}:{key}"), samples);
            }
        }
    }

    fn listen(&self, listener: Listener) {
        self.shared.events.listen(listener);
    }

    fn drill(&self, drill: &Drill) -> Result<(), DrillError> {
        match drill {
            // Its members are listed beside it, so a reset of all reaches them by themselves.
            Drill::Reset => {
                self.reset_all();
                Ok(())
            }
            _ => Err(DrillError::Unsupported),
        }
    }

    fn members(&self, name: &str) -> Vec<(Arc<str>, Arc<dyn Policy>)> {
        let member = |key: &str, breaker: CircuitBreaker| {
            let breaker: Arc<dyn Policy> = Arc::new(breaker);
            (Arc::from(format!("{name}:{key}")), breaker)
        };
        let map = &self.shared.map;
        let keyed = map.snapshot().into_iter();
        let keyed = keyed.map(|(key, breaker)| member(&key, breaker));
        keyed.chain([member(OVERFLOW, map.overflow().clone())]).collect()
    }
}
