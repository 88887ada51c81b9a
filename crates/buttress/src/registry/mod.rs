//! Policies by name: what there is, how it does, and how to drill it.
//!
//! A [`Registry`] is where an operator looks. Every policy that a stack names is in one; each can be read
//! ([`snapshot`](Registry::snapshot)), [drilled](Registry::drill) and listened to
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

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

pub use drill::{Drill, DrillError};
pub use event::{Created, Detail, Event, Lagged, PolicyChanged, Subscription};
pub(crate) use event::{Emitter, News};

use crate::{
    export::Samples,
    value::{Table, Value},
};

/// What a registry asks of a policy. Implement it for a policy of your own to have it listed beside ours.
pub trait Policy: fmt::Debug + Send + Sync {
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

    /// Policies that this one holds under names of their own, as a keyed policy does.
    fn members(&self) -> Vec<(Arc<str>, Arc<dyn Policy>)> {
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
    entries: Mutex<Vec<Entry>>,
    events: Emitter,
}

#[derive(Clone)]
struct Entry {
    name: Arc<str>,
    policy: Arc<dyn Policy>,
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
    pub fn register<P: Policy + Clone + 'static>(&self, name: impl Into<Arc<str>>, policy: &P) -> Arc<str> {
        self.register_shared(name.into(), Arc::new(policy.clone()))
    }

    fn register_shared(&self, wanted: Arc<str>, policy: Arc<dyn Policy>) -> Arc<str> {
        let concern = policy.concern();
        let name = {
            let mut entries = self.entries();
            let known =
                |e: &&Entry| e.policy.concern() == concern && e.policy.identity() == policy.identity();
            if let Some(entry) = entries.iter().find(known) {
                return entry.name.clone();
            }
            let taken = |name: &str| {
                entries
                    .iter()
                    .any(|e| *e.name == *name && e.policy.concern() == concern)
            };
            let name = if taken(&wanted) {
                (2_u64..)
                    .map(|n| Arc::from(format!("{wanted}#{n}")))
                    .find(|name| !taken(name))
                    .unwrap_or_else(|| wanted.clone())
            } else {
                wanted
            };
            entries.push(Entry {
                name: name.clone(),
                policy: policy.clone(),
            });
            name
        };
        let shared = Arc::downgrade(&self.shared);
        policy.listen(Arc::new(move |event| {
            if let Some(shared) = shared.upgrade() {
                shared.events.forward(event);
            }
        }));
        self.shared.events.emit(concern, &name, || Created);
        name
    }

    /// The names, in the order of registration, each once.
    #[must_use]
    pub fn names(&self) -> Vec<Arc<str>> {
        let mut names: Vec<Arc<str>> = Vec::new();
        for (name, _) in self.all() {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
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
        let entries = self.entries().clone();
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
        let named: Vec<_> = self.all().into_iter().filter(|(n, _)| **n == *name).collect();
        if named.is_empty() {
            return Err(DrillError::UnknownName {
                name: name.chars().take(64).collect(),
                known: self.names(),
            });
        }
        let mut result = Err(DrillError::Unsupported);
        for (_, policy) in named {
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

    /// Events of every policy, from now on, including those registered later.
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
        let entries = self.entries().clone();
        let mut all = Vec::with_capacity(entries.len());
        for entry in entries {
            let members = entry.policy.members();
            all.push((entry.name, entry.policy));
            all.extend(members);
        }
        all
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.shared.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("names", &self.names()).finish()
    }
}

#[cfg(all(test, not(loom), feature = "circuit-breaker"))]
mod tests;
