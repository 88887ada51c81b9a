//! What a pool shares among its clones.

use std::sync::{
    Arc, Mutex, OnceLock, PoisonError,
    atomic::{
        AtomicBool, AtomicU64,
        Ordering::{AcqRel, Relaxed, Release},
    },
};

use arc_swap::ArcSwap;

use super::{
    balance::RoundRobin,
    endpoint::Endpoint,
    events::PoolEvent,
    hub::Hub,
    node::Node,
    options::PoolOptions,
    roster::{Member, Set, free_slot},
};
use crate::{
    admission::MakeAdmission,
    config::{ConfigError, Problems},
};

pub(super) struct Shared<T> {
    pub(super) hub: Arc<Hub>,
    pub(super) set: ArcSwap<Set<T>>,
    // Held while a new set is made of the old one. A call never takes it: it reads whichever set is there.
    changes: Mutex<()>,
    pub(super) turn: RoundRobin,
    make: OnceLock<Arc<dyn MakeAdmission>>,
    pub(super) watch: Option<Watch<T>>,
    /// Some endpoint's checks have not begun, for there was no runtime.
    unwatched: AtomicBool,
    pub(super) next_rebalance: AtomicU64,
}

/// Begins the checks of an endpoint; `false` if there is no runtime to run them on.
pub(super) type Watch<T> = Arc<dyn Fn(&Arc<Shared<T>>, &Arc<Node>) -> bool + Send + Sync>;

impl<T> Shared<T> {
    pub(super) fn new(
        options: PoolOptions,
        make: Option<Arc<dyn MakeAdmission>>,
        watch: Option<Watch<T>>,
    ) -> Self {
        Self {
            hub: Arc::new(Hub::new(&options)),
            set: ArcSwap::from_pointee(Set::new(Vec::new(), Arc::new(options))),
            changes: Mutex::new(()),
            turn: RoundRobin::new(),
            make: make.map_or_else(OnceLock::new, OnceLock::from),
            unwatched: AtomicBool::new(watch.is_some()),
            watch,
            next_rebalance: AtomicU64::new(0),
        }
    }

    // ===== changing =====

    /// Puts another set in the place of the present one, if `change` makes one.
    fn change<R>(&self, change: impl FnOnce(&mut Vec<Member<T>>, &mut Arc<PoolOptions>) -> R) -> R {
        let guard = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.set.load_full();
        let (mut members, mut options) = (before.members(), before.options.clone());
        let result = change(&mut members, &mut options);
        self.set.store(Arc::new(Set::new(members, options)));
        drop(guard);
        // What is left of the old one may be dropped here, and with it what stood behind an endpoint: outside the lock.
        result
    }

    /// Adds an endpoint, in place of one of its name if that may be.
    pub(super) fn add(
        self: &Arc<Self>,
        endpoint: Endpoint<T>,
        replace: bool,
    ) -> Result<Option<Arc<Node>>, ConfigError> {
        let mut problems = Problems::new();
        endpoint.check(&mut problems);
        problems.into_result()?;
        // Made outside of the change, under which nothing of the user's may run.
        let mut guard = match (endpoint.guard, self.make.get()) {
            (Some(guard), _) => Some(guard),
            (None, Some(make)) => Some(make.make(&endpoint.name)?),
            (None, None) => None,
        };
        let (name, weight, target) = (endpoint.name, endpoint.weight, Arc::new(endpoint.target));
        let added = self.change(|members, _| {
            let known = members.iter().position(|member| member.node.name == name);
            if known.is_some() && !replace {
                return None;
            }
            let before = known.map(|known| &*members[known].node);
            let slot = free_slot(members.iter().map(|member| member.node.slot));
            let node = Node::new(self.hub.clone(), slot, name.clone(), weight, guard.take(), before);
            let member = Member {
                weight: node.full_weight(),
                node: node.clone(),
                target: target.clone(),
            };
            self.hub.entered(true);
            let replaced = match known {
                Some(known) => Some(std::mem::replace(&mut members[known], member).node),
                None => {
                    members.push(member);
                    None
                }
            };
            Some((node, replaced))
        });
        let Some((node, replaced)) = added else {
            return Err(ConfigError::one(
                "name",
                &name,
                "a name that no other endpoint has",
            ));
        };
        if self.hub.name.is_given() {
            self.name_guard(&node);
        }
        self.hub.changed.notify_waiters();
        self.hub.emit(PoolEvent::Added {
            node: node.name.clone(),
        });
        node.listen();
        self.begin_watch(&node);
        if let Some(replaced) = &replaced {
            replaced.remove();
        }
        Ok(replaced)
    }

