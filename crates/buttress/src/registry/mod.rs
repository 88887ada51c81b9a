//! Policies by name: what there is, how it does, and how to drill it.
//!
//! A [`Registry`] is where an operator looks. Every policy that a stack names is in one; each can be read
//! ([`snapshot`](Registry::snapshot)), [drilled](Registry::drill), [changed](Registry::get) and listened to
//! ([`subscribe`](Registry::subscribe)). The registry keeps no books of its own: it reads those of the policies,
//! so the numbers it shows cannot differ from theirs.
//!
//! ```
//! # #[cfg(feature = "circuit-breaker")] {
//! use buttress::{circuit_breaker::CircuitBreaker, registry::{Drill, Registry}};
//!
//! let registry = Registry::new();
//! let breaker = CircuitBreaker::builder().name("payments").build().expect("valid options");
//! registry.register("payments", &breaker);
//!
//! registry.drill("payments", &Drill::ForceOpen).expect("a breaker can be forced open");
//! let state = registry.snapshot();
//! assert_eq!(state.at(&["payments", "circuitBreaker", "state"]).and_then(|s| s.as_str()), Some("FORCED_OPEN"));
//! # }
//! ```

mod drill;
mod event;
mod list;

use std::{
    any::Any,
    collections::HashSet,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

pub use drill::{Drill, DrillError};
pub use event::{Created, Detail, Event, Lagged, PolicyChanged, Removed, Subscription};
pub(crate) use event::{Emitter, News};
use list::List;

use crate::{
    export::Samples,
    value::{Table, Value},
};

/// What a registry asks of a policy. Implement it for a policy of your own to have it listed beside ours.
pub trait Policy: Any + fmt::Debug + Send + Sync {
    /// The concern, in `snake_case`: `circuit_breaker`, `metrics`.
    fn concern(&self) -> &'static str;

    /// Something that is the same for all clones of the policy and differs between policies: the address of
    /// its shared state. By it a registry knows a policy that it has already listed.
    fn identity(&self) -> usize;

    /// Writes the policy's state into the table of its name.
    fn describe(&self, state: &mut Table);

    /// Writes what the policy counts under the name that the registry has for it, for exporters to show. Nothing that
    /// comes from outside may become a label.
    fn samples(&self, name: &str, samples: &mut Samples) {
        let _ = (name, samples);
    }

    /// Has `listener` called with every event of the policy, from now on.
    fn listen(&self, listener: Listener) {
        drop(listener);
    }

    /// Carries out a drill.
    ///
    /// # Errors
    ///
    /// [`DrillError::Unsupported`] if the drill means nothing to this policy.
    fn drill(&self, drill: &Drill) -> Result<(), DrillError> {
        let _ = drill;
        Err(DrillError::Unsupported)
    }

    /// Policies that this one holds, as a keyed policy does, under names that begin with the `name` that the registry
    /// has for it: so those of two do not meet. [`samples`](Self::samples) should call them the same.
    fn members(&self, name: &str) -> Vec<(Arc<str>, Arc<dyn Policy>)> {
        let _ = name;
        Vec::new()
    }
}

/// A callback for events. It is called outside every lock, so it may ask or change the policy that calls it; a
/// panic in it is caught and logged.
pub type Listener = Arc<dyn Fn(&Event) + Send + Sync>;

/// Policies by name. Clones are handles to the same registry.
#[derive(Clone, Default)]
pub struct Registry {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    // A lock is fine here: no call ever comes this way, only set-up and those who look.
    list: Mutex<List>,
    events: Emitter,
}

impl Registry {
    /// An empty registry.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Lists `policy` under `name` and returns the name it got.
    ///
    /// Policies of different concerns share a name, as the breaker and the metrics of one stack do. If another
    /// policy of the same concern has the name already, this one is listed as `name#2` (and so on), for nothing
    /// that counts calls may vanish from sight. Registering a policy a second time changes nothing.
    pub fn register<P: Policy + Clone>(&self, name: impl Into<Arc<str>>, policy: &P) -> Arc<str> {
        self.register_shared(name.into(), Arc::new(policy.clone()))
    }

    fn register_shared(&self, wanted: Arc<str>, policy: Arc<dyn Policy>) -> Arc<str> {
        let concern = policy.concern();
        let (name, link, is_new) = {
            let mut list = self.list();
            if let Some(entry) = list.find(&*policy) {
                return entry.name.clone();
            }
            let name = list.free_name(wanted, concern);
            let (link, is_new) = list.add(name.clone(), policy.clone());
            (name, link, is_new)
        };
        if is_new {
            let shared = Arc::downgrade(&self.shared);
            policy.listen(Arc::new(move |event| {
                if let (Some(name), Some(shared)) = (link.name(), shared.upgrade()) {
                    if shared.events.is_heard() {
                        shared.events.forward(&event.named(&name, concern));
                    }
                }
            }));
        }
        self.shared.events.emit(concern, &name, || Created);
        name
    }

    /// Takes every policy of that name off the list: what is built anew under it gets the name itself, not `name#2`.
    /// `false` if there is none. The policies go on; they are just no longer seen from here. What a policy
    /// holds under names of its own goes and comes with it.
    ///
    /// ```
    /// # #[cfg(feature = "circuit-breaker")] {
    /// use buttress::{Registry, circuit_breaker::CircuitBreaker};
    ///
    /// let registry = Registry::new();
    /// registry.register("payments", &CircuitBreaker::new());
    /// assert!(registry.remove("payments"));
    /// assert_eq!(&*registry.register("payments", &CircuitBreaker::new()), "payments");
    /// # }
    /// ```
    pub fn remove(&self, name: &str) -> bool {
        let removed = self.list().remove(name);
        for entry in &removed {
            let concern = entry.policy.concern();
            self.shared.events.emit(concern, &entry.name, || Removed);
        }
        // Only here are they dropped, if nobody else has them: outside the lock.
        !removed.is_empty()
    }

    /// The policy of that name and type, those inside of pools and keyed policies included: to change its options while
    /// it runs, or for whatever else it can do.
    ///
    /// ```
    /// # #[cfg(feature = "circuit-breaker")] {
    /// use buttress::{Registry, circuit_breaker::CircuitBreaker};
    ///
    /// let registry = Registry::new();
    /// registry.register("payments", &CircuitBreaker::new());
    ///
    /// let breaker = registry.get::<CircuitBreaker>("payments").expect("it is listed");
    /// breaker.reconfigure(breaker.options().consecutive_failures(10))?;
    /// # }
    /// # Ok::<(), buttress::ConfigError>(())
    /// ```
    #[must_use]
    pub fn get<P: Policy + Clone>(&self, name: &str) -> Option<P> {
        let named = self.all().into_iter().filter(|(n, _)| **n == *name);
        named.into_iter().find_map(|(_, policy)| {
            let policy: &dyn Any = &*policy;
            policy.downcast_ref::<P>().cloned()
        })
    }

    /// The name under which that policy is listed.
    #[must_use]
    pub fn name_of<P: Policy>(&self, policy: &P) -> Option<Arc<str>> {
        self.list().find(policy).map(|entry| entry.name.clone())
    }

    /// The names, in the order of registration, each once.
    #[must_use]
    pub fn names(&self) -> Vec<Arc<str>> {
        distinct(self.all())
    }

    /// The state of every policy: a table of names, in each the state of the policies of that name.
    #[must_use]
    pub fn snapshot(&self) -> Value {
        let mut state = Table::new();
        for (name, policy) in self.all() {
            policy.describe(state.table(&name));
        }
        Value::Table(state)
    }

    /// What every policy counts. The members of keyed policies are not among them: their keys come from outside, and
    /// would be series without end.
    #[must_use]
    pub fn samples(&self) -> Samples {
        let mut samples = Samples::default();
        let entries = self.list().entries();
        for entry in entries {
            entry.policy.samples(&entry.name, &mut samples);
        }
        samples
    }

    /// Carries out a drill on the policies of that name that understand it.
    ///
    /// # Errors
    ///
    /// [`DrillError::UnknownName`] if nothing has that name, [`DrillError::Unsupported`] if nothing of that name
    /// understands the drill.
    pub fn drill(&self, name: &str, drill: &Drill) -> Result<(), DrillError> {
        self.drill_those(name, drill, |_| true)
    }

    /// Carries out a drill on the policies of that name that are of one concern, as in
    /// [`Policy::concern`]: what else has the name is left alone.
    ///
    /// ```
    /// # #[cfg(all(feature = "circuit-breaker", feature = "rate-limit"))] {
    /// use buttress::{circuit_breaker::CircuitBreaker, rate_limit::RateLimiter, registry::{Drill, Registry}};
    ///
    /// let (breaker, limit) = (CircuitBreaker::new(), RateLimiter::per_minute(1).build()?);
    /// let registry = Registry::new();
    /// registry.register("payments", &breaker);
    /// registry.register("payments", &limit);
    /// drop(limit.try_acquire(1));
    ///
    /// registry.drill_concern("circuit_breaker", "payments", &Drill::Reset).expect("there is one");
    /// assert_eq!(limit.peek().remaining, 0, "as it was");
    /// # }
    /// # Ok::<(), buttress::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`DrillError::UnknownName`] if nothing of that concern has that name, with the names of those that are of it;
    /// [`DrillError::Unsupported`] if the drill means nothing to them.
    pub fn drill_concern(&self, concern: &str, name: &str, drill: &Drill) -> Result<(), DrillError> {
        self.drill_those(name, drill, |policy| policy.concern() == concern)
    }

    fn drill_those(
        &self,
        name: &str,
        drill: &Drill,
        is_meant: impl Fn(&dyn Policy) -> bool,
    ) -> Result<(), DrillError> {
        let mut all = self.all();
        all.retain(|(_, policy)| is_meant(&**policy));
        if all.iter().all(|(known, _)| **known != *name) {
            return Err(DrillError::UnknownName {
                name: name.chars().take(64).collect(),
                known: distinct(all),
            });
        }
        let mut result = Err(DrillError::Unsupported);
        for (_, policy) in all.into_iter().filter(|(known, _)| **known == *name) {
            match policy.drill(drill) {
                Ok(()) => result = Ok(()),
                Err(DrillError::Unsupported) => {}
                Err(other) => return Err(other),
            }
        }
        result
    }

    /// Resets every policy that can be.
    pub fn reset_all(&self) {
        for (_, policy) in self.all() {
            // What cannot be reset has nothing to reset.
            let _ = policy.drill(&Drill::Reset);
        }
    }

    /// Events of every policy, from now on, including those registered later and those inside of pools and keyed
    /// policies, under the names that they have here.
    ///
    /// A subscriber that is slow misses the oldest (and is told how many); it never holds up a call.
    #[must_use]
    pub fn subscribe(&self) -> Subscription {
        self.shared.events.subscribe()
    }

    /// Has `listener` called with every event, from now on, on the task in which the event happened: it should
    /// be quick. See [`Listener`].
    pub fn listen(&self, listener: impl Fn(&Event) + Send + Sync + 'static) {
        self.shared.events.listen(Arc::new(listener));
    }

    /// Every policy with its name, those inside keyed policies too. Read outside the lock.
    fn all(&self) -> Vec<(Arc<str>, Arc<dyn Policy>)> {
        let entries = self.list().entries();
        let mut all = Vec::with_capacity(entries.len());
        for entry in entries {
            let members = entry.policy.members(&entry.name);
            all.push((entry.name, entry.policy));
            all.extend(members);
        }
        all
    }

    fn list(&self) -> MutexGuard<'_, List> {
        self.shared.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The names, each once.
fn distinct(all: Vec<(Arc<str>, Arc<dyn Policy>)>) -> Vec<Arc<str>> {
    let mut seen = HashSet::new();
    let names = all.into_iter().map(|(name, _)| name);
    names.filter(|name| seen.insert(name.clone())).collect()
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("names", &self.names()).finish()
    }
}

#[cfg(all(test, not(loom), feature = "circuit-breaker"))]
mod tests;