    pub(super) fn remove(&self, name: &str) -> Option<Arc<Node>> {
        let node = self.change(|members, _| {
            let known = members.iter().position(|member| *member.node.name == *name)?;
            Some(members.remove(known).node)
        })?;
        // Calls that still see the old set see this, and those that wait are told.
        node.remove();
        self.hub.emit(PoolEvent::Removed {
            node: node.name.clone(),
        });
        Some(node)
    }

    pub(super) fn set_weight(&self, name: &str, weight: u32) -> bool {
        self.change(|members, _| {
            let member = members.iter_mut().find(|member| *member.node.name == *name);
            member
                .map(|member| {
                    member.node.weight.store(weight, Relaxed);
                    member.weight = member.node.full_weight();
                })
                .is_some()
        })
    }

    /// Weighs every endpoint by how it has done since this was last done.
    pub(super) fn rebalance(&self) {
        self.change(|members, _| {
            for member in members {
                member.weight = member.node.rebalanced_weight();
            }
        });
    }

    pub(super) fn reconfigure(&self, mut new: PoolOptions) {
        self.hub.set(&new);
        self.change(|_, options| {
            new.name = options.name.clone();
            *options = Arc::new(new);
        });
    }

    // ===== reading =====

    pub(super) fn find(&self, name: &str) -> Option<Arc<Node>> {
        let set = self.set.load();
        set.roster.find(name).map(|i| set.roster.nodes[i].clone())
    }

    pub(super) fn nodes(&self) -> Vec<Arc<Node>> {
        self.set.load().roster.nodes.to_vec()
    }

    pub(super) fn target(&self, node: &Node) -> Option<Arc<T>> {
        let set = self.set.load();
        let index = set.roster.nodes.iter().position(|known| known.id == node.id)?;
        Some(set.targets[index].clone())
    }

    /// Has endpoints without a breaker get one that `make` makes, unless those are made already.
    pub(super) fn guard_if_unguarded(&self, make: &Arc<dyn MakeAdmission>) {
        if self.make.set(make.clone()).is_err() {
            return;
        }
        for node in self.nodes() {
            if let (None, Ok(guard)) = (node.guard(), make.make(&node.name)) {
                if node.set_guard(guard) {
                    if self.hub.name.is_given() {
                        self.name_guard(&node);
                    }
                    node.listen();
                }
            }
        }
    }

    pub(super) fn name_guard(&self, node: &Node) {
        if let Some(guard) = node.guard() {
            guard.name_if_unnamed(&format!("{}:{}", self.hub.name(), node.name).into());
        }
    }

    // ===== checks =====

    /// Begins the checks of endpoints that have none yet, once there is a runtime to run them on.
    #[inline]
    pub(super) fn ensure_watched(self: &Arc<Self>) {
        if self.unwatched.load(Relaxed) && tokio::runtime::Handle::try_current().is_ok() {
            self.watch_all();
        }
    }

    #[cold]
    fn watch_all(self: &Arc<Self>) {
        if self.unwatched.swap(false, AcqRel) {
            self.nodes().iter().for_each(|node| self.begin_watch(node));
        }
    }

    fn begin_watch(self: &Arc<Self>, node: &Arc<Node>) {
        if let Some(watch) = &self.watch {
            if !watch(self, node) {
                self.unwatched.store(true, Release);
            }
        }
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        // Streams that are followed, and checks, end.
        self.hub.changed.notify_waiters();
        for node in &self.set.load().roster.nodes {
            node.unwatch();
        }
    }
}
